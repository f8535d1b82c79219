"""Random steps."""

from ontheflyspec.augment.bands import VTLP, FilterAugment, FrequencyShift
from ontheflyspec.augment.channels import ChannelDrop, ChannelShuffle
from ontheflyspec.augment.cutout import SpecCutout
from ontheflyspec.augment.level import Gain, PolarityInversion
from ontheflyspec.augment.mixing import CutMix, MixUp
from ontheflyspec.augment.noise import AddColoredNoise
from ontheflyspec.augment.spectrogram import SpecAugment
from ontheflyspec.augment.timing import TimeShift

__all__ = [
    "VTLP",
    "AddColoredNoise",
    "ChannelDrop",
    "ChannelShuffle",
    "CutMix",
    "FilterAugment",
    "FrequencyShift",
    "Gain",
    "MixUp",
    "PolarityInversion",
    "SpecAugment",
    "SpecCutout",
    "TimeShift",
]
