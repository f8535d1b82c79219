"""Padded batches and single clips: padding, length masks, sample types, and what a step may be called with."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from ontheflyspec import checks
from ontheflyspec.kept import count_up

WAVE_DTYPES = (torch.int16, torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of samples: floats within -1..1, or int16, which means value / 32768."""
FEATURE_DTYPES = WAVE_DTYPES[1:]
"""Types of real spectrograms and other features."""
NO_TENSORS = {int, float, str, bool, type(None)}
"""Types of most options."""


class Clip(NamedTuple):
    """One clip as a data set gives it.

    Args:
        wave: samples, ``[T]`` or ``[C, T]``, float or int16 (meaning value / 32768).
        rate: samples per second in Hz.
        id: 64-bit identity of clip and epoch, or None for a fresh one at every use.
    """

    wave: Tensor
    rate: float
    id: int | None = None


class PaddedBatch(NamedTuple):
    """Batch of items of unlike length in one tensor, exactly 0 past each item's end.

    Args:
        data: ``[B, T]`` or ``[B, C, T]`` waveforms, ``[B, F, N]`` or ``[B, C, F, N]`` spectrograms.
        lengths: int64 ``[B]``, valid steps of the last axis; best left on the host.
        rate: steps per second of the last axis (Hz for waveforms, frames per second for spectrograms), None if it is
            not known.
        ids: int64 ``[B]`` identities of the items, which seed all random effects; None for fresh ones at every call.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.ones(3), torch.ones(5)], rate=16_000)
        >>> batch.data.shape, batch.lengths.tolist()
        (torch.Size([2, 5]), [3, 5])
    """

    data: Tensor
    lengths: Tensor
    rate: float | None
    ids: Tensor | None = None

    def mask(self) -> Tensor:
        """Returns bool ``[B, N]`` on the data's device: True where the last axis is valid."""
        check_lengths("PaddedBatch", self.lengths, self.data.shape[0], self.data.shape[-1])
        return length_mask(self.lengths, self.data.shape[-1], self.data.device)

    def filled(self, value: float | str) -> Tensor:
        """Returns the data with ``value`` in the padding instead of 0.

        Args:
            value: a number, or ``"min"`` for the smallest valid value of each item.
        """
        mask = expand_mask(self.mask(), self.data)
        if value != "min":
            fill: Any = checks.number("PaddedBatch.filled", "value", value)
            return self.data.masked_fill(~mask, fill)
        top = torch.iinfo(self.data.dtype).max if not self.data.is_floating_point() else math.inf
        if self.data.numel() == 0:
            return self.data
        lowest = self.data.masked_fill(~mask, top).flatten(1).amin(1)
        return torch.where(mask, self.data, per_item(torch.where(lowest == top, 0, lowest), self.data))

    def unpad(self) -> list[Tensor]:
        """Returns the items one by one, each cut to its own length (asks the device if lengths are not on the host)."""
        check_lengths("PaddedBatch", self.lengths, self.data.shape[0], self.data.shape[-1])
        return [item[..., :length] for item, length in zip(self.data, self.lengths.tolist(), strict=True)]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None, non_blocking: bool = False
    ) -> PaddedBatch:
        """Returns the batch with its data on ``device``; lengths and ids stay where they are.

        Args:
            device: where the data goes, None to leave it.
            dtype: float type of the data; int16 is divided by 32768 (on the device, after the transfer).
            non_blocking: as in ``Tensor.to``.
        """
        data = self.data if device is None else self.data.to(device, non_blocking=non_blocking)
        if dtype is not None:
            data = as_float(data, dtype) if dtype.is_floating_point else data.to(dtype)
        return self._replace(data=data)

    def pin_memory(self) -> PaddedBatch:
        """Returns the batch with data in page-locked memory."""
        return self._replace(data=self.data.pin_memory())


def _replace(batch: PaddedBatch, /, **changes: Any) -> PaddedBatch:
    """Returns the batch with some fields changed, in a way that compilers of torch before 2.10 follow, too."""
    fields = {"data": batch.data, "lengths": batch.lengths, "rate": batch.rate, "ids": batch.ids}
    return PaddedBatch(**{**fields, **changes})


PaddedBatch._replace = _replace  # type: ignore[method-assign, assignment]
_by_fields = PaddedBatch.__new__


