"""Targets that follow the audio: labels of frames, segments of time, and labels of whole clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_tensor, expand_mask, length_mask, pad

SLACK = 1e-6
"""Steps or seconds by which rounding may move a border."""


class TimeMap(NamedTuple):
    """Piecewise linear map from the time of each item to that of its result, in P segments.

    Time of the item in no segment is lost; time of the result that no segment reaches shows nothing of the item.

    Args:
        start: seconds in the item, first of each segment, float64 ``[B, P]`` on any device.
        end: seconds in the item, last of each segment, likewise; none above ``start`` for an empty segment.
        place: seconds in the result where the segment's start comes to lie, likewise.
        slope: seconds in the result for one in the item, below 0 for a segment that runs backwards, likewise.
    """

    start: Tensor
    end: Tensor
    place: Tensor
    slope: Tensor


class Extent(NamedTuple):
    """Lengths of a batch's items: steps of each, int64 ``[B]``; steps per second; steps of the last axis."""

    lengths: Tensor
    rate: float | None
    size: int

    def seconds(self) -> Tensor:
        """Returns seconds of each item, float64 ``[B]``."""
        return self.lengths.double() / self.known_rate()

    def known_rate(self) -> float:
        """Returns the rate in steps per second, or raises that it is not known."""
        return checks.known_rate("labels", self.rate, "labels in time")


class FrameLabels(NamedTuple):
    """Labels of evenly spaced frames, which follow the audio through every augmentation that moves time.

    Frame n stands for second ``n / rate`` if an item has more frames than fit into it (as features with ``center``
    have), else for the time from there to the next frame. Frames whose time has no source in the item become 0.

    Args:
        data: ``[B, K, N]``, any type; 0 past each length.
        lengths: int64 ``[B]``, valid frames.
        rate: frames per second.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(8_000), torch.randn(4_000)], rate=8_000)
        >>> labels = ofs.FrameLabels.pad([torch.eye(4), torch.eye(4)[:, :2]], rate=4.0)
        >>> _, moved = ofs.augment.TimeShift(shift_s=0.25)((batch, labels))
        >>> moved.data[0].argmax(0).tolist()
        [3, 0, 1, 2]
    """

    data: Tensor
    lengths: Tensor
    rate: float

    @classmethod
    def pad(cls, items: Sequence[Any], *, rate: float) -> FrameLabels:
        """Returns the labels of clips, each ``[K, N]``, as one batch."""
        tensors = [as_tensor(item) for item in items]
        whole = pad([item.to(torch.float64) for item in tensors], rate=rate)
        return cls(whole.data.to(tensors[0].dtype), whole.lengths, rate)

    @classmethod
    def join(cls, parts: Sequence[FrameLabels]) -> FrameLabels:
        """Returns the labels of several batches as one."""
        rates = {part.rate for part in parts}
        if len(rates) > 1:
            remedy = "Label all clips at one rate."
            raise ValueError(checks.message("FrameLabels", "labels of one rate", sorted(rates), remedy))
        longest = max(part.data.shape[-1] for part in parts)
        padded = [torch.nn.functional.pad(part.data, (0, longest - part.data.shape[-1])) for part in parts]
        return cls(torch.cat(padded), torch.cat([part.lengths for part in parts]), parts[0].rate)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> FrameLabels:
        """Returns the labels with their data on ``device``; lengths stay where they are."""
        return self._replace(data=self.data.to(device, non_blocking=non_blocking))

    def take(self, rows: Sequence[int]) -> FrameLabels:
        """Returns the labels of some items."""
        return self._replace(data=take(self.data, rows), lengths=take(self.lengths, rows))

    def follow(self, time_map: TimeMap, before: Extent, after: Extent) -> FrameLabels:
        """Returns the labels of items of extent ``after``, which an edit made of items of extent ``before``."""
        device, home = self.data.device, after.lengths.device
        check_count(self, len(after.lengths))
        self._check(before)
        held = self.lengths.to(home, non_blocking=True)
        spare = held - self._fitting(before)
        lengths = torch.where(after.lengths > 0, (self._fitting(after) + spare).clamp(min=0), 0)
        size = max(lengths.tolist(), default=0) if home.type == "cpu" else self._room(before, after)
        held, spare = (part.to(device, non_blocking=True).unsqueeze(-1) for part in (held, spare))
        half = torch.where(spare > 0, 0.0, 0.5)
        seconds, shown = _origin((torch.arange(size, device=device) + half) / self.rate, time_map)
        frames = (seconds * self.rate + 0.5 - half + SLACK).floor().long()
        frames = torch.minimum(frames, held - 1).clamp(min=0)
        shown = shown & length_mask(lengths, size, device)
        source = torch.nn.functional.pad(self.data, (0, 1))  # so that there is one to read where there are none
        index = expand_mask(frames, self.data).expand(*self.data.shape[:-1], size)
        moved = source.gather(-1, index).masked_fill(~expand_mask(shown, self.data), 0)
        return self._replace(data=moved, lengths=lengths)

    def _fitting(self, items: Extent) -> Tensor:
        """Returns the number of whole frames in each item, int64 ``[B]``."""
        return (items.seconds() * self.rate + SLACK).floor().long()

    def _room(self, before: Extent, after: Extent) -> int:
        """Returns an upper bound of the frames after an edit, for lengths that only a device knows."""
        grown = after.size / after.known_rate() - before.size / before.known_rate()
        return max(self.data.shape[-1] + math.ceil(grown * self.rate + 1), 0)

    def _check(self, items: Extent) -> None:
        """Raises unless the labels are as long as the items, as far as the host knows."""
        if self.lengths.device.type != "cpu" or items.lengths.device.type != "cpu":
            return
        for place, (held, seconds) in enumerate(zip(self.lengths.tolist(), items.seconds().tolist(), strict=True)):
            if abs(held - seconds * self.rate) > 2:
                rule = f"labels of item {place} for its {seconds:g} s, {seconds * self.rate:.0f} frames"
                remedy = "Check the rate of the labels, in frames per second."
                raise ValueError(checks.message("FrameLabels", rule, held, remedy))


