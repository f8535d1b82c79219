"""Audio features on the fly: files in, augmented features on the device out, every clip as if it stood alone."""

from ontheflyspec import augment
from ontheflyspec.augment.base import Augment
from ontheflyspec.batch import Clip, PaddedBatch, pad
from ontheflyspec.chain.choices import OneOf, RandomOrder, SomeOf, Sometimes
from ontheflyspec.chain.compose import Compose
from ontheflyspec.chain.parallel import Parallel
from ontheflyspec.data.audio import load
from ontheflyspec.data.bank import WaveformBank
from ontheflyspec.data.collate import Collate, collate
from ontheflyspec.data.dataset import AudioDataset
from ontheflyspec.data.device import DeviceLoader
from ontheflyspec.data.draws import Draw
from ontheflyspec.data.loader import AudioLoader
from ontheflyspec.data.sampler import BucketBatchSampler
from ontheflyspec.kernels import load as _load
from ontheflyspec.labels import ClipLabels, FrameLabels, Segments
from ontheflyspec.plot import plot_batch
from ontheflyspec.transforms.bark import BarkSpectrogram
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.cepstrum import LFCC, MFCC
from ontheflyspec.transforms.cfp import CFP
from ontheflyspec.transforms.chroma import Chroma
from ontheflyspec.transforms.cqt import CQT, VQT
from ontheflyspec.transforms.decibels import AmplitudeToDB, Log
from ontheflyspec.transforms.deltas import Deltas
from ontheflyspec.transforms.descriptors import SpectralDescriptors
from ontheflyspec.transforms.duration import AdjustDuration, TrimSilence
from ontheflyspec.transforms.filters import BandPass, HighPass, LowPass, MuLaw, PreEmphasis, Telephone
from ontheflyspec.transforms.gammatone import Gammatonegram
from ontheflyspec.transforms.griffin_lim import GriffinLim
from ontheflyspec.transforms.harmonic_cqt import HarmonicCQT
from ontheflyspec.transforms.hpss import HPSS
from ontheflyspec.transforms.inverse_cqt import InverseCQT
from ontheflyspec.transforms.inverse_mel import InverseMel
from ontheflyspec.transforms.inverse_stft import InverseSTFT
from ontheflyspec.transforms.learnable_filterbank import LearnableFilterbank
from ontheflyspec.transforms.level import Gain, LoudnessNormalize, PeakNormalize, RMSNormalize
from ontheflyspec.transforms.mel import MelSpectrogram
from ontheflyspec.transforms.normalize import Normalize
from ontheflyspec.transforms.pcen import PCEN
from ontheflyspec.transforms.resample import Resample
from ontheflyspec.transforms.stft import STFT
from ontheflyspec.transforms.tonnetz import Tonnetz

_load()
__version__ = "0.1.0"

__all__ = [
    "CFP",
    "CQT",
    "HPSS",
    "LFCC",
    "MFCC",
    "PCEN",
    "STFT",
    "VQT",
    "AdjustDuration",
    "AmplitudeToDB",
    "AudioDataset",
    "AudioLoader",
    "Augment",
    "BandPass",
    "BarkSpectrogram",
    "BucketBatchSampler",
    "Chroma",
    "Clip",
    "ClipLabels",
    "Collate",
    "Compose",
    "Deltas",
    "DeviceLoader",
    "Draw",
    "FrameLabels",
    "Gain",
    "Gammatonegram",
    "GriffinLim",
    "HarmonicCQT",
    "HighPass",
    "InverseCQT",
    "InverseMel",
    "InverseSTFT",
    "LearnableFilterbank",
    "Log",
    "LoudnessNormalize",
    "LowPass",
    "MelSpectrogram",
    "MuLaw",
    "Normalize",
    "OneOf",
    "PaddedBatch",
    "Parallel",
    "PeakNormalize",
    "PreEmphasis",
    "RMSNormalize",
    "RandomOrder",
    "Resample",
    "Segments",
    "SomeOf",
    "Sometimes",
    "SpectralDescriptors",
    "Telephone",
    "Tonnetz",
    "Transform",
    "TrimSilence",
    "WaveformBank",
    "augment",
    "collate",
    "load",
    "pad",
    "plot_batch",
]
