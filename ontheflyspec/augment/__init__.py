"""Random steps."""

from typing import Any

from ontheflyspec.augment.background import AddBackgroundNoise, Babble
from ontheflyspec.augment.bursts import ShortNoises
from ontheflyspec.augment.level import Gain, PolarityInversion
from ontheflyspec.augment.noise import AddColoredNoise
from ontheflyspec.augment.room import ApplyImpulseResponse, SimulateRoom
from ontheflyspec.augment.spectrogram import SpecAugment
from ontheflyspec.augment.timing import TimeShift

WaveformBank: type[Any]
"""`ontheflyspec.WaveformBank`, put here by the package itself."""

__all__ = [
    "AddBackgroundNoise",
    "AddColoredNoise",
    "ApplyImpulseResponse",
    "Babble",
    "Gain",
    "PolarityInversion",
    "ShortNoises",
    "SimulateRoom",
    "SpecAugment",
    "TimeShift",
    "WaveformBank",
]
