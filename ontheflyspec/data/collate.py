"""From the clips of a data set to a padded batch: the ``collate_fn`` of any loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from ontheflyspec import checks, torch_internals
from ontheflyspec.batch import Clip, PaddedBatch, as_tensor, pad
from ontheflyspec.data.bank import WaveformBank
from ontheflyspec.labels import ClipLabels, FrameLabels, Segments


class Collate:
    """Pads the clips of a batch, and gathers their targets.

    An item is a `Clip`, a bare wave (Tensor or array ``[T]`` or ``[C, T]``), or a tuple or list that begins with one:
    ``(clip, target)`` as `AudioDataset` gives it, ``(wave, label)`` as others do. Bare items give the bare
    `PaddedBatch`, tuples give a tuple ``(PaddedBatch, targets, ...)`` with all their further elements: whole numbers
    as int64, other numbers as float32, truth values as bool, tensors and arrays of equal shape and type stacked,
    `FrameLabels`, `Segments` and `ClipLabels` of one clip each joined, anything else as a list. If one clip has no id,
    the batch has none.

    It pickles if the transform does, so it serves workers however they start.

    Args:
        transform: called with the result, in the process that collates. One with trainable parameters or on a CUDA
            device belongs behind the loader: see `DeviceLoader`.
        rate: samples per second of bare waves, in Hz; clips know their own.

    Raises:
        ValueError: no items, clips of unlike rate or channels, tuples of unlike length, or bare waves and no ``rate``.
        TypeError: items that begin with something else.
        RuntimeError: in a worker, a transform on CUDA that the worker cannot use, or one whose output requires grad.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch, label = ofs.Collate(rate=8_000)([(torch.zeros(3), 1), (torch.zeros(5), 0)])
        >>> batch.data.shape, batch.lengths.tolist(), label.tolist()
        (torch.Size([2, 5]), [3, 5], [1, 0])
    """

    def __init__(self, transform: Callable[[Any], Any] | None = None, *, rate: float | None = None) -> None:
        if transform is not None and not callable(transform):
            got = type(transform).__name__
            raise TypeError(checks.message("Collate", "a transform that can be called", got, "Pass a front end."))
        self.transform = transform
        self.rate = None if rate is None else checks.positive("Collate", "rate", rate)

    def __call__(self, items: Sequence[Any]) -> Any:
        """Returns the items as one batch; see the class."""
        if not len(items):
            raise ValueError(checks.message("Collate", "at least one item", "none", "Drop empty batches."))
        rows = [_row(item) for item in items]
        widths = {len(row) for row in rows}
        if len(widths) > 1:
            rule = "items with equally many elements"
            raise ValueError(checks.message("Collate", rule, sorted(widths), "Give every clip the same targets."))
        batch = self._padded([row[0] for row in rows])
        bare = isinstance(items[0], Clip | Tensor | np.ndarray)
        result = batch if bare else (batch, *(gather(column) for column in list(zip(*rows, strict=True))[1:]))
        if self.transform is None:
            return result
        return _transformed(self.transform, result)

    def _padded(self, waves: list[Any]) -> PaddedBatch:
        clips = [wave if isinstance(wave, Clip) else Clip(wave, self._known_rate(wave)) for wave in waves]
        for place, clip in enumerate(clips):
            if clip.rate != clips[0].rate:
                rule = f"clips of one rate, {clips[0].rate:g} Hz as the first"
                got = f"{clip.rate:g} Hz for clip {place}"
                remedy = "Give the data set a sample_rate or resample the clips."
                raise ValueError(checks.message("Collate", rule, got, remedy))
        ids = [clip.id for clip in clips if clip.id is not None]
        known = ids if len(ids) == len(clips) else None
        return pad([clip.wave for clip in clips], rate=clips[0].rate, ids=known)

    def _known_rate(self, wave: Any) -> float:
        if not isinstance(wave, Tensor | np.ndarray):
            rule = "items that are or begin with a Clip, a Tensor or an array"
            got = type(wave).__name__
            raise TypeError(checks.message("Collate", rule, got, "Give (wave, target) or ofs.Clip(wave, rate)."))
        if self.rate is None:
            rule, got = "a rate for waves that are no Clip", "rate=None"
            raise ValueError(checks.message("Collate", rule, got, "Use ofs.Collate(rate=...), in Hz."))
        return self.rate

    def __repr__(self) -> str:
        return f"Collate(transform={self.transform!r}, rate={self.rate!r})"


def gather(values: Sequence[Any]) -> Any:
    """Returns the targets of a batch's clips: as one tensor or joined labels if their types allow, else as a list."""
    if all(isinstance(value, bool | np.bool_) for value in values):
        return torch.tensor([bool(value) for value in values], device="cpu")
    if all(isinstance(value, Real) and not isinstance(value, bool | np.bool_) for value in values):
        whole = all(isinstance(value, Integral) for value in values)
        return torch.tensor([*values], dtype=torch.int64 if whole else torch.float32, device="cpu")
    for kind in (FrameLabels, Segments, ClipLabels):
        if all(isinstance(value, kind) for value in values):
            return kind.join(values)
    if all(isinstance(value, Tensor | np.ndarray) for value in values):
        tensors = [as_tensor(value) for value in values]
        if len({(tensor.shape, tensor.dtype) for tensor in tensors}) == 1:
            return torch.stack(tensors)
    return list(values)


def _row(item: Any) -> Sequence[Any]:
    """Returns the elements of an item, the clip first."""
    if isinstance(item, Clip) or not isinstance(item, tuple | list):
        return (item,)
    return item if item else (None,)


def _transformed(transform: Callable[[Any], Any], result: Any) -> Any:
    """Returns the transformed batch, or raises what would break in a worker process."""
    if get_worker_info() is None:
        return transform(result)
    remedy = "Put it behind the loader: ofs.DeviceLoader(loader, transform)."
    if _on_cuda(transform) and torch_internals.cuda_lost_in_fork():
        rule, got = "a transform on the CPU in a worker that was forked", "one on CUDA"
        raise RuntimeError(checks.message("Collate", rule, got, remedy))
    result = transform(result)
    if _requires_grad(result):
        rule, got = "a transform without trainable parameters in a worker", "an output that requires grad"
        raise RuntimeError(checks.message("Collate", rule, got, remedy))
    return result


def _requires_grad(value: Any) -> bool:
    """Returns whether a tensor, or any in tuples and lists, requires grad."""
    if isinstance(value, Tensor):
        return value.requires_grad
    return isinstance(value, tuple | list) and any(_requires_grad(part) for part in value)


def _on_cuda(transform: Any) -> bool:
    """Returns whether a module has parameters, buffers or recordings on a CUDA device."""
    if not isinstance(transform, nn.Module):
        return False
    banks = [part.samples for part in transform.modules() if isinstance(part, WaveformBank)]
    return any(tensor.is_cuda for tensor in (*transform.parameters(), *transform.buffers(), *banks))


collate = Collate()
"""Pads the clips of a data set into a batch, see `Collate`; the ``collate_fn`` for `AudioDataset`."""