class Segments(NamedTuple):
    """Labelled segments of time, which follow the audio through every augmentation that moves time.

    A segment that is cut in two comes back as two; one that leaves the item is gone. Segments stay on the host.

    Args:
        items: for each clip a list of ``(start, end, label)``, in seconds; the label may be anything.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(8_000)], rate=8_000)
        >>> _, moved = ofs.augment.TimeShift(shift_s=0.25)((batch, ofs.Segments([[(0.5, 1.0, "dog")]])))
        >>> moved.items
        [[(0.0, 0.25, 'dog'), (0.75, 1.0, 'dog')]]
    """

    items: list[list[tuple[float, float, Any]]]

    @classmethod
    def join(cls, parts: Sequence[Segments]) -> Segments:
        """Returns the segments of several batches as one."""
        return cls([item for part in parts for item in part.items])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Segments:  # noqa: ARG002
        """Returns the segments, which stay on the host."""
        return self

    def take(self, rows: Sequence[int]) -> Segments:
        """Returns the labels of some items."""
        return Segments([self.items[row] for row in rows])

    def follow(self, time_map: TimeMap, before: Extent, after: Extent) -> Segments:  # noqa: ARG002
        """Returns the segments of items of extent ``after``, which an edit made of items of extent ``before``."""
        check_count(self, len(after.lengths))
        segments, ends = torch.stack([part.cpu() for part in time_map], -1).tolist(), after.seconds().tolist()
        return Segments([_moved(*item) for item in zip(self.items, segments, ends, strict=True)])


class ClipLabels(NamedTuple):
    """Class labels of whole clips, which change only where clips are mixed.

    Args:
        data: class indices, int64 ``[B]``, or shares of K classes, ``[B, K]``.
        n_classes: number of classes K, for class indices.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> labels = ofs.ClipLabels(torch.tensor([2, 0]), n_classes=3)
        >>> labels.shares()
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """

    data: Tensor
    n_classes: int | None = None

    def shares(self) -> Tensor:
        """Returns the shares of classes, float ``[B, K]``; one-hot for class indices."""
        if self.data.dim() == 2:
            return self.data if self.data.is_floating_point() else self.data.float()
        if self.n_classes is None:
            rule = "n_classes, for labels that are numbers of classes"
            raise ValueError(checks.message("ClipLabels", rule, "none", "Use ofs.ClipLabels(labels, n_classes=...)."))
        return torch.nn.functional.one_hot(self.data, self.n_classes).float()

    @classmethod
    def join(cls, parts: Sequence[ClipLabels]) -> ClipLabels:
        """Returns the labels of several batches as one."""
        counts = {part.n_classes for part in parts}
        if len(counts) > 1:
            raise ValueError(checks.message("ClipLabels", "one n_classes", counts, "Give all clips the same."))
        return cls(torch.cat([part.data for part in parts]), parts[0].n_classes)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> ClipLabels:
        """Returns the labels on ``device``."""
        return self._replace(data=self.data.to(device, non_blocking=non_blocking))

    def take(self, rows: Sequence[int]) -> ClipLabels:
        """Returns the labels of some items."""
        return self._replace(data=take(self.data, rows))

    def follow(self, time_map: TimeMap, before: Extent, after: Extent) -> ClipLabels:  # noqa: ARG002
        """Returns the labels as they are: a clip whose time is moved stays of its class."""
        return self


