"""What every deterministic transform is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, overload

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, lift


class Transform(nn.Module, ABC):
    """A deterministic step, called with a Tensor, a PaddedBatch, or a tuple or list that begins with one.

    A subclass computes in `transform` and says in `output_lengths` and `output_rate` what becomes of the last axis.
    Constants come from `keep`: float32 buffers that stay out of checkpoints, made anew in float64 for float64 input.
    """

    item_rank: ClassVar[int] = 1
    """Axes of one item without channels: 1 for waveforms, 2 for spectrograms."""
    dtypes: ClassVar[tuple[torch.dtype, ...]] = checks.WAVE_DTYPES
    sample_rate: float | None = None
    """Hz that a waveform step was built for, None where it does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self._makers: dict[str, Callable[[], Tensor]] = {}

    @abstractmethod
    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the output for ``[B, ...]`` data; ``lengths`` None means that every item is full."""

    def output_lengths(self, lengths: Any) -> Any:
        """Returns steps out for steps in, an int for an int and a tensor for a tensor."""
        return lengths

    def output_rate(self, rate: float) -> float:
        """Returns steps per second of the output's last axis."""
        return rate

    def forward(self, x: Any) -> Any:
        """Transforms what loaders yield; see the class."""
        return lift(type(self).__name__, x, self._on_batch, self._on_tensor)

    def keep(self, name: str, maker: Callable[[], Tensor], *, trainable: bool = False) -> None:
        """Keeps the float64 constant that ``maker`` makes, as a buffer or as a parameter."""
        self._makers[name] = maker
        value = maker().to(torch.float32)
        if trainable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value, persistent=False)

    def constant(self, name: str, like: Tensor) -> Tensor:
        """Returns a kept constant in the precision and on the device of ``like``."""
        value: Tensor = getattr(self, name)
        if isinstance(value, nn.Parameter):
            return value.to(like.dtype)
        if like.dtype == torch.float64:
            return self._makers[name]().to(like.device, non_blocking=True)
        return value

    @overload
    def __call__(self, x: Tensor) -> Tensor: ...
    @overload
    def __call__(self, x: PaddedBatch) -> PaddedBatch: ...
    @overload
    def __call__(self, x: Any) -> Any: ...
    def __call__(self, x: Any) -> Any:
        """Transforms what loaders yield; see the class."""
        return super().__call__(x)

    def _on_batch(self, batch: PaddedBatch) -> PaddedBatch:
        where, data = type(self).__name__, batch.data
        checks.dtype(where, data, self.dtypes)
        checks.rank(where, data, self.item_rank, batched=True)
        checks.lengths(where, batch.lengths, data.shape[0], data.shape[-1])
        if self.sample_rate is not None:
            checks.sample_rate(where, self.sample_rate, batch.rate)
        out = self.transform(data, batch.lengths)
        return PaddedBatch(out, self.output_lengths(batch.lengths), self.output_rate(batch.rate), batch.ids)

    def _on_tensor(self, data: Tensor) -> Tensor:
        where = type(self).__name__
        checks.dtype(where, data, self.dtypes)
        checks.rank(where, data, self.item_rank, batched=False)
        if data.dim() == self.item_rank:
            return self.transform(data.unsqueeze(0), None)[0]
        return self.transform(data, None)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves constants but keeps their type: ``.half()`` must not round windows and filters."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in before.items():
            new = self._buffers[name]
            if old is not None and new is not None and old.dtype != new.dtype:
                self._buffers[name] = old.to(new.device)
        return self
