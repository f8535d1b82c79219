"""Resampling against ideal sines and soxr."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soxr
import torch

import ontheflyspec as ofs

PAIRS = [(44_100, 16_000), (16_000, 44_100), (16_000, 8_000), (8_000, 16_000), (22_050, 16_000), (48_000, 44_100)]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_sines_come_out_as_sines(old, new):
    resample = ofs.Resample(sample_rate=old, new_sample_rate=new)
    then = torch.arange(old // 4).double() / old
    now = torch.arange(math.ceil(old // 4 * new / old)).double() / new
    for share in (0.01, 0.5, 0.88):
        frequency = 2 * torch.pi * share * min(old, new) / 2
        out = resample(torch.sin(frequency * then))
        assert out.shape == now.shape
        assert (out - torch.sin(frequency * now))[300:-300].abs().max() < 1e-4


@pytest.mark.parametrize(("old", "new"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_what_cannot_be_kept_is_100_db_down(old, new):
    tone = torch.sin(torch.pi * 1.01 * new / old * torch.arange(old // 4).double())
    out = ofs.Resample(sample_rate=old, new_sample_rate=new)(tone)
    assert 20 * math.log10(float(out[300:-300].abs().max())) < -100


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_soxr_agrees_on_a_band_limited_signal(old, new):
    noise = torch.randn(6_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    spectrum = torch.fft.rfft(noise)
    spectrum[int(0.8 * min(old, new) / old * 3_000) :] = 0
    wave = torch.fft.irfft(spectrum) * torch.hann_window(6_000, dtype=torch.float64)
    ours = ofs.Resample(sample_rate=old, new_sample_rate=new)(wave).numpy()
    theirs = soxr.resample(wave.numpy(), old, new, "VHQ")
    count = min(len(ours), len(theirs))
    assert np.abs(ours[:count] - theirs[:count]).max() < 1e-4 * np.abs(theirs).max()


def test_equal_rates_change_nothing_and_bad_ones_raise():
    wave = torch.randn(2, 100)
    out = ofs.Resample(sample_rate=8_000, new_sample_rate=8_000)(wave)
    assert torch.equal(out, wave)
    assert out.data_ptr() != wave.data_ptr()
    with pytest.raises(ValueError, match=r"sample_rate as a whole number of Hz, got 8000.5"):
        ofs.Resample(sample_rate=8_000.5, new_sample_rate=16_000)
    with pytest.raises(ValueError, match=r"at most 33554432 taps, got 352800 to 352801 Hz"):
        ofs.Resample(sample_rate=352_800, new_sample_rate=352_801)
    with pytest.raises(ValueError, match="a batch of 8000 Hz"):
        ofs.Resample(sample_rate=8_000, new_sample_rate=16_000)(ofs.pad([torch.zeros(4)], rate=16_000))