@functools.wraps(_by_fields)
def _new(kind: type[PaddedBatch], data: Any, *others: Any, **named: Any) -> PaddedBatch:
    """Returns a batch of its fields, or of one iterator of them, as trainers rebuild tuples whose tensors they move."""
    if not others and not named and isinstance(data, Iterator):
        return kind._make(data)
    return _by_fields(kind, data, *others, **named)


PaddedBatch.__new__ = staticmethod(_new)  # type: ignore[method-assign, assignment]


def as_tensor(values: Any, dtype: torch.dtype | None = None) -> Tensor:
    """Returns a tensor on its own device; numbers and arrays as one on the CPU, whatever torch's default device is."""
    if isinstance(values, Tensor):
        return values if dtype is None else values.to(dtype)
    if isinstance(values, np.ndarray):  # torch takes neither flipped arrays nor those of the other byte order
        values = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("="), copy=False).reshape(values.shape)
    return torch.as_tensor(values, dtype=dtype, device="cpu")


def as_float(data: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Returns samples as floats: int16 divided by 32768, half precision as float32, others as they are."""
    if data.dtype == torch.int16:
        return data.to(dtype or torch.float32) / 32768
    if dtype is None and data.dtype in (torch.float16, torch.bfloat16):
        return data.float()
    return data if dtype is None or data.is_complex() else data.to(dtype)


_MASKS: Any = WeakIdKeyDictionary()
"""Masks by size of lengths that nobody writes into, for as long as these live."""


def remember_masks(lengths: Tensor) -> None:
    """Makes `length_mask` keep what it returns for these lengths; nobody may write into them any more."""
    _MASKS[lengths] = {}


def length_mask(lengths: Tensor, size: int, device: torch.device) -> Tensor:
    """Returns bool ``[B, size]`` on ``device``, True below each length; never waits for the device."""
    known = None if device.type == "cpu" else _MASKS.get(lengths)
    if known is not None and size in known:
        return cast("Tensor", known[size])
    there = lengths if lengths.device == device else lengths.to(device, non_blocking=True)
    mask = count_up(size, device) < there.unsqueeze(-1)
    if known is not None:
        known[size] = mask
    return mask


def tensors_in(*values: Any) -> list[Tensor]:
    """Returns all tensors in any nesting of tuples, lists and dicts."""
    left, found = list(values), list[Tensor]()
    for value in left:  # which grows meanwhile
        if type(value) in NO_TENSORS:
            continue
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, (tuple, list)):
            left += value
    return found


def expand_mask(mask: Tensor, data: Tensor) -> Tensor:
    """Returns a ``[B, N]`` mask as ``[B, 1, ..., N]`` to broadcast over ``data``."""
    return mask.reshape(mask.shape[0], *[1] * (data.dim() - 2), mask.shape[1])


def beside(values: Tensor, data: Tensor) -> Tensor:
    """Returns values of items, ``[B]``, or of bands, ``[B, F]``, shaped to broadcast over ``data``.

    Shape ``[B, 1, ...]`` or ``[B, 1, ..., F, 1]``, in the type and on the device of ``data``.
    """
    if values.dim() == 1:
        return per_item(values, data)
    there = values.to(device=data.device, dtype=data.dtype, non_blocking=True)
    return there.reshape(values.shape[0], *[1] * (data.dim() - 3), values.shape[1], 1)


def per_item(values: Tensor, data: Tensor) -> Tensor:
    """Returns ``[B]`` host values as ``[B, 1, ...]`` in the type and on the device of ``data``."""
    return values.to(device=data.device, dtype=data.dtype, non_blocking=True).reshape(-1, *[1] * (data.dim() - 1))


def items_mask(chosen: Tensor, data: Tensor) -> Tensor:
    """Returns which items are chosen, bool ``[B]``, as ``[B, 1, ...]`` on the device of ``data``."""
    return chosen.to(data.device, non_blocking=True).reshape(-1, *[1] * (data.dim() - 1))


def pad(waves: Sequence[Any], *, rate: float, ids: Sequence[int] | Tensor | None = None) -> PaddedBatch:
    """Pads clips of unlike length into one batch.

    Args:
        waves: tensors or arrays ``[T]`` or ``[C, T]``, all with the same channels. int16 stays int16 if all are;
            among floats it becomes value / 32768.
        rate: steps per second of the last axis, Hz for waveforms.
        ids: identities of the items, see `PaddedBatch`.

    Raises:
        ValueError: no clips, or clips with unlike channels.
        TypeError: samples of another type than int16 or float.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.pad([torch.zeros(2), torch.zeros(4)], rate=8_000).mask().sum(1).tolist()
        [2, 4]
    """
    tensors = [as_tensor(wave) for wave in waves]
    if not tensors:
        raise ValueError(checks.message("pad", "at least one clip", "none", "Drop empty batches before padding."))
    for position, wave in enumerate(tensors):
        check_dtype("pad", wave, (*WAVE_DTYPES, torch.complex64, torch.complex128))
        if wave.dim() < 1 or wave.shape[:-1] != tensors[0].shape[:-1]:
            rule = f"every clip to have the channels of the first, {list(tensors[0].shape[:-1])}"
            got = f"shape {list(wave.shape)} for clip {position}"
            raise ValueError(checks.message("pad", rule, got, "Mix the clips down or drop channels."))
    if len({wave.dtype for wave in tensors}) > 1:
        tensors = [as_float(wave) for wave in tensors]
    kind = functools.reduce(torch.promote_types, [wave.dtype for wave in tensors])
    lengths = torch.tensor([wave.shape[-1] for wave in tensors], dtype=torch.int64, device="cpu")
    first = tensors[0]
    data = first.new_zeros((len(tensors), *first.shape[:-1], int(lengths.max())), dtype=kind)
    for row, wave in zip(data, tensors, strict=True):
        row[..., : wave.shape[-1]] = wave
    known = None if ids is None else as_tensor(ids, torch.int64)
    if known is not None and known.shape != lengths.shape:
        remedy = "Give one id a clip, or ids=None."
        raise ValueError(checks.message("pad", f"{len(tensors)} ids", list(known.shape), remedy))
    return PaddedBatch(data, lengths, checks.positive("pad", "rate", rate), known)


def lift(where: str, x: Any, on_batch: Callable[[PaddedBatch], Any], on_tensor: Callable[[Tensor], Any]) -> Any:
    """Calls a step by the type of its input: a Tensor, a PaddedBatch, or a tuple or list that begins with one.

    Args:
        where: name that errors begin with.
        x: the input.
        on_batch: called with a PaddedBatch; further elements of a tuple or list come back as they are.
        on_tensor: called with a Tensor.
    """
    if isinstance(x, PaddedBatch):
        return on_batch(x)
    if isinstance(x, Tensor):
        return on_tensor(x)
    if type(x) in (tuple, list) and x and isinstance(x[0], PaddedBatch):
        return type(x)([on_batch(x[0]), *x[1:]])
    rule = "a Tensor, a PaddedBatch, or a tuple or list that begins with a PaddedBatch"
    remedy = "Pad clips with ofs.pad or ofs.collate first."
    raise TypeError(checks.message(where, rule, type(x).__name__, remedy))


def by_key(where: str, call: Callable[[Any], Any], x: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """Returns a dictionary whose entry ``key``, a batch, has gone through a step; its other entries are the targets.

    Args:
        where: name that errors begin with.
        call: takes a tuple of the batch and the other entries, and returns such a tuple.
        x: the dictionary.
        key: of the batch.
    """
    if key is None or not isinstance(x.get(key), PaddedBatch):
        rule = "key= with a dictionary" if key is None else f"a PaddedBatch under the key {key!r}"
        got = ", ".join(f"{name!r}: {type(value).__name__}" for name, value in x.items()) or "an empty one"
        raise TypeError(checks.message(where, rule, got, 'Pass the name of the batch, as in key="audio".'))
    others = [name for name in x if name != key]
    batch, *rest = call((x[key], *(x[name] for name in others)))
    made = dict(zip(others, rest, strict=True))
    return {name: batch if name == key else made[name] for name in x}


def with_targets(step: Any, x: Any, change: Callable[[PaddedBatch, Sequence[Any]], tuple[Any, Sequence[Any]]]) -> Any:
    """Applies a change to the input of a step, and returns the result in the form of the input.

    Args:
        step: gives the axes of an item and the rate of a Tensor.
        x: a batch, a tuple or list of a batch and its targets, or a Tensor of one item or more, all of full length.
        change: takes a batch and its targets, returns them changed; the batch may become a mapping of batches.
    """
    where = type(step).__name__
    if type(x) in (tuple, list) and x and isinstance(x[0], PaddedBatch):
        batch, targets = change(x[0], x[1:])
        return type(x)([batch, *targets])

    def alone(batch: PaddedBatch) -> Any:
        return change(batch, [])[0]

    def full(data: Tensor) -> Any:
        check_rank(where, data, step.item_rank, batched=False)
        single = data.dim() == step.item_rank
        items = data.unsqueeze(0) if single else data
        lengths = torch.full((items.shape[0],), items.shape[-1], device="cpu")
        out = alone(PaddedBatch(items, lengths, step.sample_rate))
        if isinstance(out, dict):
            return {name: one.data[0] if single else one.data for name, one in out.items()}
        return out.data[0] if single else out.data

    return lift(where, x, alone, full)


def check_input(
    where: str, x: Tensor | PaddedBatch, item_rank: int, dtypes: Sequence[torch.dtype] | None = None
) -> None:
    """Raises unless a step takes a Tensor or a batch of this type and shape, and these lengths.

    Args:
        where: name that errors begin with.
        x: the input of the step.
        item_rank: axes of one item.
        dtypes: that the step takes; None for those of waveforms or of real features, by the axes.
    """
    data = x.data if isinstance(x, PaddedBatch) else x
    check_dtype(where, data, dtypes or (WAVE_DTYPES if item_rank == 1 else FEATURE_DTYPES))
    check_rank(where, data, item_rank, batched=isinstance(x, PaddedBatch))
    if isinstance(x, PaddedBatch):
        check_lengths(where, x.lengths, data.shape[0], data.shape[-1])


def check_dtype(where: str, data: Any, allowed: Sequence[torch.dtype]) -> None:
    """Raises unless ``data`` is a tensor of one of the ``allowed`` types."""
    if not isinstance(data, Tensor):
        remedy = "Use torch.from_numpy or ofs.pad."
        raise TypeError(checks.message(where, "a Tensor or a PaddedBatch", type(data).__name__, remedy))
    if data.dtype not in allowed:
        remedy = "Convert it: float samples lie in -1..1, int16 means value / 32768."
        raise TypeError(
            checks.message(where, f"data of type {', '.join(map(_name, allowed))}", _name(data.dtype), remedy)
        )


def check_rank(where: str, data: Tensor, item_rank: int, *, batched: bool) -> None:
    """Raises unless ``data`` has the axes of one item (``item_rank``) or of a batch of them."""
    if data.is_nested:
        remedy = "Pad its parts: ofs.pad(data.unbind(), rate=...)."
        raise TypeError(checks.message(where, "a padded Tensor", "a nested one", remedy))
    lowest = item_rank + batched
    if not lowest <= data.dim() <= item_rank + 2:
        one, batch = ("[T]", "[B, T] or [B, C, T]") if item_rank == 1 else ("[F, N]", "[B, F, N] or [B, C, F, N]")
        shapes = batch if batched else f"{one}, {batch}"
        raise ValueError(checks.message(where, f"data of shape {shapes}", list(data.shape), "Reshape it."))


def check_rate(where: str, expected: float, got: float) -> None:
    """Raises if the rate of a batch, ``got``, is not the sample rate that a step was built for, both in Hz."""
    if expected != got:
        remedy = f"Put Resample(sample_rate={got:g}, new_sample_rate={expected:g}) before it or build it for {got:g}."
        raise ValueError(checks.message(where, f"a batch of {expected:g} Hz (its sample_rate)", f"{got:g} Hz", remedy))


_TRUSTED: Any = WeakIdKeyDictionary()
"""Lengths that need not be looked at: they were, or they come of others by a formula."""


def trust(lengths: Tensor) -> None:
    """Makes `check_lengths` take lengths as they are; nobody may write into them any more."""
    _TRUSTED[lengths] = True


def check_lengths(where: str, values: Tensor, batch: int, longest: int) -> None:
    """Raises unless lengths are int64 ``[batch]`` within ``0 .. longest``; a device is not asked for their values."""
    if not isinstance(values, Tensor):
        remedy = "Write torch.tensor(lengths)."
        raise TypeError(checks.message(where, f"lengths as a Tensor, int64 [{batch}]", type(values).__name__, remedy))
    if values.dtype != torch.int64 or values.dim() != 1 or values.shape[0] != batch:
        got = f"{_name(values.dtype)} {list(values.shape)}"
        raise ValueError(checks.message(where, f"lengths as int64 [{batch}]", got, "Give one length an item."))
    if values.device.type == "cpu" and not torch.compiler.is_compiling() and batch and values not in _TRUSTED:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > longest:
            rule = f"lengths between 0 and {longest} (the last axis of data)"
            remedy = "Pass lengths in steps of the data, before padding."
            raise ValueError(checks.message(where, rule, low if low < 0 else high, remedy))


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
