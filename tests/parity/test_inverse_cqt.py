"""InverseCQT: CQT and VQT there and back, each item of a batch at its own length."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs

RATE = 22_050


def noise(size: int, low: float, high: float, seed: int = 0) -> Tensor:
    """Returns noise between two frequencies."""
    spectrum = torch.fft.rfft(torch.randn(size, generator=torch.Generator().manual_seed(seed)))
    hertz = torch.fft.rfftfreq(size, 1 / RATE)
    spectrum[(hertz < low) | (hertz > high)] = 0
    wave = torch.fft.irfft(spectrum, size)
    return wave / wave.abs().max()


def snr_db(wave: Tensor, back: Tensor) -> float:
    assert wave.shape == back.shape
    return float(10 * torch.log10(wave.square().sum() / (wave - back).square().sum()))


CONFIGURATIONS: dict[str, tuple[float, float, dict[str, Any]]] = {
    "84 bins": (50.0, 3_500.0, {"hop_length": 64}),
    "two a semitone": (50.0, 3_500.0, {"hop_length": 120, "n_bins": 168, "bins_per_octave": 24}),
    "nearly all": (140.0, 8_700.0, {"hop_length": 16, "fmin": 130.8, "n_bins": 74}),
    "odd hop": (140.0, 900.0, {"hop_length": 189, "fmin": 130.8, "n_bins": 36}),
    "nnaudio": (140.0, 900.0, {"hop_length": 128, "fmin": 130.8, "n_bins": 36, "filters": "nnaudio"}),
    "norm 2": (140.0, 900.0, {"hop_length": 128, "fmin": 130.8, "n_bins": 36, "norm": 2}),
    "no norm": (140.0, 900.0, {"hop_length": 128, "fmin": 130.8, "n_bins": 36, "norm": None}),
    "hamming": (140.0, 900.0, {"hop_length": 128, "fmin": 130.8, "n_bins": 36, "window": "hamming"}),
    "long": (140.0, 900.0, {"hop_length": 256, "fmin": 130.8, "n_bins": 36, "filter_scale": 2.0}),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_there_and_back(name: str) -> None:
    """Least squares in the bins' band, edges of the band and of the clips included."""
    low, high, options = CONFIGURATIONS[name]
    waves = [noise(size, low, high, seed) for seed, size in enumerate((20_001, 9_000))]
    batch = ofs.pad(waves, rate=RATE)
    spectra = ofs.CQT(sample_rate=RATE, **options)(batch)
    inverse = ofs.InverseCQT(sample_rate=RATE, **options)
    back = inverse(spectra, lengths=batch.lengths)
    assert torch.equal(back.lengths, batch.lengths)
    assert back.rate == RATE
    for wave, found in zip(waves, back.unpad(), strict=True):
        assert snr_db(wave, found) >= 40.0


def test_variable_q() -> None:
    options: dict[str, Any] = {"sample_rate": RATE, "hop_length": 32, "fmin": 130.8, "n_bins": 48, "gamma": None}
    wave = noise(12_000, 140.0, 1_800.0)
    back = ofs.InverseCQT(**options)(ofs.VQT(**options)(wave), lengths=len(wave))
    assert snr_db(wave, back) >= 40.0


def test_more_steps_come_closer() -> None:
    options: dict[str, Any] = {"sample_rate": RATE, "hop_length": 64, "fmin": 130.8, "n_bins": 60}
    wave = noise(12_000, 140.0, 3_500.0)
    spectrum = ofs.CQT(**options)(wave)
    found = [snr_db(wave, ofs.InverseCQT(**options, n_iter=n)(spectrum, lengths=len(wave))) for n in (2, 4, 8, 16)]
    assert found == sorted(found)
    assert found[2] >= 30.0


def test_it_is_the_least_squares_solution() -> None:
    """Spectra that belong to no wave: the solution's error is orthogonal to what waves give, as far as steps led."""
    options: dict[str, Any] = {"sample_rate": RATE, "hop_length": 32, "fmin": 500.0, "n_bins": 12, "bins_per_octave": 6}
    cqt, inverse = ofs.CQT(**options), ofs.InverseCQT(**options, n_iter=200)
    spectrum = torch.randn(12, 11, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    wave = inverse(spectrum).requires_grad_()
    assert wave.shape == (320,)
    error = (cqt(wave) - spectrum) / inverse.gains.unsqueeze(-1)
    loss = torch.view_as_real(error).square().sum()
    (gradient,) = torch.autograd.grad(loss, wave)
    scale = torch.autograd.grad(torch.view_as_real(cqt(wave) / inverse.gains.unsqueeze(-1)).square().sum(), wave)[0]
    assert gradient.norm() <= 0.02 * scale.norm()


def test_a_general_path_agrees_with_the_one_item_by_item() -> None:
    options: dict[str, Any] = {"sample_rate": RATE, "hop_length": 64, "fmin": 400.0, "n_bins": 24}
    batch = ofs.pad([noise(3_000, 400.0, 1_500.0), noise(1_000, 400.0, 1_500.0), torch.zeros(0)], rate=RATE)
    spectra = ofs.CQT(**options)(batch)
    inverse = ofs.InverseCQT(**options)
    plain = inverse(spectra, lengths=batch.lengths)
    watched = inverse(spectra._replace(data=spectra.data.clone().requires_grad_()), lengths=batch.lengths)
    assert (plain.data - watched.data).abs().max() <= 1e-4 * plain.data.abs().max()


def test_frames_too_far_apart_are_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"InverseCQT: expected hop_length of at most 2/3 .* 97 samples .* got 512"):
        ofs.InverseCQT(sample_rate=RATE)


def test_errors() -> None:
    inverse = ofs.InverseCQT(sample_rate=RATE, hop_length=64, n_bins=60)
    spectra = ofs.PaddedBatch(torch.zeros(2, 60, 5, dtype=torch.complex64), torch.tensor([5, 3]), RATE / 64)
    with pytest.raises(ValueError, match=r"a length of item 1 whose spectrum has its 3 frames, got 300 with 5"):
        inverse(spectra, lengths=[260, 300])
    with pytest.raises(ValueError, match=r"InverseCQT: expected spectra of 60 bins \(n_bins\), got 59"):
        inverse(spectra.data[:, 1:])
    with pytest.raises(ValueError, match="top bin"):
        ofs.InverseCQT(sample_rate=RATE, n_bins=200)
    with pytest.raises(TypeError, match="complex"):
        inverse(spectra.data.real)
    assert math.isclose(inverse(spectra).rate, RATE)
