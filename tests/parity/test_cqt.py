"""CQT and VQT against sums in float64 over librosa's and nnAudio's filters, at every frame, ends included."""

from __future__ import annotations

import math
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
from ontheflyspec.kernels.cpu import cqt_octaves

RATE = 22_050
HOPS = (160, 300, 441, 512, 1148)


def wavelets(frequencies: Tensor, bins_per_octave: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns librosa's filters, centred in rows, and their lengths."""
    ratio = 2 ** (1 / bins_per_octave)
    alpha = np.full(len(frequencies), (ratio**2 - 1) / (ratio**2 + 1))
    found: tuple[np.ndarray, np.ndarray] = librosa.filters.wavelet(
        freqs=frequencies.numpy(), sr=RATE, alpha=alpha, dtype=np.complex128, **{"gamma": 0.0, **options}
    )
    return found


def nnaudio_wavelets(frequencies: Tensor, bins_per_octave: int, gamma: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Returns filters by the formulas of nnAudio's ``create_cqt_kernels``, centred in rows, and their lengths."""
    alpha = 2 ** (1 / bins_per_octave) - 1
    lengths = np.ceil(RATE / alpha / (frequencies.numpy() + gamma / alpha)).astype(int)
    size = 2 ** math.ceil(math.log2(lengths.max()))
    rows = np.zeros((len(lengths), size), dtype=np.complex128)
    for row, length, hertz in zip(rows, lengths, frequencies.tolist(), strict=True):
        n = np.arange(length) - (length + 1) // 2
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
        row[size // 2 + n] = window / window.sum() * np.exp(2j * np.pi * hertz * n / RATE)
    return rows, lengths


def correlate(wave: Tensor, filters: np.ndarray, lengths: np.ndarray, hop: int, mode: str = "constant") -> Tensor:
    """Returns the scaled products of every filter with the wave around every frame's centre."""
    size = filters.shape[1]
    padded = np.pad(wave.double().numpy(), (size // 2, size), mode=mode)  # type: ignore[call-overload]
    columns = [filters.conj() @ padded[t * hop : t * hop + size] for t in range(1 + len(wave) // hop)]
    return torch.from_numpy(np.stack(columns, 1) * np.sqrt(lengths)[:, None])


def gap(found: Tensor, expected: Tensor) -> float:
    """Returns the largest difference as a share of the peak."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def clips() -> ofs.PaddedBatch:
    """White noise: every frame and bin carries as much; one clip is shorter than most filters."""
    draws = torch.Generator().manual_seed(0)
    return ofs.pad([torch.randn(n, generator=draws) for n in (6_001, 3_000, 1)], rate=RATE)


@pytest.mark.parametrize("hop", HOPS)
def test_every_frame_at_every_hop(clips: ofs.PaddedBatch, hop: int) -> None:
    """By octaves within 3e-5 of the direct transform, which is within 1e-5 of the sums."""
    direct, octaves = (ofs.CQT(sample_rate=RATE, hop_length=hop, method=method) for method in ("direct", "octaves"))
    filters, lengths = wavelets(direct.frequencies, 12)
    for wave, one, other in zip(clips.unpad(), direct(clips).unpad(), octaves(clips).unpad(), strict=True):
        assert gap(one, correlate(wave, filters, lengths, hop)) <= 1e-5
        assert gap(other, one) <= 3e-5


OPTIONS: dict[str, dict[str, Any]] = {
    "piano": {"fmin": 27.5, "n_bins": 88},
    "three a semitone": {"n_bins": 120, "bins_per_octave": 36, "fmin": 130.8},
    "two an octave": {"n_bins": 10, "bins_per_octave": 2, "fmin": 100.0},
    "one": {"n_bins": 1, "fmin": 440.0},
    "short": {"filter_scale": 0.5},
    "long": {"filter_scale": 2.0, "fmin": 65.4, "n_bins": 60},
    "blackman": {"window": "blackman"},
    "hamming": {"window": "hamming", "fmin": 262.0, "n_bins": 48},
    "bartlett": {"window": "bartlett", "fmin": 262.0, "n_bins": 48},
    "rectangular": {"window": "rectangular", "fmin": 262.0, "n_bins": 48},
    "norm 2": {"norm": 2},
    "norm inf": {"norm": math.inf},
    "no norm": {"norm": None},
    "norm 3": {"norm": 3, "fmin": 262.0, "n_bins": 48},
    "reflect": {"pad_mode": "reflect"},
    "top bin at the end": {"fmin": RATE / 8, "n_bins": 25},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(clips: ofs.PaddedBatch, name: str) -> None:
    options = OPTIONS[name]
    cqt = ofs.CQT(sample_rate=RATE, hop_length=256, **options)
    known = {key: options[key] for key in ("filter_scale", "norm") if key in options}
    shape = {"rectangular": "boxcar"}.get(options.get("window", "hann"), options.get("window", "hann"))
    filters, lengths = wavelets(cqt.frequencies, options.get("bins_per_octave", 12), window=shape, **known)
    for wave, found in zip(clips.unpad(), cqt(clips).unpad(), strict=True):
        expected = correlate(wave, filters, lengths, 256, options.get("pad_mode", "constant"))
        peak = max(expected.abs().max(), wave.abs().max())  # a clip of one sample, reflected, is in no band
        assert (found - expected).abs().max() <= 4e-5 * peak


@pytest.mark.parametrize("gamma", [None, 0.0, 20.0])
@pytest.mark.parametrize("filters", ["librosa", "nnaudio"])
def test_variable_q(clips: ofs.PaddedBatch, gamma: float | None, filters: Any) -> None:
    vqt = ofs.VQT(sample_rate=RATE, gamma=gamma, filters=filters)
    if filters == "librosa":
        rows, lengths = wavelets(vqt.frequencies, 12, gamma=gamma)
    else:
        rows, lengths = nnaudio_wavelets(
            vqt.frequencies, 12, (2 ** (1 / 12) - 1) * 24.7 / 0.108 if gamma is None else gamma
        )
    for wave, found in zip(clips.unpad(), vqt(clips).unpad(), strict=True):
        assert gap(found, correlate(wave, rows, lengths, 512)) <= 4e-5


def test_outputs(clips: ofs.PaddedBatch) -> None:
    spectrum, magnitude, power, phase = (
        ofs.CQT(sample_rate=RATE, output=output)(clips).data for output in ("complex", "magnitude", "power", "phase")
    )
    assert gap(magnitude, spectrum.abs()) <= 1e-6
    assert gap(power, spectrum.abs().square()) <= 1e-6
    assert gap(torch.polar(magnitude, phase), spectrum) <= 1e-6


def test_tones_far_from_a_bin_stay_out_of_it() -> None:
    """Loud tones between all bins' bands: what halving lets through would stand out at silent bins."""
    for hertz in (60.0, 523.0, 3_000.0, 7_500.0, 10_800.0):
        wave = torch.sin(2 * torch.pi * hertz * torch.arange(RATE // 2).double() / RATE).float()
        octaves, direct = (ofs.CQT(sample_rate=RATE, method=method)(wave) for method in ("octaves", "direct"))
        assert (octaves - direct).abs().max() <= 3e-5 * max(direct.abs().max(), 1.0)


def test_long_clip_in_chunks() -> None:
    """More than one chunk of work: frames at the seams are those of the direct transform."""
    wave = torch.randn(600_000, generator=torch.Generator().manual_seed(1))
    options: dict[str, Any] = {"sample_rate": RATE, "hop_length": 1_000, "fmin": 200.0, "n_bins": 30}
    assert gap(ofs.CQT(**options)(wave), ofs.CQT(**options, method="direct")(wave)) <= 3e-5


def test_chunks_hold_whole_periods(clips: ofs.PaddedBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """At an odd hop frames lie in turn between and on the samples of halved signals: a chunk begins as the first."""
    cqt = ofs.CQT(sample_rate=RATE, hop_length=63, fmin=200.0, n_bins=30)
    expected = cqt(clips).data
    monkeypatch.setattr(cqt_octaves, "CHUNK", 63 * 21)
    assert gap(cqt(clips).data, expected) <= 1e-6


def test_trainable_starts_where_the_frozen_one_stands(clips: ofs.PaddedBatch) -> None:
    options: dict[str, Any] = {"sample_rate": RATE, "fmin": 262.0, "n_bins": 24, "output": "magnitude"}
    trained = ofs.CQT(**options, trainable=True)
    assert gap(trained(clips).data.detach(), ofs.CQT(**options, method="direct")(clips).data) <= 1e-5
    assert {name.split(".")[-1] for name in trained.state_dict()} == {f"kernels_{place}" for place in range(2)}
    assert not ofs.CQT(**options).state_dict()


def test_errors() -> None:
    with pytest.raises(
        ValueError, match=r"CQT: expected top bin at or below sample_rate / 2 = 8000.0 Hz, got 15804.* 96 "
    ):
        ofs.CQT(sample_rate=16_000, n_bins=108)
    with pytest.raises(ValueError, match="Lower fmin"):
        ofs.CQT(sample_rate=16_000, fmin=9_000.0)
    with pytest.raises(ValueError, match='Use method="direct"'):
        ofs.VQT(sample_rate=16_000, method="octaves", trainable=True)
    with pytest.raises(ValueError, match="gamma"):
        ofs.VQT(sample_rate=16_000, gamma=-1.0)
    with pytest.raises(ValueError, match="norm"):
        ofs.CQT(sample_rate=16_000, norm=0.5)
