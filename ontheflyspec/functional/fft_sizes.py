"""Fast sizes of Fourier transforms: products of 2, 3 and 5."""

from __future__ import annotations

import math


def fast_size(least: float, step: int = 1) -> int:
    """Returns the smallest multiple of ``step`` by a product of 2, 3 and 5 that is not below ``least``."""
    count = max(math.ceil(least / step), 1)
    best = 1 << (count - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            best = min(best, three << (-(-count // three) - 1).bit_length())
            three *= 3
        five *= 5
    return best * step
