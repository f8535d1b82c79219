"""Delta and delta-delta features: slopes of features over time."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import deltas
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import Transform


class Deltas(Transform):
    """Local slopes of features over time, of each item as if it stood alone: delta (and delta-delta) features.

    A polynomial of degree ``order`` is fitted to ``width`` frames around each frame, and its derivative taken. Near an
    item's own ends the value of the nearest frame with all its neighbours is held. An item shorter than ``width``
    frames, which librosa refuses, goes on with its first and last frame.

    Args:
        width: frames of a fit, an odd number above ``order``.
        order: of the derivative, 1 for deltas, 2 for delta-deltas.

    Shape:
        ``[B, F, N]`` or ``[B, C, F, N]``, unchanged; a Tensor ``[F, N]`` is one item. The unit is the input's by frame
        (to the power ``order``).

    Padding:
        Exactly 0 past each item's frames; padding takes no part in any slope.

    Raises:
        ValueError: ``width`` even, or not above ``order``.
        TypeError: features that are not real floats.

    Matches:
        ``librosa.feature.delta`` with its defaults, 1e-5 of the peak (tests/parity/test_deltas.py).

    References:
        Savitzky, Golay, "Smoothing and differentiation of data by simplified least squares procedures", 1964.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.Deltas(width=3)(torch.tensor([[0.0, 1.0, 4.0, 9.0]]))
        tensor([[2., 2., 4., 4.]])
    """

    item_rank = 2
    weights: Tensor

    def __init__(self, *, width: int = 9, order: int = 1) -> None:
        super().__init__()
        where = "Deltas"
        self.order = checks.integer(where, "order", order, low=1)
        self.width = checks.integer(where, "width", width, low=self.order + 1)
        if self.width % 2 == 0:
            rule = "an odd width, so that every frame has as many neighbours on both sides"
            raise ValueError(checks.message(where, rule, self.width, f"Take {self.width + 1}."))
        self.keep("weights", partial(deltas.slope_weights, self.width, self.order))

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:  # noqa: ARG002
        """Returns the slopes of each band."""
        return Pipeline((Node(deltas.slopes, {"weights": self.constant("weights", like.dtype)}),))
