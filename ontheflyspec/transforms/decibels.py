"""Decibels and logarithms of spectrograms."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import decibels
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import Transform


class AmplitudeToDB(Transform):
    """Decibels of powers or magnitudes, with reference and floor over each item's own valid frames.

    Args:
        stype: ``"power"`` (``10 log10``) or ``"magnitude"`` (``20 log10``).
        ref: value of 0 dB, a number above 0 or ``"max"`` for each item's maximum over its valid part.
        amin: smallest value that counts, above 0, in the input's unit.
        top_db: dB that an item may lie below its own maximum, None for no floor.

    Shape:
        ``[B, F, N]`` or ``[B, C, F, N]``, unchanged; a Tensor ``[F, N]`` is one item.

    Padding:
        Exactly 0 past each item's frames: a marker, not 0 dB. Use ``batch.mask()`` or ``batch.filled("min")``.

    Raises:
        ValueError: an option out of range.
        TypeError: features that are not real floats.

    Matches:
        ``librosa.power_to_db`` and ``librosa.amplitude_to_db`` item by item, 0.01 dB (tests/parity/test_decibels.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.AmplitudeToDB(ref="max")(torch.tensor([[1.0, 0.1]]))
        tensor([[  0., -10.]])
    """

    item_rank = 2

    def __init__(
        self,
        *,
        stype: Literal["power", "magnitude"] = "power",
        ref: float | Literal["max"] = 1.0,
        amin: float = 1e-10,
        top_db: float | None = None,
    ) -> None:
        super().__init__()
        where = "AmplitudeToDB"
        self.stype = checks.choice(where, "stype", stype, ("power", "magnitude"))
        by_item = isinstance(ref, str)
        self.ref = checks.choice(where, "ref", ref, ("max",)) if by_item else checks.positive(where, "ref", ref)
        self.amin = checks.positive(where, "amin", amin)
        self.top_db = None if top_db is None else checks.number(where, "top_db", top_db, low=0.0)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:  # noqa: ARG002
        """Returns the decibels of each value or item."""
        options = {"stype": self.stype, "ref": self.ref, "amin": self.amin, "top_db": self.top_db}
        return Pipeline((Node(decibels.decibels, options),))


class Log(Transform):
    """Natural logarithm of ``max(x, floor)``.

    Args:
        floor: smallest value that counts, above 0.

    Shape:
        ``[B, F, N]`` or ``[B, C, F, N]``, unchanged; a Tensor ``[F, N]`` is one item.

    Padding:
        Exactly 0 past each item's frames.

    Raises:
        ValueError: ``floor`` not above 0.
        TypeError: features that are not real floats.

    Matches:
        ``numpy.log`` (tests/parity/test_decibels.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.Log()(torch.ones(1, 2))
        tensor([[0., 0.]])
    """

    item_rank = 2

    def __init__(self, *, floor: float = 1e-10) -> None:
        super().__init__()
        self.floor = checks.positive("Log", "floor", floor)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:  # noqa: ARG002
        """Returns the logarithm of each value."""
        return Pipeline((Node(decibels.log, {"floor": self.floor}),))
