"""From the clips of a data set to a padded batch: the ``collate_fn`` of any loader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate, get_worker_info

from ontheflyspec import checks, torch_internals
from ontheflyspec.batch import Clip, PaddedBatch, as_float, as_tensor, pad
from ontheflyspec.data.audio import resample, whole_rate
from ontheflyspec.data.bank import WaveformBank
from ontheflyspec.data.moving import called
from ontheflyspec.data.ragged import are_lists, pair
from ontheflyspec.labels import ClipLabels, FrameLabels, Segments


class Collate:
    """Pads the clips of a batch, and gathers their targets.

    An item is a `Clip`, a bare wave (Tensor or array ``[T]`` or ``[C, T]``), or a tuple or list that begins with one:
    ``(clip, target)`` as `AudioDataset` gives it, ``(wave, label)`` as others do, ``(wave, rate, ...)`` as torchaudio's
    data sets do (``rate="item"``). Bare items give the bare `PaddedBatch`, tuples give a tuple
    ``(PaddedBatch, targets, ...)`` with all their further elements: whole numbers as int64, other numbers as float32,
    truth values as bool, tensors and arrays of equal shape and type stacked, lists of numbers as a pair of padded
    values and lengths, `FrameLabels`, `Segments` and `ClipLabels` of one clip each joined, anything else as a list. A
    second wave (a `Clip` in every item, or floats as long as the item's first wave in every item) becomes a
    `PaddedBatch` of its own, which follows the first where time moves. If one clip has no id, the batch has none.

    It pickles if the transform does, so it serves workers however they start.

    Args:
        transform: called with the result, in the process that collates. One with trainable parameters or on a CUDA
            device belongs behind the loader: see `DeviceLoader`.
        rate: samples per second of bare waves, in Hz; ``"item"`` where the second element of each item tells it.
            Clips know their own.
        sample_rate: Hz that waves of other rates are resampled to by soxr, None to refuse unlike rates.
        key: name of the wave in items that are dictionaries, which may hold it as ``{"array": ..., "sampling_rate":
            ...}``, too. The batch is a dictionary then: the `PaddedBatch` under this name, the rest collated by torch.

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

    def __init__(
        self,
        transform: Callable[[Any], Any] | None = None,
        *,
        rate: float | str | None = None,
        sample_rate: int | None = None,
        key: str | None = None,
    ) -> None:
        if transform is not None and not callable(transform):
            got = type(transform).__name__
            raise TypeError(checks.message("Collate", "a transform that can be called", got, "Pass a front end."))
        self.transform, self.key = transform, key
        self.rate = rate if rate is None or rate == "item" else checks.positive("Collate", "rate", rate)
        self.sample_rate = None if sample_rate is None else whole_rate("Collate", sample_rate)

    def __call__(self, items: Sequence[Any]) -> Any:
        """Returns the items as one batch; see the class."""
        if not len(items):
            raise ValueError(checks.message("Collate", "at least one item", "none", "Drop empty batches."))
        result = self._of_tuples(items) if self.key is None else self._of_dictionaries(items, self.key)
        return result if self.transform is None else _transformed(self.transform, result, self.key)

    def _of_tuples(self, items: Sequence[Any]) -> Any:
        """Returns the batch of clips, waves or tuples."""
        rows = [_row(item) for item in items]
        widths = {len(row) for row in rows}
        if len(widths) > 1:
            rule = "items with equally many elements"
            raise ValueError(checks.message("Collate", rule, sorted(widths), "Give every clip the same targets."))
        told = self.rate == "item"
        if told and min(widths) < 2:
            raise ValueError(checks.message("Collate", "items (wave, rate, ...)", "waves alone", "Pass rate in Hz."))
        clips = [self._clip(row[0], row[1] if told else self.rate) for row in rows]
        batch = self._padded(clips)
        if isinstance(items[0], Clip | Tensor | np.ndarray):
            return batch
        return (batch, *(self._gathered(column, clips, batch) for column in list(zip(*rows, strict=True))[1 + told :]))

    def _of_dictionaries(self, items: Sequence[Any], key: str) -> dict[str, Any]:
        """Returns the dictionary of a batch of dictionaries."""
        for place, item in enumerate(items):
            if not isinstance(item, Mapping) or key not in item or set(item) != set(items[0]):
                got = ", ".join(map(str, item)) if isinstance(item, Mapping) else type(item).__name__
                rule = f"dictionaries of equal keys, {key!r} among them"
                raise ValueError(checks.message("Collate", rule, f"{got} in item {place}", "Give every item the same."))
        clips = [self._clip(item[key], self.rate) for item in items]
        batch = self._padded(clips)
        others = {name: [item[name] for item in items] for name in items[0] if name != key}
        made = {name: self._gathered(column, clips, batch, default_collate) for name, column in others.items()}
        return {name: batch if name == key else made[name] for name in items[0]}

    def _gathered(
        self, column: Sequence[Any], clips: list[Clip], batch: PaddedBatch, other: Callable[[Any], Any] | None = None
    ) -> Any:
        """Returns one further element of all items: a second batch of waves, or targets.

        Args:
            column: the element of each item.
            clips: the first waves, before they were resampled.
            batch: of them.
            other: collates what is neither a wave nor labels that follow.
        """
        if all(isinstance(value, Clip) or _is_decoded(value) for value in column):
            second = self._padded([self._clip(value, None) for value in column])
            return second if second.ids is not None else second._replace(ids=batch.ids)
        waves = [value for value in column if isinstance(value, Tensor | np.ndarray) and value.ndim in (1, 2)]
        if len(waves) == len(clips) and all(map(_is_as_long, waves, clips)):
            second = self._padded(
                [Clip(as_tensor(wave), clip.rate, clip.id) for wave, clip in zip(waves, clips, strict=True)]
            )
            same = second.lengths.equal(batch.lengths)
            return second._replace(lengths=batch.lengths) if same else second  # one object: nobody compares them again
        lists = all(isinstance(value, list) for value in column) and are_lists(column)
        if other is None or lists or isinstance(column[0], FrameLabels | Segments | ClipLabels):
            return gather(column)
        try:
            return other(column)
        except (RuntimeError, TypeError):  # unlike shapes, or types that torch does not collate
            return gather(column)

    def _padded(self, clips: list[Clip]) -> PaddedBatch:
        if self.sample_rate is not None:
            clips = [_resampled(clip, self.sample_rate) for clip in clips]
        for place, clip in enumerate(clips):
            if clip.rate != clips[0].rate:
                rule = f"clips of one rate, {clips[0].rate:g} Hz as the first"
                got = f"{clip.rate:g} Hz for clip {place}"
                raise ValueError(checks.message("Collate", rule, got, "Pass sample_rate, which they are resampled to."))
        ids = [clip.id for clip in clips if clip.id is not None]
        known = ids if len(ids) == len(clips) else None
        return pad([clip.wave for clip in clips], rate=clips[0].rate, ids=known)

    def _clip(self, wave: Any, rate: Any) -> Clip:
        """Returns a wave with its rate."""
        if isinstance(wave, Clip):
            return wave
        if _is_decoded(wave):
            wave, rate = wave["array"], wave["sampling_rate"]
        if not isinstance(wave, Tensor | np.ndarray):
            rule = "items that are or begin with a Clip, a Tensor or an array"
            got = type(wave).__name__
            raise TypeError(checks.message("Collate", rule, got, "Give (wave, target) or ofs.Clip(wave, rate)."))
        if rate is None or rate == "item":
            rule, got = "a rate for waves that are no Clip", f"rate={rate!r}"
            raise ValueError(checks.message("Collate", rule, got, "Use ofs.Collate(rate=...), in Hz."))
        return Clip(as_tensor(wave), checks.positive("Collate", "rate", rate))

    def __repr__(self) -> str:
        options = {"sample_rate": self.sample_rate, "key": self.key}
        shown = [f"transform={self.transform!r}", f"rate={self.rate!r}"]
        shown += [f"{name}={value!r}" for name, value in options.items() if value is not None]
        return f"Collate({', '.join(shown)})"


def _is_decoded(wave: Any) -> bool:
    """Returns whether a value is a decoded sound, as the datasets library gives it."""
    return isinstance(wave, Mapping) and {"array", "sampling_rate"} <= set(wave)


def _is_as_long(wave: Any, clip: Clip) -> bool:
    """Returns whether an element is a wave beside another one: floats of its length."""
    floating = wave.is_floating_point() if isinstance(wave, Tensor) else wave.dtype.kind == "f"
    return bool(floating and wave.shape[-1] == clip.wave.shape[-1])


def _resampled(clip: Clip, rate: int) -> Clip:
    """Returns a clip at another rate."""
    if clip.rate == rate:
        return clip
    wave = as_float(as_tensor(clip.wave)).detach().cpu().numpy()
    made = resample(np.ascontiguousarray(wave.T, np.float32), whole_rate("Collate", clip.rate), rate)
    return Clip(torch.from_numpy(np.ascontiguousarray(made.T)), float(rate), clip.id)


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
    if all(isinstance(value, list) for value in values) and are_lists(values):
        return pair(values)  # also where all are equally long: one form for all batches
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


def _transformed(transform: Callable[[Any], Any], result: Any, key: str | None) -> Any:
    """Returns the transformed batch, or raises what would break in a worker process."""
    if get_worker_info() is None:
        return called(transform, transform, result, key)
    remedy = "Put it behind the loader: ofs.DeviceLoader(loader, transform)."
    if _on_cuda(transform) and torch_internals.cuda_lost_in_fork():
        rule, got = "a transform on the CPU in a worker that was forked", "one on CUDA"
        raise RuntimeError(checks.message("Collate", rule, got, remedy))
    result = called(transform, transform, result, key)
    if _requires_grad(result):
        rule, got = "a transform without trainable parameters in a worker", "an output that requires grad"
        raise RuntimeError(checks.message("Collate", rule, got, remedy))
    return result


def _requires_grad(value: Any) -> bool:
    """Returns whether a tensor, or any in tuples, lists and dictionaries, requires grad."""
    if isinstance(value, Tensor):
        return value.requires_grad
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return any(_requires_grad(part) for part in parts)


def _on_cuda(transform: Any) -> bool:
    """Returns whether a module has parameters, buffers or recordings on a CUDA device."""
    if not isinstance(transform, nn.Module):
        return False
    banks = [part.samples for part in transform.modules() if isinstance(part, WaveformBank)]
    return any(tensor.is_cuda for tensor in (*transform.parameters(), *transform.buffers(), *banks))


collate = Collate()
"""Pads the clips of a data set into a batch, see `Collate`; the ``collate_fn`` for `AudioDataset`."""
