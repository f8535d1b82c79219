"""Identities of items: clip, epoch and occurrence in one whole number that can be read back."""

from __future__ import annotations

from typing import NamedTuple

from ontheflyspec import checks

CLIP_BITS, EPOCH_BITS, OCCURRENCE_BITS = 33, 16, 14
"""Together 63, so that identities are non-negative int64."""


class Identity(NamedTuple):
    """What seeds the random effects on an item.

    Args:
        clip: place in the data set as it was first built.
        epoch: number of the epoch, from 0.
        occurrence: how often the clip came before in this epoch.
    """

    clip: int
    epoch: int
    occurrence: int = 0

    def id(self) -> int:
        """Returns the identity as one number, or raises where a part of it has no room there."""
        clip, epoch, occurrence = self
        if clip >> CLIP_BITS or epoch >> EPOCH_BITS or occurrence >> OCCURRENCE_BITS:  # not 0 for negative ones, too
            self._refuse()
        return (clip << EPOCH_BITS | epoch) << OCCURRENCE_BITS | occurrence

    def _refuse(self) -> None:
        """Raises for a part that has no room."""
        for (name, value), bits in zip(self._asdict().items(), (CLIP_BITS, EPOCH_BITS, OCCURRENCE_BITS), strict=True):
            if value >> bits:
                rule, remedy = f"{name} from 0 to {(1 << bits) - 1} in an id", REMEDIES[name]
                raise ValueError(checks.message("AudioDataset", rule, value, remedy))

    @classmethod
    def of(cls, id: int) -> Identity:
        """Returns the identity that a non-negative number stands for."""
        rest, occurrence = divmod(id, 1 << OCCURRENCE_BITS)
        return cls(*divmod(rest, 1 << EPOCH_BITS), occurrence)


REMEDIES = {
    "clip": "Split the data set.",
    "epoch": "Count epochs from 0 with set_epoch.",
    "occurrence": "Draw a clip less often in an epoch.",
}