Target = FrameLabels | Segments | ClipLabels
"""What follows the audio when it stands beside a batch."""


def check_count(target: Target, count: int) -> None:
    """Raises unless labels are those of ``count`` items."""
    held, kind = len(target[0]), type(target).__name__
    if held != count:
        what, remedy = ("segments", "a list") if isinstance(target, Segments) else ("labels", "a row of labels")
        rule, remedy = f"{what} of {count} items", f"Give {remedy} for each item, [] for none."
        raise ValueError(checks.message(kind, rule, held, remedy))


def merged(parts: Sequence[tuple[Sequence[int], Any]]) -> Any:
    """Returns labels of all items, from parts and the positions in the batch that their items have."""
    positions = [row for rows, _ in parts for row in rows]
    back = sorted(range(len(positions)), key=positions.__getitem__)
    return parts[0][1].join([part for _, part in parts]).take(back)


def mixed(where: str, target: Any, partner: Tensor, weight: Tensor) -> ClipLabels:
    """Returns the labels of mixed items, see `mix_labels`, or raises that a target cannot be mixed."""
    if not isinstance(target, ClipLabels):
        remedy = "Wrap labels of clips in ofs.ClipLabels; leave other targets out."
        raise TypeError(checks.message(where, "targets that can be mixed", type(target).__name__, remedy))
    return target._replace(data=mix_labels(where, target.data, partner, weight, target.n_classes))


def mix_labels(where: str, labels: Tensor, partner: Tensor, weight: Tensor, n_classes: int | None) -> Tensor:
    """Returns ``weight`` of each item's shares of classes plus ``1 - weight`` of its partner's, float ``[B, K]``.

    Args:
        where: name that errors begin with.
        labels: class indices, int64 ``[B]``, or one row an item, ``[B, K]``.
        partner: int64 ``[B]``, positions in the batch.
        weight: float64 ``[B]``, each item's own share.
        n_classes: K for class indices.
    """
    if labels.dim() == 1 and not labels.is_floating_point():
        if n_classes is None:
            rule = "n_classes with class indices"
            raise ValueError(checks.message(where, rule, "none", "Pass n_classes, or one row of targets an item."))
        count = checks.integer(where, "n_classes", n_classes)
        labels = labels.unsqueeze(-1) == torch.arange(count, device=labels.device)
    if labels.dim() != 2 or labels.shape[0] != partner.shape[0]:
        rule, got = f"labels of shape [{partner.shape[0]}] or [{partner.shape[0]}, K]", list(labels.shape)
        raise ValueError(checks.message(where, rule, got, "Give one label, or one row of targets, an item."))
    rows = labels if labels.is_floating_point() else labels.to(torch.get_default_dtype())
    own = weight.to(device=rows.device, dtype=rows.dtype, non_blocking=True).unsqueeze(-1)
    return own * rows + (1 - own) * rows.index_select(0, partner.to(rows.device, non_blocking=True))


def take(values: Tensor, rows: Sequence[int] | Tensor) -> Tensor:
    """Returns some rows of a tensor on any device; they are numbers on the host."""
    index = rows if isinstance(rows, Tensor) else torch.tensor(rows, dtype=torch.int64, device="cpu")
    return values.index_select(0, index.to(values.device, non_blocking=True))


def _origin(times: Tensor, time_map: TimeMap) -> tuple[Tensor, Tensor]:
    """Returns source times of result times, both ``[B, N]`` seconds, and which of them have one, bool ``[B, N]``."""
    start, end, place, slope = (part.to(times.device, non_blocking=True).unsqueeze(-1) for part in time_map)
    source = start + (times.unsqueeze(1) - place) / slope
    inside = (source >= start - SLACK) & (source <= end + SLACK) & (end > start)
    first = inside.to(torch.uint8).argmax(1, keepdim=True)
    return source.gather(1, first)[:, 0], inside.any(1)


def _moved(
    segments: list[tuple[float, float, Any]], time_map: list[list[float]], end: float
) -> list[tuple[float, float, Any]]:
    """Returns the moved segments of one item of ``end`` seconds, cut to its time, in the order of their starts."""
    made = []
    for first, last, label in segments:
        found = []
        for start, stop, place, slope in time_map:
            low, high = max(first, start), min(last, stop)
            if stop > start and (high > low or (first == last and low == high)):
                edges = sorted((place + (low - start) * slope, place + (high - start) * slope))
                found.append((max(edges[0], 0.0), min(edges[1], end)))
        joined: list[tuple[float, float]] = []
        for low, high in sorted(found):
            if joined and low - joined[-1][1] <= SLACK:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        made += [(low, high, label) for low, high in joined]
    return sorted(made, key=lambda segment: segment[:2])
