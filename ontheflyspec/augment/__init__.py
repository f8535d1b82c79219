"""Random steps."""

from ontheflyspec.augment.bands import BandPass, BandStop
from ontheflyspec.augment.equalizing import PeakingEQ, PreEmphasis, SevenBandEQ
from ontheflyspec.augment.filtering import HighPass, LowPass
from ontheflyspec.augment.level import Gain, PolarityInversion
from ontheflyspec.augment.noise import AddColoredNoise
from ontheflyspec.augment.shelving import HighShelf, LowShelf
from ontheflyspec.augment.spectrogram import SpecAugment
from ontheflyspec.augment.timing import TimeShift

__all__ = [
    "AddColoredNoise",
    "BandPass",
    "BandStop",
    "Gain",
    "HighPass",
    "HighShelf",
    "LowPass",
    "LowShelf",
    "PeakingEQ",
    "PolarityInversion",
    "PreEmphasis",
    "SevenBandEQ",
    "SpecAugment",
    "TimeShift",
]
