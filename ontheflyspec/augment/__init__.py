"""Random steps."""

from typing import Any

from ontheflyspec.augment.background import AddBackgroundNoise, Babble
from ontheflyspec.augment.bands import BandPass, BandStop
from ontheflyspec.augment.bursts import ShortNoises
from ontheflyspec.augment.channels import ChannelDrop, ChannelShuffle
from ontheflyspec.augment.coloring import VTLP, FilterAugment, FrequencyShift
from ontheflyspec.augment.cropping import AdjustDuration, RandomCrop, TrimSilence
from ontheflyspec.augment.cutout import SpecCutout
from ontheflyspec.augment.distortion import BitCrush, Clip, MuLaw, TanhDistortion
from ontheflyspec.augment.envelopes import Fade, GainTransition
from ontheflyspec.augment.equalizing import PeakingEQ, PreEmphasis, SevenBandEQ
from ontheflyspec.augment.filtering import HighPass, LowPass
from ontheflyspec.augment.level import Gain, PolarityInversion
from ontheflyspec.augment.loudness import LoudnessNormalize, PeakNormalize, RMSNormalize
from ontheflyspec.augment.mixing import CutMix, MixUp
from ontheflyspec.augment.noise import AddColoredNoise
from ontheflyspec.augment.room import ApplyImpulseResponse, SimulateRoom
from ontheflyspec.augment.shelving import HighShelf, LowShelf
from ontheflyspec.augment.spectrogram import SpecAugment
from ontheflyspec.augment.speed import Speed
from ontheflyspec.augment.telephony import Telephone
from ontheflyspec.augment.tempo import PitchShift, TimeStretch
from ontheflyspec.augment.timemask import TimeMask
from ontheflyspec.augment.timing import ChunkSwap, TimeInversion, TimeShift

WaveformBank: type[Any]
"""`ontheflyspec.WaveformBank`, put here by the package itself."""

__all__ = [
    "VTLP",
    "AddBackgroundNoise",
    "AddColoredNoise",
    "AdjustDuration",
    "ApplyImpulseResponse",
    "Babble",
    "BandPass",
    "BandStop",
    "BitCrush",
    "ChannelDrop",
    "ChannelShuffle",
    "ChunkSwap",
    "Clip",
    "CutMix",
    "Fade",
    "FilterAugment",
    "FrequencyShift",
    "Gain",
    "GainTransition",
    "HighPass",
    "HighShelf",
    "LoudnessNormalize",
    "LowPass",
    "LowShelf",
    "MixUp",
    "MuLaw",
    "PeakNormalize",
    "PeakingEQ",
    "PitchShift",
    "PolarityInversion",
    "PreEmphasis",
    "RMSNormalize",
    "RandomCrop",
    "SevenBandEQ",
    "ShortNoises",
    "SimulateRoom",
    "SpecAugment",
    "SpecCutout",
    "Speed",
    "TanhDistortion",
    "Telephone",
    "TimeInversion",
    "TimeMask",
    "TimeShift",
    "TimeStretch",
    "TrimSilence",
    "WaveformBank",
]
