"""Base classes of transforms, the deterministic steps: `Transform`, and `FrameTransform` for waveforms to frames."""

from __future__ import annotations

import functools
from abc import ABC
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, overload

import torch
from torch import Tensor, nn

from ontheflyspec import pipeline
from ontheflyspec.batch import PaddedBatch, as_float, by_key, check_input, check_rate, lift
from ontheflyspec.framing import Framing
from ontheflyspec.functional import filterbanks
from ontheflyspec.kept import Kept
from ontheflyspec.options import call_of, remembering
from ontheflyspec.pipeline import Pipeline
from ontheflyspec.precision import without_autocast
from ontheflyspec.transfer import Placed


class Transform(nn.Module, ABC):
    """A deterministic step, called with a Tensor, a PaddedBatch, or a tuple or list that begins with one.

    A subclass returns a `pipeline`, or computes in `transform` what cannot be one. A transform of waveforms to frames
    is a `FrameTransform`; others say in `output_lengths`, `output_rate` and `output_features` how the axes change.
    Constants come from `keep`: float32 buffers that stay out of checkpoints, in full precision for float64 input.

    Raises:
        NotImplementedError: when called, a class with neither a pipeline nor a transform.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> class Square(ofs.Transform):
        ...     item_rank = 2
        ...
        ...     def transform(self, data, lengths):
        ...         return data.square()
        >>> Square()(torch.tensor([[3.0, -2.0]]))
        tensor([[9., 4.]])
    """

    item_rank: ClassVar[int] = 1
    """Axes of one item without channels: 1 for waveforms, 2 for spectrograms."""
    dtypes: ClassVar[tuple[torch.dtype, ...] | None] = None
    """Types of data that it takes; None for real floats, and int16 as well for waveforms."""
    takes_int16: ClassVar[bool] = True
    """Whether loaders may hand it int16 batches, which mean value / 32768."""
    floats_first: ClassVar[bool] = False
    """Whether `transform` gets int16 samples as floats: those of the package's own classes read either."""
    sample_rate: float | None = None
    """Hz that a step was built for, None where it does not matter; waveforms of another rate raise."""
    makes_waves: ClassVar[bool] = False
    """Whether spectrograms go in and waveforms come out."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Lets transforms be made on the host, whatever torch's default device is, and keeps their arguments."""
        super().__init_subclass__(**options)
        if "transform" in vars(cls) and not cls.__module__.startswith("ontheflyspec."):
            cls.floats_first = True
        if "__init__" in vars(cls):
            cls.__init__ = _made_on_host(remembering(cls.__init__))  # type: ignore[method-assign]

    @remembering
    def __init__(self) -> None:
        super().__init__()
        self.makers: dict[str, Callable[[], Tensor]] = {}  # the exact constants, float64, by name
        self._fixed: set[str] = set()
        self._lost = Kept(64)
        self._runs = filterbanks.Runs()

    def __repr__(self) -> str:
        return call_of(self)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline | None:  # noqa: ARG002
        """Returns the pipeline that the transform consists of, None if it computes in `transform`.

        Args:
            like: the data to come, or other data of their type and device.
            n_features: bands of the data to come; 0 for waveforms.
        """
        return None

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the output for ``[B, ...]`` data; ``lengths`` None means that every item is full."""
        own = self.pipeline(data, data.shape[-2] if self.item_rank == 2 else 0)
        if own is None:
            raise NotImplementedError(f"{type(self).__name__} has neither a pipeline nor a transform")
        return pipeline.run([own], data if own.framing is not None else as_float(data), lengths)[0]

    def output_lengths(self, lengths: Any) -> Any:
        """Returns steps out for steps in, an int for an int and a tensor for a tensor."""
        return lengths

    def output_rate(self, rate: float | None) -> float | None:
        """Returns steps per second of the output's last axis, None for None."""
        return rate

    def output_features(self, n_features: int) -> int:
        """Returns bands out for bands in."""
        return n_features

    def forward(self, x: Any) -> Any:
        """Transforms a Tensor, a batch, or a tuple or list that begins with a batch; see the class."""
        return lift(type(self).__name__, x, self.applied, self._on_tensor)

    @overload
    def __call__(self, x: Tensor) -> Tensor: ...
    @overload
    def __call__(self, x: PaddedBatch) -> PaddedBatch: ...
    @overload
    def __call__(self, x: Any) -> Any: ...
    def __call__(self, x: Any, *, key: str | None = None, **options: Any) -> Any:
        """Transforms a Tensor, a batch, what begins with a batch, or a dictionary with one at ``key``."""
        if isinstance(x, Mapping):
            return by_key(type(self).__name__, functools.partial(super().__call__, **options), x, key)
        return super().__call__(x, **options)

    def keep(self, name: str, maker: Callable[[], Tensor], *, trainable: bool = False) -> None:
        """Keeps the float64 constant that ``maker`` makes, as a buffer or as a parameter."""
        self.makers[name] = maker
        value = maker().to(torch.float32)
        if trainable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self._fixed.add(name)
            self.register_buffer(name, value, persistent=False)

    def constant(self, name: str, dtype: torch.dtype) -> Tensor:
        """Returns a kept constant, in float32 unless ``dtype`` is float64, exact in this.

        Values that were put in a buffer's place (``torch.func.functional_call``, parametrisations) count in float64 as
        in float32, gradients as well: only what rounding to float32 has lost of the original is added to them.
        """
        value: Tensor | None = self._buffers.get(name)
        if value is None:
            value = getattr(self, name)
            assert isinstance(value, Tensor)
        if dtype != torch.float64:
            return value.float()
        value = value.double()
        return value + self._lost.find(self._rounded_off, value.device, name)[0] if name in self._fixed else value

    def _rounded_off(self, device: torch.device, name: str) -> tuple[Tensor, ...]:
        exact = self.makers[name]()
        return ((exact - exact.float()).to(device, non_blocking=True),)

    def runs(self, name: str) -> list[filterbanks.FilterBlock]:
        """Returns the runs of filters in which to multiply by a kept constant ``[F, bins]`` as it is now."""
        return self._runs.of(name, getattr(self, name))

    def applied(self, batch: PaddedBatch, lengths: Tensor | None = None) -> PaddedBatch:
        """Returns the batch transformed; ``lengths`` are its lengths where its data lie, if known already."""
        check(self, batch)
        data = _made(self, batch.data, batch.lengths if lengths is None else lengths)
        return PaddedBatch(data, self.output_lengths(batch.lengths), self.output_rate(batch.rate), batch.ids)

    def _on_tensor(self, data: Tensor) -> Tensor:
        check(self, data)
        if data.dim() == self.item_rank:
            return _made(self, data.unsqueeze(0), None)[0]
        return _made(self, data, None)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves constants but keeps their type: ``.half()`` must not round windows and filters.

        What had no memory before, on the meta device, is made anew, trained values as they are to begin with.
        """
        before = {**self._buffers, **self._parameters}
        self._runs.refresh(before)  # devices are not asked for values
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in before.items():
            new = self._buffers.get(name, self._parameters.get(name))
            if old is None or new is None:
                continue
            plain = type(new) in (Tensor, nn.Parameter)  # not a part of it
            if old.device.type == "meta" != new.device.type and name in self.makers and plain:
                with torch.no_grad(), torch.device("cpu"):
                    new.copy_(self.makers[name]())
            if name in self._buffers and old.dtype != new.dtype:
                self._buffers[name] = new.to(old.dtype) if old.device.type == "meta" else old.to(new.device)
        self._runs.moved(before, {**self._buffers, **self._parameters})
        return self


class FrameTransform(Transform):
    """A transform of waveforms to frames, whose number, rate and times follow from its ``framing``."""

    sample_rate: float
    framing: Framing
    """Where frames lie in the waveforms."""
    n_features: int
    """Bands of a frame."""

    def output_lengths(self, lengths: Any) -> Any:
        """Returns frames for samples, an int for an int and a tensor for a tensor."""
        return self.framing.count(lengths)

    def output_rate(self, rate: float | None) -> float | None:
        """Returns frames per second, None for None."""
        return None if rate is None else rate / self.framing.hop_length

    def output_features(self, n_features: int) -> int:  # noqa: ARG002
        """Returns the bands of a frame."""
        return self.n_features

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the centres of so many frames, float64 ``[n_frames]``."""
        return self.framing.times(n_frames)


