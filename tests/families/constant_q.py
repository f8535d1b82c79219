"""Constant-Q and variable-Q transforms and their inverse."""

from __future__ import annotations

from case import Case

CASES: list[Case] = []
