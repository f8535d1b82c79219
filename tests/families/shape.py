"""Descriptors of a spectrum's shape, PCEN, separation of harmonic from percussive, learnable filters."""

from __future__ import annotations

from case import Case

CASES: list[Case] = []
