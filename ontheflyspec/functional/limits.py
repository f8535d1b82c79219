"""Straight-through estimators: values that are rounded or held within limits, with the derivative of the original."""

from __future__ import annotations

import math

from torch import Tensor

from ontheflyspec.torch_internals import differentiated, without_derivatives


def straight(value: Tensor, x: Tensor) -> Tensor:
    """Returns the value with the gradient of ``x`` (straight-through estimator)."""
    return without_derivatives(value) + (x - without_derivatives(x)) if differentiated(x) else value


def held(x: Tensor, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """Returns parameters clamped to limits, with the gradient as if they were not: one beyond a limit comes back."""
    return straight(x.clamp(low, high), x)
