"""Chroma against librosa."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.functional import chroma

RATE = 8_000


def items():
    """Tones of unlike pitch, length and level over noise, and one with silence in the middle."""
    torch.manual_seed(0)
    made = []
    for size, pitch, level in ((9_000, 262.0, 1.0), (3_001, 415.0, 1e-3), (300, 660.0, 0.1)):
        phase = 2 * torch.pi * pitch * torch.arange(size, dtype=torch.float64) / RATE
        tones = sum(torch.cos(phase * ratio) for ratio in (0.5, 1.0, 1.5, 4.0))
        made.append((tones + 0.1 * torch.randn(size, dtype=torch.float64)) * level)
    made[0][3_000:6_000] = 0
    return made


def agree(ours, wanted, tolerance=1e-5):
    assert ours.shape == wanted.shape
    assert np.abs(ours.numpy() - wanted).max() <= tolerance * np.abs(wanted).max()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": 1, "tuning": 0.3, "pad_mode": "reflect"},
        {"norm": 2, "n_chroma": 24, "win_length": 400, "window": "hamming"},
        {"norm": None, "ctroct": 4.0, "octwidth": 1.0, "base_c": False},
        {"octwidth": None, "n_chroma": 17, "n_fft": 801, "base_c": False},
    ],
)
@pytest.mark.filterwarnings("ignore:n_fft=.* is too large for input signal:UserWarning")
def test_stft_for_each_item(options):
    options = {"n_fft": 1_024, "hop_length": 256} | options
    waves = items()
    out = ofs.Chroma(sample_rate=RATE, **options)(ofs.pad(waves, rate=RATE))
    for ours, wave in zip(out.unpad(), waves, strict=True):
        agree(ours, librosa.feature.chroma_stft(y=wave.numpy(), sr=RATE, **{"tuning": 0.0} | options))


@pytest.mark.parametrize("n_chroma", [5, 7, 12, 16, 24, 30])
def test_c_is_the_first_class_of_any_number(n_chroma):
    """librosa turns the classes by whole ones only: with 7 its first one is A."""
    step = ofs.Chroma(sample_rate=16_000, n_chroma=n_chroma, n_fft=4_096)
    for octave in (1, 2, 4):
        tone = torch.sin(2 * torch.pi * 261.6256 * octave / 16_000 * torch.arange(16_000.0))
        assert step(tone)[:, 10].argmax() == 0


def test_stft_default_in_float32(music):
    wanted = librosa.feature.chroma_stft(y=music.numpy(), sr=16_000, tuning=0.0)
    agree(ofs.Chroma(sample_rate=16_000)(music), wanted)


OCTAVES = {"hop_length": 256, "n_octaves": 6, "fmin": 55.0}


def magnitudes(wave, options):
    """What librosa folds: the magnitudes of our own transform, as its own is inexact."""
    bins = options.get("bins_per_octave", 36)
    lowest = options["fmin"] * 2 ** (options.get("tuning", 0.0) / bins)
    known = {key: options[key] for key in ("hop_length", "pad_mode") if key in options}
    cqt = ofs.CQT(sample_rate=RATE, fmin=lowest, n_bins=6 * bins, bins_per_octave=bins, output="magnitude", **known)
    return cqt(wave).numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": 1, "tuning": 0.4, "pad_mode": "reflect", "threshold": 0.01},
        {"norm": 2, "n_chroma": 24, "bins_per_octave": 48, "fmin": 50.0},
        {"norm": None, "bins_per_octave": 12, "fmin": 61.74},
    ],
)
def test_cqt_for_each_item(options):
    options = OCTAVES | options
    waves = items()
    out = ofs.Chroma(sample_rate=RATE, source="cqt", **options)(ofs.pad(waves, rate=RATE))
    theirs = {key: value for key, value in options.items() if key not in ("pad_mode", "tuning")}
    for ours, wave in zip(out.unpad(), waves, strict=True):
        agree(ours, librosa.feature.chroma_cqt(C=magnitudes(wave, options), sr=RATE, **theirs))


@pytest.mark.parametrize(
    "options",
    [{"norm": 2}, {"win_len_smooth": 10}, {"win_len_smooth": 1, "norm": 1}, {"win_len_smooth": None, "n_chroma": 6}],
)
def test_cens_for_each_item(options):
    options = OCTAVES | {"norm": math.inf} | options
    waves = items()
    out = ofs.Chroma(sample_rate=RATE, source="cens", **options)(ofs.pad(waves, rate=RATE))
    for ours, wave in zip(out.unpad(), waves, strict=True):
        agree(ours, librosa.feature.chroma_cens(C=magnitudes(wave, options), sr=RATE, **options))


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large for input signal:UserWarning")
def test_cqt_is_close_to_librosa_s_own_transform():
    """Their CQT is off by some percent, its chroma with it."""
    wave = items()[0][:3_000]
    wanted = librosa.feature.chroma_cqt(y=wave.numpy(), sr=RATE, tuning=0.0, **OCTAVES)
    agree(ofs.Chroma(sample_rate=RATE, source="cqt", **OCTAVES)(wave), wanted, 0.1)


def test_silence_within_a_clip_stays_silent_above_a_threshold():
    """Rounding of the transform, near 1e-7 of the loudest at most, is not made as large as a sound."""
    wave = items()[0].float()
    for source in ({"source": "cqt"}, {"source": "cens", "win_len_smooth": None}):
        known = {**source, **OCTAVES, "fmin": 220.0, "n_octaves": 4, "threshold": 1e-4}
        out = ofs.Chroma(sample_rate=RATE, **known)(wave)
        assert not out[:, 16:20].any()
        assert (out[:, :9].amax(0) == 1).all()


@pytest.mark.parametrize("base_c", [True, False])
@pytest.mark.parametrize(("n_bins", "bins_per_octave", "n_chroma"), [(84, 12, 12), (250, 36, 12), (72, 24, 6)])
@pytest.mark.parametrize("fmin", [32.703, 55.0, 261.6])
def test_fold_is_that_of_librosa(base_c, n_bins, bins_per_octave, n_chroma, fmin):
    ours = chroma.fold_matrix(n_bins, bins_per_octave, n_chroma, fmin, base_c).numpy()
    known = {"bins_per_octave": bins_per_octave, "n_chroma": n_chroma, "fmin": fmin, "base_c": base_c}
    assert np.array_equal(ours, librosa.filters.cq_to_chroma(n_bins, **known))


@pytest.mark.parametrize(
    "options",
    [
        {"source": "cqt", **OCTAVES},
        {"source": "cens", "win_len_smooth": 9, **OCTAVES},
        {"source": "stft", "n_chroma": 24, "n_fft": 1_024},
    ],
)
def test_tonnetz_for_each_item(options):
    batch = ofs.pad(items(), rate=RATE)
    shown = ofs.Chroma(sample_rate=RATE, **options)(batch).unpad()
    for ours, given in zip(ofs.Tonnetz(sample_rate=RATE, **options)(batch).unpad(), shown, strict=True):
        agree(ours, librosa.feature.tonnetz(chroma=given.numpy()))


def test_convolution_is_the_same():
    waves = items()
    batch = ofs.pad([wave.float() for wave in waves], rate=RATE)
    one, other = (ofs.Chroma(sample_rate=RATE, n_fft=512, backend=backend)(batch).data for backend in ("fft", "conv"))
    assert (one - other).abs().max() <= 1e-5


@pytest.mark.parametrize("norm", [math.inf, 1, 2])
def test_norms_of_faint_and_silent_frames(norm):
    """Down to the smallest numbers a frame has its norm, below them it stays as it is."""
    frames = torch.tensor([[3.0, 3e-30, 0.0], [4.0, 4e-30, 0.0]])
    out = chroma.unit(frames, None, norm=norm)
    wanted = {math.inf: (0.75, 1.0), 1: (3 / 7, 4 / 7), 2: (0.6, 0.8)}[norm]
    assert torch.allclose(out, torch.tensor([[wanted[0]] * 2 + [0.0], [wanted[1]] * 2 + [0.0]]))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"norm": 3}, "norm to be 1, 2, inf or None, got 3"),
        ({"norm": np.array([1, 2])}, r"norm to be 1, 2, inf or None, got array\(\[1, 2\]\). Change norm"),
        ({"n_fft": 1}, "Chroma: expected n_fft to be an integer of at least 2, got 1"),
        ({"octwidth": 0.0}, "octwidth above 0, got 0"),
        ({"n_chroma": 0}, "n_chroma.*at least 1, got 0"),
        ({"source": "mel"}, "source.*got 'mel'"),
        (
            {"source": "cqt", "n_octaves": 7},
            r"top bin at or below.*4000\.0 Hz, got 4106\.2 Hz. Lower n_octaves to at most 6 or",
        ),
        ({"source": "cqt", "bins_per_octave": 30}, "multiple of n_chroma = 12, got 30. Take 36"),
        ({"source": "cqt", "fmin": 5_000.0, "n_octaves": 1}, "Lower fmin or raise"),
        ({"source": "cens", "n_octaves": 6, "win_len_smooth": 0}, "win_len_smooth.*at least 1, got 0"),
        (
            {"source": "cqt", "n_fft": 512, "octwidth": None},
            "octwidth, n_fft only with source=.stft., got octwidth=None",
        ),
        ({"fmin": 55.0}, "fmin only with source=.cqt. or .cens., got fmin=55.0. Leave out fmin, or have source=.cqt"),
        ({"source": "cqt", "win_len_smooth": 9}, "win_len_smooth only with source=.cens., got win_len_smooth=9"),
        ({"source": "cens", "trainable": True}, "trainable only with source=.stft. or .cqt., got trainable=True"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.Chroma(sample_rate=RATE, **options)


@pytest.mark.parametrize(("rate", "options", "count"), [(8_000, {}, 6), (22_050, {}, 7), (8_000, {"fmin": 220.0}, 4)])
@pytest.mark.parametrize("kind", [ofs.Chroma, ofs.Tonnetz])
def test_as_many_octaves_as_fit(kind, rate, options, count):
    """Where none are named; seven at most, and none above half the sample rate."""
    wave = torch.randn(3_000, generator=torch.Generator().manual_seed(0))
    made = kind(sample_rate=rate, source="cqt", **options)(wave)
    assert torch.equal(made, kind(sample_rate=rate, source="cqt", n_octaves=count, **options)(wave))
    if count < 7:
        with pytest.raises(ValueError, match=f"top bin at or below.* Lower n_octaves to at most {count} "):
            kind(sample_rate=rate, source="cqt", n_octaves=count + 1, **options)


def test_a_tonnetz_that_learns():
    tonnetz = ofs.Tonnetz(sample_rate=RATE, source="stft", n_fft=512, backend="conv", trainable=True)
    assert [name for name, _ in tonnetz.named_parameters()] == ["chroma.filterbank", "chroma.front.kernels"]
