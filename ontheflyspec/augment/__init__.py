"""Random steps."""

from ontheflyspec.augment.level import Gain, PolarityInversion
from ontheflyspec.augment.noise import AddColoredNoise
from ontheflyspec.augment.spectrogram import SpecAugment
from ontheflyspec.augment.speed import Speed
from ontheflyspec.augment.tempo import PitchShift, TimeStretch
from ontheflyspec.augment.timing import TimeShift

__all__ = [
    "AddColoredNoise",
    "Gain",
    "PitchShift",
    "PolarityInversion",
    "SpecAugment",
    "Speed",
    "TimeShift",
    "TimeStretch",
]
