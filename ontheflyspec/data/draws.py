"""`Draw`: the index of a clip in an epoch."""

from __future__ import annotations

from typing import Any, NamedTuple


class StandIn(NamedTuple):
    """What a batch holds of which no clip can be read.

    Args:
        indices: the first clips of the rank's plan, of which the first readable one is taken.
        occurrence: that it gets, which no draw of the epoch has.
    """

    indices: tuple[int, ...]
    occurrence: int


class Draw(int):
    """The index of a clip, as samplers give it, that knows the epoch it is drawn in, and how often it came before.

    Args:
        index: position of the clip in its data set.
        epoch: number of the epoch, from 0.
        occurrence: how often this index came before in the epoch.

    Example:
        >>> import ontheflyspec as ofs
        >>> draw = ofs.Draw(7, epoch=2)
        >>> draw, draw.epoch, list(range(10))[draw]
        (Draw(7, epoch=2), 2, 7)
    """

    epoch: int
    occurrence: int
    stand_in: StandIn | None = None
    """Of the first index of a batch: what takes the batch's place if nothing of it can be read."""

    def __new__(cls, index: int, epoch: int = 0, occurrence: int = 0) -> Draw:
        """Makes an index with an epoch."""
        draw = super().__new__(cls, index)
        draw.epoch, draw.occurrence = epoch, occurrence
        return draw

    def __reduce__(self) -> tuple[Any, ...]:
        fields = int(self), self.epoch, self.occurrence
        return (Draw, fields) if self.stand_in is None else (Draw, fields, {"stand_in": self.stand_in})

    def __repr__(self) -> str:
        again = f", occurrence={self.occurrence}" if self.occurrence else ""
        return f"Draw({int(self)}, epoch={self.epoch}{again})"

    def __str__(self) -> str:
        return int.__repr__(self)
