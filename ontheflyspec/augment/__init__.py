"""Augmentations: random steps for waveforms and spectrograms."""

from ontheflyspec.augment.band_filters import BandPass, BandStop, HighPass, LowPass
from ontheflyspec.augment.cropping import AdjustDuration, RandomCrop, TrimSilence
from ontheflyspec.augment.distortion import BitCrush, Clip, MuLaw, TanhDistortion, Telephone
from ontheflyspec.augment.envelopes import Fade, GainTransition
from ontheflyspec.augment.equalizing import HighShelf, LowShelf, PeakingEQ, PreEmphasis, SevenBandEQ
from ontheflyspec.augment.level import Gain, LoudnessNormalize, PeakNormalize, PolarityInversion, RMSNormalize
from ontheflyspec.augment.mixing import ChannelDrop, ChannelShuffle, CutMix, MixUp
from ontheflyspec.augment.noise import AddBackgroundNoise, AddColoredNoise, Babble, ShortNoises
from ontheflyspec.augment.pitch import PitchShift, Speed, TimeStretch
from ontheflyspec.augment.room import ApplyImpulseResponse, SimulateRoom
from ontheflyspec.augment.spectrogram_bands import VTLP, FilterAugment, FrequencyShift
from ontheflyspec.augment.spectrogram_masks import SpecAugment, SpecCutout
from ontheflyspec.augment.timing import ChunkSwap, TimeInversion, TimeMask, TimeShift

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
]
