"""What InverseMel leaves of mel spectrograms, against scipy's exact solver and librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.optimize
import torch

import ontheflyspec as ofs
from ontheflyspec.functional import filterbanks
from ontheflyspec.functional.nnls import nonnegative_least_squares, ridge_inverse
from ontheflyspec.op import chosen

RATE = 16_000
OPTIONS = [
    {"n_fft": 512, "n_mels": 40},
    {"n_fft": 1024, "n_mels": 80, "mel_scale": "htk", "norm": None, "fmin": 50.0, "fmax": 7_000.0},
    {"n_fft": 512, "n_mels": 23, "mel_scale": "kaldi", "norm": None, "power": 1.0},
]


def left(weights, spectra, bands):
    """The squares that are left of each frame, as a share of its own."""
    return ((weights @ spectra - bands) ** 2).sum(0) / (bands**2).sum(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("noise", [0.0, 1.0], ids=["of a spectrum", "of none"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_as_near_as_scipy_for_each_item(music, options, noise, dtype):
    mel = ofs.MelSpectrogram(sample_rate=RATE, hop_length=1_000, **options)
    draws = torch.Generator().manual_seed(0)
    items = [mel(clip) for clip in (music.to(dtype), music[3_000:6_000].to(dtype) * 1e-3)]
    items = [item * (1 + noise * torch.randn(item.shape, generator=draws)).abs().to(dtype) for item in items]
    weights = mel.constant("filterbank", torch.float64).numpy()
    out = ofs.InverseMel(sample_rate=RATE, output="power", **options)(ofs.pad(items, rate=16.0))
    power = options.get("power", 2.0)
    for ours, item in zip(out.unpad(), items, strict=True):
        spectra, bands = ours.double().numpy() ** (power / 2), item.double().numpy()
        assert spectra.min() >= 0
        exact = np.stack([scipy.optimize.nnls(weights, frame, maxiter=10_000)[0] for frame in bands.T], 1)
        squares, least = left(weights, spectra, bands), left(weights, exact, bands)
        assert (squares <= least + 1e-4).all()
        if not noise:
            assert (np.sqrt(squares) <= np.sqrt(least) + 1e-3).all()


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_no_further_than_librosa(music, power):
    options = {"n_fft": 512, "power": power}
    bands = librosa.feature.melspectrogram(y=music.double().numpy(), sr=RATE, n_mels=40, hop_length=1_000, **options)
    weights = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40, dtype=np.float64)
    wanted = librosa.feature.inverse.mel_to_stft(bands, sr=RATE, **options)
    ours = ofs.InverseMel(sample_rate=RATE, n_mels=40, **options)(torch.from_numpy(bands)).numpy()
    assert ours.shape == wanted.shape
    assert (left(weights, ours**power, bands) <= left(weights, wanted**power, bands) + 1e-4).all()


def test_what_it_finds_has_the_mel_bands_that_it_was_given(music):
    options = {"sample_rate": RATE, "n_fft": 1024, "n_mels": 64}
    mel = ofs.MelSpectrogram(**options)
    bands = mel(music.double())
    power = ofs.InverseMel(output="power", **options)(bands)
    magnitude = ofs.InverseMel(**options)(bands)
    assert torch.allclose(magnitude.square(), power)
    again = mel.constant("filterbank", bands.dtype) @ power
    assert (again - bands).norm() <= 2e-3 * bands.norm()


def test_steps_are_those_of_admm():
    """Twenty steps of its over-relaxed textbook form, written out in numpy; in blocks and as a whole."""
    weights = filterbanks.triangular_filterbank(RATE, 512, 20, 0.0, 8_000.0, "slaney", None)
    bands = torch.rand(2, 20, 520, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sums = (weights.T @ weights).sum(1).numpy()
    scale = np.divide(1, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0)
    matrix, target = weights.numpy() * scale, bands.numpy()
    found = dual = np.zeros((2, 257, 520))
    solver = np.linalg.inv(matrix.T @ matrix + 0.01 * np.eye(257))
    for _ in range(20):
        ridge = solver @ (matrix.T @ target + 0.01 * (found - dual))
        mixed = 1.7 * ridge - 0.7 * found
        found = np.maximum(mixed + dual, 0)
        dual = dual + mixed - found
    found = found * scale[:, None]
    runs = filterbanks.filter_blocks(weights, 200)
    assert len(runs) > 2
    options = {"bank": (weights, runs), "inverse": ridge_inverse(weights), "n_iter": 20}
    for given, way in ((bands, "cpu"), (bands.clone().requires_grad_(), None)):
        assert chosen(nonnegative_least_squares, given, options) == way
        ours = nonnegative_least_squares(given, None, **options).detach().numpy()
        assert np.abs(ours - found).max() <= 1e-11 * found.max()


def test_more_steps_leave_less(music):
    options = {"sample_rate": RATE, "n_fft": 512, "n_mels": 40}
    mel = ofs.MelSpectrogram(**options)
    bands = mel(music.double())
    weights = mel.constant("filterbank", bands.dtype).numpy()
    shares = [
        left(weights, ofs.InverseMel(output="power", n_iter=n, **options)(bands).numpy(), bands.numpy()).mean()
        for n in (1, 8, 32, 128)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 10 * shares[-1]


def test_wrong_bands_and_options():
    inverse = ofs.InverseMel(sample_rate=RATE, n_fft=512, n_mels=40)
    with pytest.raises(ValueError, match=r"InverseMel: expected 40 mel bands \(its n_mels\), got 41"):
        inverse(torch.ones(41, 3))
    for options, rule in (
        ({"output": "complex"}, "output to be one of 'magnitude'"),
        ({"n_iter": 0}, "n_iter to be an integer of at least 1"),
        ({"mel_scale": "bark"}, "mel_scale to be one of 'slaney'"),
        ({"norm": "ortho"}, "norm to be one of 'slaney'"),
        ({"fmax": 9_000.0}, "fmax .* between 0 and 8000"),
    ):
        with pytest.raises(ValueError, match=rule):
            ofs.InverseMel(sample_rate=RATE, **options)
