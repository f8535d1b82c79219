"""Filter banks over the spectrum and their cepstra."""

from __future__ import annotations

from case import Case

CASES: list[Case] = []
