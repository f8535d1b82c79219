"""What the law tests know of one class with its options, and the small options that cases share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

needs_compiler = pytest.mark.skipif(torch.__version__ < (2, 9), reason="torch.compile takes steps whole from 2.9 on")

RATE = 8_000
BANDS = 6
FOURIER: dict[str, Any] = {"sample_rate": RATE, "n_fft": 64, "hop_length": 16}
MEL: dict[str, Any] = {**FOURIER, "n_mels": BANDS}


@dataclass(frozen=True)
class Case:
    """One public class with one choice of options.

    Args:
        name: of the test, ``Class-option-...``.
        make: builds it.
        takes: a wave, a power spectrogram (positive), features of either sign, or a complex spectrum.
        bands: of the spectrograms that it takes.
        steps: steps out for steps in, by the formula of the laws and not by the class.
        exact: alone and in a batch are bitwise equal on the CPU; else within 1e-5 of the item's peak.
        undo: takes the logarithm off an output before values are compared.
        magnitude: builds what gives the magnitude that weights a phase when phases are compared.
        random: draws by ids.
        constant: draws nothing that can differ between items.
        noise: makes samples on the device, so that values differ between kinds of device.
        smooth: has a derivative almost everywhere that gradcheck can check.
        lengths: come by a formula, are drawn, or depend on the samples.
    """

    name: str
    make: Callable[[], nn.Module]
    takes: Literal["wave", "power", "features", "complex"] = "wave"
    bands: int = BANDS
    steps: Callable[[int], int] = lambda n: n
    exact: bool = True
    undo: Callable[[Tensor], Tensor] = lambda values: values
    magnitude: Callable[[], nn.Module] | None = None
    random: bool = False
    constant: bool = False
    noise: bool = False
    smooth: bool = True
    lengths: Literal["formula", "drawn", "data"] = "formula"

    def __repr__(self) -> str:  # hypothesis writes it down for every example, before it runs
        return f"<{self.name}>"

    @property
    def rank(self) -> int:
        """Axes of one item."""
        return 1 if self.takes == "wave" else 2

    @property
    def trainable(self) -> bool:
        """Whether the module has parameters."""
        return any(True for _ in build(self).parameters())


def centred(hop: int) -> Callable[[int], int]:
    return lambda n: 1 + n // hop if n else 0


def uncentred(n_fft: int, hop: int) -> Callable[[int], int]:
    return lambda n: max(0, 1 + (n - n_fft) // hop)


def from_db(values: Tensor) -> Tensor:
    return 10 ** (values / 10)


def from_db_magnitude(values: Tensor) -> Tensor:
    return 10 ** (values / 20)


@functools.cache
def build(case: Case) -> nn.Module:
    """Returns the module of a case, made once."""
    return case.make()
