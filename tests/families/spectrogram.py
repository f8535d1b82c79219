"""Augmentations of spectrograms, of channels, and between items."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import Case


def _case(name: str, kind: str, takes: Any = "features", facts: dict[str, Any] | None = None, **options: Any) -> Case:
    make = functools.partial(getattr(ofs.augment, kind), **options)
    return Case(f"{kind}-{name}", make, takes, random=True, **(facts or {}))


CASES: list[Case] = [
    _case("warp", "SpecAugment", time_warp_param=7, max_time_share=0.3, time_mask_param=8, freq_mask_param=3, p=0.8),
]
