"""Plans of edits: what a plan may know of a batch, and what fixed and random steps plan alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, as_float, check_rate
from ontheflyspec.functional.masks import Spans, gaps
from ontheflyspec.functional.time_maps import SampleMap, rearrange
from ontheflyspec.labels import Extent, Target, TimeMap, mixed
from ontheflyspec.op import Edit, Op, execute
from ontheflyspec.recordings import Bank, Waves, check_match, look_up


class Info(NamedTuple):
    """Metadata of a batch, all that a plan may depend on: it is made before the samples are there.

    Args:
        lengths: steps of each item, int64 ``[B]`` on any device.
        rate: steps per second, None if it is not known.
        shape: ``[B, ..., T]`` of the data; ``[B]`` if lengths alone are asked for.
        where: name that errors begin with.
        device: of the data, None if lengths alone are asked for.
    """

    lengths: Tensor
    rate: float | None
    shape: torch.Size
    where: str
    device: torch.device | None = None

    @classmethod
    def of(cls, batch: PaddedBatch, where: str) -> Info:
        """Returns the metadata of a batch."""
        return cls(batch.lengths, batch.rate, batch.data.shape, where, batch.data.device)

    @property
    def size(self) -> int:
        """Steps of the last axis, 0 if lengths alone are asked for."""
        return self.shape[-1] if len(self.shape) > 1 else 0

    @property
    def channels(self) -> int:
        """Channels of waveforms, 1 where they have no axis."""
        return self.shape[1] if len(self.shape) > 2 else 1

    @property
    def bands(self) -> int:
        """Bands of spectrograms, 0 if lengths alone are asked for."""
        return self.shape[-2] if len(self.shape) > 2 else 0

    def known_rate(self, what: str) -> float:
        """Returns the rate, or raises that ``what`` needs one."""
        return checks.known_rate(self.where, self.rate, what)

    def waves(self, bank: Bank, files: Tensor) -> Waves:
        """Returns the waves at positions ``files`` of a bank, counting round, or raises unless they fit the batch."""
        self.check_bank(bank)
        return look_up(bank, files)

    def check_bank(self, bank: Bank) -> None:
        """Raises unless the waves of a bank fit the batch."""
        check_match(self.where, bank, self.known_rate(f"a bank of {bank.rate:g} Hz"), self.channels, self.device)

    def all_active(self) -> Tensor:
        """Returns True for each item, bool ``[B]`` on the host."""
        return torch.ones(self.shape[0], dtype=torch.bool, device="cpu")

    def each(self, value: float) -> Tensor:
        """Returns a number for each item, float64 ``[B]`` on the host."""
        return torch.full((self.shape[0],), value, dtype=torch.float64, device="cpu")

    def edit(self, op: Op[..., Any], active: Tensor | None, **options: Any) -> Edit:
        """Returns an edit by ``op`` that leaves lengths as they are."""
        return Edit(op, options, active, self.lengths, self.size)

    def rearranged(self, sample_map: SampleMap, lengths: Tensor, size: int) -> Edit:
        """Returns an edit that moves segments of items into results of ``lengths``, with a last axis of ``size``."""
        options = {"sample_map": sample_map, "size": size}
        return Edit(rearrange, options, None, lengths, size, lambda: self.moved(sample_map))

    def moved(self, sample_map: SampleMap) -> TimeMap:
        """Returns the time map, in seconds, of a map in samples."""
        return sample_map.time_map(self.known_rate("times in seconds"))

    def around(self, hidden: Spans) -> TimeMap:
        """Returns the time map, in seconds, of items that stay in place and lose the time of the hidden spans."""
        first, last = gaps(*hidden, self.lengths)
        return self.moved(SampleMap(first, last, first, torch.ones_like(first)))

    def one_piece(self, slope: Tensor) -> TimeMap:
        """Returns the time map of items stretched evenly: ``slope``, float64 ``[B]``, seconds for each of their own."""
        end = self.lengths.double().unsqueeze(-1) / self.known_rate("times in seconds")
        nothing = torch.zeros_like(end)
        return TimeMap(nothing, end, nothing, slope.unsqueeze(-1))

    def column(self, values: Tensor) -> Tensor:
        """Returns values ``[B]`` as ``[B, 1]`` on the device of the lengths."""
        return values.to(self.lengths.device, non_blocking=True).unsqueeze(-1)

    def after(self, edit: Edit) -> Info:
        """Returns the metadata of the batch after an edit."""
        lengths = self.lengths if edit.lengths is None else edit.lengths
        return self._replace(lengths=lengths, shape=torch.Size((*self.shape[:-1], edit.size)))


def followed(
    targets: Sequence[Any], edit: Edit, before: Info, after: Info, moved: TimeMap | None = None
) -> Sequence[Any]:
    """Returns targets after an edit; ``moved`` is its time map if only the operation itself knows it."""
    if edit.mixed is not None:
        return [mixed(before.where, target, *edit.mixed) for target in targets]
    time = edit.time if moved is None else lambda: moved
    if time is None or not any(isinstance(target, Target | PaddedBatch) for target in targets):
        return list(targets)
    time_map, spans = time(), [Extent(one.lengths, one.rate, one.shape[-1]) for one in (before, after)]

    def follow(target: Any) -> Any:
        if isinstance(target, PaddedBatch):
            return target if edit.hides else _beside(target, edit, before, after, time_map)
        return target.follow(time_map, *spans) if isinstance(target, Target) else target

    return [follow(target) for target in targets]


def _beside(wave: PaddedBatch, edit: Edit, before: Info, after: Info, time_map: TimeMap) -> PaddedBatch:
    """Returns a second batch of waves, which stands beside the first, with its time moved as the first one's.

    Raises:
        ValueError: another rate or other lengths than those of the first, so that no edit of it fits.
    """
    alike = wave.rate == before.rate and (wave.lengths is before.lengths or wave.lengths.equal(before.lengths))
    if not alike:
        got = f"{wave.rate} steps per second beside {before.rate}" if wave.rate != before.rate else "other lengths"
        rule = "a second batch of the rate and lengths of the first, to move with it"
        remedy = "Move waves before features, or leave the second one out."
        raise ValueError(checks.message(before.where, rule, got, remedy))
    wave = wave._replace(data=as_float(wave.data))
    if edit.lengths is not None:
        return execute({0: edit}, wave)[0]
    start, end, place = (torch.round(one * (before.rate or 1)).long() for one in time_map[:3])
    sample_map = SampleMap(start, end, place, time_map.slope.long())
    return execute({0: before.rearranged(sample_map, after.lengths, after.shape[-1])}, wave)[0]


def last_axis(sizes: Tensor, bounds: Tensor) -> int:
    """Returns the largest of the sizes if they are on the host, else of their upper bounds, which are there."""
    known = sizes if sizes.device.type == "cpu" else bounds
    return int(known.max()) if known.numel() else 0


def fitted(
    info: Info, active: Tensor | None, wanted: int, start: Tensor | str, position: Tensor | str, *, pads: bool
) -> Edit:
    """Returns the edit that brings active items to a fixed duration.

    Args:
        info: of the batch.
        active: bool ``[B]``; other items stay whole. None for all.
        wanted: steps.
        start: where a longer item is cropped: ``"start"`` (its start is kept), ``"center"``, ``"end"``, or a share of
            the possible starts, float64 ``[B]``.
        position: where a shorter item lies among the silence, likewise.
        pads: whether shorter items are padded; else they stay whole.
    """
    n = info.lengths.unsqueeze(-1)
    size = torch.full_like(n, wanted) if pads else n.clamp(max=wanted)
    last = wanted if pads else min(info.size, wanted)
    if active is not None:
        size = torch.where(info.column(active), size, n)
        last = last_axis(size, torch.where(active, last, info.size))

    def within(free: Tensor, where: Tensor | str) -> Tensor:
        """Returns a place in 0 to ``free``."""
        if isinstance(where, str):
            return {"start": torch.zeros_like(free), "center": free // 2, "end": free}[where]
        return torch.minimum((info.column(where) * (free + 1)).long(), free)

    first, place = within((n - size).clamp(min=0), start), within((size - n).clamp(min=0), position)
    sample_map = SampleMap(first, first + torch.minimum(n, size), place, torch.ones_like(first))
    return info.rearranged(sample_map, size.squeeze(-1), last)


def duration(info: Info, seconds: float, sample_rate: float | None) -> int:
    """Returns a duration in steps of a batch, at least 1, or raises unless its rate is known, and that of a step."""
    if info.rate is None and len(info.shape) == 1:
        rule = "a sample_rate, to know lengths without a batch"
        remedy = f"Make it with {info.where}(sample_rate=...)."
        raise ValueError(checks.message(info.where, rule, "none", remedy))
    rate = info.known_rate("a duration in seconds")
    if sample_rate is not None:
        check_rate(info.where, sample_rate, rate)
    return max(round(seconds * rate), 1)


def filtered(
    info: Info, op: Op[..., Any], active: Tensor, lowest: tuple[str, float], filters: tuple[Tensor, int], **options: Any
) -> Edit:
    """Returns the edit that filters active items.

    Args:
        info: of the batch.
        op: takes ``sections`` and ``tail``.
        active: bool ``[B]``.
        lowest: name and Hz of the lowest frequency that is ever used.
        filters: sections, float64 ``[B, S, 2, 3]``, and the samples of the longest response.
        options: of the op.

    Raises:
        ValueError: a batch without a rate, or a frequency that is never below half of it.
    """
    rate, (name, hertz) = info.known_rate("frequencies in Hz"), lowest
    if hertz >= rate / 2:
        rule = f"{name} to begin below half the rate, {rate / 2:g} Hz"
        remedy = f"Lower {name} or leave {info.where} out."
        raise ValueError(checks.message(info.where, rule, f"{hertz:g} Hz", remedy))
    return info.edit(op, active, sections=filters[0], tail=filters[1], **options)
