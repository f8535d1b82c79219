"""Signals that every parity test meets."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session")
def music() -> torch.Tensor:
    """Half a second at 16 kHz: a chirp, a decaying chord, a click, and noise 60 dB down."""
    t = torch.arange(8_000, dtype=torch.float64) / 16_000
    chirp = torch.sin(2 * torch.pi * (200 * t + 6_000 * t**2))
    chord = sum(torch.sin(2 * torch.pi * f * t) for f in (261.6, 329.6, 392.0)) * torch.exp(-6 * t)
    noise = torch.randn(8_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wave = 0.4 * chirp + 0.3 * chord + 1e-3 * noise
    wave[4_321] += 0.9
    return (wave / wave.abs().max()).float()
