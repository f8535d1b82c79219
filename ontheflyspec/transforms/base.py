"""What every deterministic transform is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, overload

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, lift
from ontheflyspec.functional.stages import Stage

Pointwise = Callable[[Tensor], object]
"""Overwrites features ``[F, n]``, each value by itself and its band alone."""


class Transform(nn.Module, ABC):
    """A deterministic step, called with a Tensor, a PaddedBatch, or a tuple or list that begins with one.

    A subclass computes in `transform` and says in `output_lengths` and `output_rate` what becomes of the last axis.
    If it says that it `finishes` data, ``transform`` takes a third argument: `pointwise` steps to do on its output
    while that is in the cache.
    Constants come from `keep`: float32 buffers that stay out of checkpoints, made anew in float64 for float64 input.
    """

    item_rank: ClassVar[int] = 1
    """Axes of one item without channels: 1 for waveforms, 2 for spectrograms."""
    dtypes: ClassVar[tuple[torch.dtype, ...]] = checks.WAVE_DTYPES
    sample_rate: float | None = None
    """Hz that a step was built for, None where it does not matter; waveforms of another rate raise."""
    makes_waves: ClassVar[bool] = False
    """Whether spectrograms go in and waveforms come out."""
    frames_of: ClassVar[str | None] = None
    """Name of the attribute that is a transform with the same frames: how many, at what rate, at what times."""

    def __init__(self) -> None:
        super().__init__()
        self._makers: dict[str, Callable[[], Tensor]] = {}

    @abstractmethod
    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the output for ``[B, ...]`` data; ``lengths`` None means that every item is full."""

    def output_lengths(self, lengths: Any) -> Any:
        """Returns steps out for steps in, an int for an int and a tensor for a tensor."""
        return lengths if self.frames_of is None else getattr(self, self.frames_of).output_lengths(lengths)

    def output_rate(self, rate: float) -> float:
        """Returns steps per second of the output's last axis."""
        return rate if self.frames_of is None else float(getattr(self, self.frames_of).output_rate(rate))

    def output_features(self, n_features: int) -> int:
        """Returns bands out for bands in."""
        own: int = getattr(self, "n_features", n_features)
        return own

    @property
    def frame_times(self) -> Callable[[int], Tensor]:
        """Returns seconds of the centres of so many frames, float64; only where frames have times."""
        if self.frames_of is None:
            raise AttributeError(f"{type(self).__name__} has no frame_times")
        times: Callable[[int], Tensor] = getattr(self, self.frames_of).frame_times
        return times

    def finishes(self, data: Tensor) -> bool:  # noqa: ARG002
        """Returns whether `transform` takes pointwise steps to do after its own."""
        return False

    def pointwise(self, n_features: int) -> Pointwise | None:  # noqa: ARG002
        """Returns the step on features of so many bands as a function of each value alone, None if it is more."""
        return None

    def stage(self, data: Tensor) -> Stage | None:  # noqa: ARG002
        """Returns what `transform` makes of the spectra of windowed frames, None if it does not begin with them."""
        return None

    def complete(self, features: Tensor, lengths: Tensor | None) -> Tensor:  # noqa: ARG002
        """Returns the output for the features of the `stage`, with their lengths in frames."""
        return features

    def forward(self, x: Any, after: Sequence[Pointwise] = ()) -> Any:
        """Transforms what loaders yield, and does the steps ``after``, if it `finishes` them; see the class."""
        on_batch, on_tensor = partial(self._on_batch, after=after), partial(self._on_tensor, after=after)
        return lift(type(self).__name__, x, on_batch, on_tensor)

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

    def check(self, x: Tensor | PaddedBatch) -> None:
        """Raises unless the transform takes this."""
        where, batched = type(self).__name__, isinstance(x, PaddedBatch)
        data = x.data if isinstance(x, PaddedBatch) else x
        checks.dtype(where, data, self.dtypes)
        checks.rank(where, data, self.item_rank, batched=batched)
        if isinstance(x, PaddedBatch):
            checks.lengths(where, x.lengths, data.shape[0], data.shape[-1])
            if self.sample_rate is not None and self.item_rank == 1:
                checks.sample_rate(where, self.sample_rate, x.rate)

    def _on_batch(self, batch: PaddedBatch, after: Sequence[Pointwise]) -> PaddedBatch:
        self.check(batch)
        rate = self.output_rate(batch.rate)
        out = self._transform(batch.data, batch.lengths, after)
        return PaddedBatch(out, self.output_lengths(batch.lengths), rate, batch.ids)

    def _on_tensor(self, data: Tensor, after: Sequence[Pointwise]) -> Tensor:
        self.check(data)
        if data.dim() == self.item_rank:
            return self._transform(data.unsqueeze(0), None, after)[0]
        return self._transform(data, None, after)

    def _transform(self, data: Tensor, lengths: Tensor | None, after: Sequence[Pointwise]) -> Tensor:
        if data.shape[0] == 0:  # FFT libraries refuse to transform nothing
            row = torch.nn.functional.pad(data, (0, 0) * (data.dim() - 1) + (0, 1))
            return self.transform(row, None)[:0]
        return self.transform(data, lengths, *([after] if after else []))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves constants but keeps their type: ``.half()`` must not round windows and filters."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in before.items():
            new = self._buffers[name]
            if old is not None and new is not None and old.dtype != new.dtype:
                self._buffers[name] = old.to(new.device)
        return self
