"""Harmonic and percussive parts against librosa, item by item."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs


def items(kind):
    draws = torch.Generator().manual_seed(0)
    made = []
    for frames, scale in ((90, 1.0), (7, 1e-4), (1, 1.0), (40, 100.0)):
        item = torch.randn(33, frames, generator=draws, dtype=torch.float64) * scale
        other = torch.randn(33, frames, generator=draws, dtype=torch.float64) * scale
        made.append(torch.complex(item, other) if kind == "complex" else item.abs())
    made[0][:, 10:30] = 0
    return made


OPTIONS = [
    {},
    {"kernel_size": 8},
    {"kernel_size": (5, 13)},
    {"power": 1.0},
    {"power": 0.5},
    {"power": math.inf},
    {"margin": 1.7},
    {"margin": (1.0, 3.0)},
]


@pytest.mark.parametrize("kind", ["magnitude", "complex"])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_parts_are_those_of_librosa_for_each_item(options, mask, kind):
    given = items(kind)
    batch = ofs.pad(given, rate=100)
    both = ofs.HPSS(**options, mask=mask, output="both")(batch).unpad()
    harmonic = ofs.HPSS(**options, mask=mask)(batch).unpad()
    percussive = ofs.HPSS(**options, mask=mask, output="percussive")(batch).unpad()
    for place, item in enumerate(given):
        first, second = librosa.decompose.hpss(item.numpy(), mask=mask, **options)
        for ours, theirs in ((harmonic[place], first), (percussive[place], second), (both[place][:33], first)):
            assert np.abs(ours.numpy() - theirs).max() <= 1e-5 * max(np.abs(theirs).max(), 1e-12)
        assert torch.equal(both[place], torch.cat([harmonic[place], percussive[place]]))
        assert both[place].is_complex() == (kind == "complex" and not mask)


def test_parts_add_up_without_a_margin():
    item = items("magnitude")[0].float()
    both = ofs.HPSS(output="both")(item)
    torch.testing.assert_close(both[:33] + both[33:], item)


def test_a_tone_is_harmonic_and_a_click_percussive():
    t = torch.arange(16_000) / 16_000
    wave = torch.sin(2 * torch.pi * 1_000 * t)
    wave[8_000] += 30.0
    power = ofs.STFT(sample_rate=16_000, n_fft=512, hop_length=128, output="magnitude")(wave)
    both = ofs.HPSS(output="both", kernel_size=17)(power)
    tone, click = power[32, 30], power[100, 62]
    torch.testing.assert_close(both[32, 30], tone, rtol=1e-3, atol=0)
    torch.testing.assert_close(both[257 + 100, 62], click, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"kernel_size": 0}, "kernel_size.*1.*got 0"),
        ({"kernel_size": (3, 5, 7)}, "one number or two .time, frequency., got .3, 5, 7."),
        ({"power": 0.0}, "power above 0, got 0"),
        ({"margin": 0.5}, "margin.*1.*got 0.5"),
        ({"margin": (2.0, 0.5)}, "margin.*1.*got 0.5"),
        ({"output": "vocals"}, "output.*'harmonic'.*got 'vocals'"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.HPSS(**options)
