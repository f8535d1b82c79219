"""Back from spectra to waves, and STFTs at other frequencies."""

from __future__ import annotations

from case import Case

CASES: list[Case] = []