def _made_on_host(init: Callable[..., None]) -> Callable[..., None]:
    """Returns a constructor whose constants are made on the host, also under ``torch.device("meta")``."""

    @functools.wraps(init)
    def make(self: Any, *args: Any, **options: Any) -> None:
        device = torch.empty(0).device  # torch.get_default_device fails where a default was taken back
        if device.type == "cpu":
            init(self, *args, **options)
            return
        with torch.device("cpu"):
            init(self, *args, **options)
        self.to(device)

    return make


def check(step: Transform, x: Tensor | PaddedBatch) -> None:
    """Raises unless a transform takes data of this type, shape and sample rate."""
    where = type(step).__name__
    check_input(where, x, step.item_rank, step.dtypes)
    if isinstance(x, PaddedBatch) and step.sample_rate is not None and step.item_rank == 1 and x.rate is not None:
        check_rate(where, step.sample_rate, x.rate)


def _made(step: Transform, data: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is not None and lengths.device != data.device:
        lengths = Placed(data.device, lengths)(lengths)
    with without_autocast(data.device):
        if step.floats_first and data.dtype == torch.int16:
            data = as_float(data)
        if data.shape[0] == 0:  # FFT libraries refuse to transform nothing
            row = torch.nn.functional.pad(data, (0, 0) * (data.dim() - 1) + (0, 1))
            return step.transform(row, None)[:0]
        return step.transform(data, lengths)
