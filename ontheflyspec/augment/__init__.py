"""Random steps."""

from ontheflyspec.augment.cropping import AdjustDuration, RandomCrop, TrimSilence
from ontheflyspec.augment.level import Gain, PolarityInversion
from ontheflyspec.augment.noise import AddColoredNoise
from ontheflyspec.augment.spectrogram import SpecAugment
from ontheflyspec.augment.speed import Speed
from ontheflyspec.augment.tempo import PitchShift, TimeStretch
from ontheflyspec.augment.timemask import TimeMask
from ontheflyspec.augment.timing import ChunkSwap, TimeInversion, TimeShift

__all__ = [
    "AddColoredNoise",
    "AdjustDuration",
    "ChunkSwap",
    "Gain",
    "PitchShift",
    "PolarityInversion",
    "RandomCrop",
    "SpecAugment",
    "Speed",
    "TimeInversion",
    "TimeMask",
    "TimeShift",
    "TimeStretch",
    "TrimSilence",
]
