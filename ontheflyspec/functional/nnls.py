"""Non-negative least squares (NNLS) by a fixed number of Douglas-Rachford steps, every frame by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ontheflyspec.functional.filterbanks import FilterBlock
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.op import Op
from ontheflyspec.precision import matmul

RIDGE, RELAXATION = 0.01, 1.7
"""Ridge (share of the largest eigenvalue) and over-relaxation of a step: tuned on tones, noise and their mixtures."""


def scaled(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Returns weights A with scaled columns, so that ``A @ A.T`` has no eigenvalue above 1, and the scales.

    A scale is 1 over the square root of the row sum of ``weights.T @ weights``, 0 for a column of zeros.
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
    x: Tensor, lengths: Tensor | None, *, bank: tuple[Tensor, list[FilterBlock]], inverse: Tensor, n_iter: int
) -> Tensor:
    """Returns non-negative S for which ``weights @ S`` approximates ``x`` in least squares.

    Douglas-Rachford splitting from 0: reflections at the non-negative orthant and at the least-squares problem with a
    ridge, in turn. The ridge changes the speed of convergence, not the limit. Projected gradients with Nesterov's
    momentum leave about four times the error after as many steps.

    Args:
        x: ``[B, ..., F, N]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        bank: weights ``[F, K]``, not negative, and their runs of `filterbanks.bands`, which are not used here.
        inverse: ``[F, F]`` of `ridge_inverse`.
        n_iter: steps.

    Shape: ``[B, ..., K, N]``, 0 past each length.
    """
    matrix, scale = scaled(bank[0])
    back, x = matrix.t(), zero_padding(x, lengths)

    def through(s: Tensor) -> Tensor:
        return matmul(back, matmul(inverse, matmul(matrix, s)))

    return iterate(matmul(back, matmul(inverse, x)), through, n_iter) * scale.unsqueeze(1)


def iterate(base: Tensor, through: Callable[[Tensor], Tensor], n_iter: int) -> Tensor:
    """Returns the solution after ``n_iter`` steps.

    Args:
        base: least-squares solution with the ridge for the data.
        through: projection that such a solution leaves out: ``A.T @ inverse @ A`` times its argument.
        n_iter: steps.
    """
    state = torch.zeros_like(base)
    for _ in range(n_iter):
        folded = state.abs()
        state = (1 - RELAXATION / 2) * state + RELAXATION * (base + folded / 2 - through(folded))
    return state.clamp(min=0)
