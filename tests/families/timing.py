"""Augmentations that move time, or pitch without it."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import Case


def _case(name: str, kind: str, options: dict[str, Any] | None = None, **facts: Any) -> Case:
    make = functools.partial(getattr(ofs.augment, kind), **(options or {}))
    return Case(f"{kind}-{name}" if name else kind, make, random=True, **facts)


CASES: list[Case] = [
    _case("", "PitchShift", {"p": 0.8}, smooth=False),
    _case("", "TimeStretch", {"p": 0.8}, smooth=False, lengths="drawn"),
    _case("", "Speed", {"p": 0.8}, lengths="drawn"),
]
