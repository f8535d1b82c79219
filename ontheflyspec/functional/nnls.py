"""Non-negative least squares by a fixed number of steps, every frame by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ontheflyspec.functional.filterbanks import Band
from ontheflyspec.functional.signal_frames import cut
from ontheflyspec.op import Op

RIDGE, RELAXATION = 0.01, 1.7
"""Of each step, in shares of the largest eigenvalue and of a plain step: tried on tones, noise and their mixtures."""


def scaled(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Returns weights whose product with their transpose has no eigenvalue above 1, and the scale of each column.

    The scale is 1 over the root of the row sum of ``weights.T @ weights``, 0 where a column is.
    """
    sums = weights.t() @ weights.sum(1)
    scale = torch.where(sums > 0, torch.where(sums > 0, sums, 1).rsqrt(), 0)
    return weights * scale, scale


def ridge_inverse(weights: Tensor) -> Tensor:
    """Returns the inverse of ``A @ A.T + RIDGE`` for scaled weights A, float64 ``[F, F]``."""
    matrix, _ = scaled(weights.double())
    result: Tensor = torch.linalg.inv(matrix @ matrix.t() + RIDGE * torch.eye(len(matrix), dtype=torch.float64))
    return result


@Op
def nonnegative_least_squares(
    x: Tensor,
    lengths: Tensor | None,
    *,
    weights: Tensor,
    inverse: Tensor,
    bands: list[Band],  # noqa: ARG001
    n_iter: int,
) -> Tensor:
    """Returns S, nowhere below 0, for which ``weights @ S`` comes near ``x`` in least squares.

    Douglas and Rachford's steps from 0: reflected at the quarter space and at least squares with a ridge in turn. That
    ridge changes how fast they come near, not where to. Projected gradients with Nesterov's momentum leave about four
    times as much after as many steps.

    Args:
        x: ``[B, ..., F, N]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        weights: ``[F, K]``, nowhere below 0.
        inverse: ``[F, F]`` of `ridge_inverse`.
        bands: of the weights, as `filterbanks.bands` gives them; not asked for here.
        n_iter: steps.

    Shape: ``[B, ..., K, N]``, 0 past each length.
    """
    matrix, scale = scaled(weights)
    back, x = matrix.t(), cut(x, lengths)

    def through(s: Tensor) -> Tensor:
        return torch.matmul(back, torch.matmul(inverse, torch.matmul(matrix, s)))

    return iterate(torch.matmul(back, torch.matmul(inverse, x)), through, n_iter) * scale.unsqueeze(1)


def iterate(base: Tensor, through: Callable[[Tensor], Tensor], n_iter: int) -> Tensor:
    """Returns the solution after some steps, from the ridge's own solution for the data and its ``through``."""
    state = torch.zeros_like(base)
    for _ in range(n_iter):
        folded = state.abs()
        state = (1 - RELAXATION / 2) * state + RELAXATION * (base + folded / 2 - through(folded))
    return state.clamp(min=0)
