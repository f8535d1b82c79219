"""The harmonic constant-Q transform against single ones, and against where harmonics must lie."""

from __future__ import annotations

import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.transforms.harmonic_cqt import shared_spans

RATE = 8_000


def items():
    torch.manual_seed(0)
    return [torch.randn(n, dtype=torch.float64) * level for n, level in ((5_000, 1.0), (1_203, 1e-3), (40, 0.1))]


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 1e-4),
        ({"method": "direct"}, 1e-5),
        ({"harmonics": (5, 1, 2.5, 1), "output": "complex", "hop_length": 100}, 1e-4),
        ({"harmonics": (1, 9.5), "n_bins": 12, "filters": "nnaudio", "pad_mode": "reflect"}, 1e-4),
        ({"window": "blackman", "norm": 2, "filter_scale": 0.5, "output": "power"}, 1e-4),
    ],
)
def test_each_harmonic_is_a_transform_of_its_own(options, tolerance):
    known = {"hop_length": 128, "fmin": 60.0, "n_bins": 40, "bins_per_octave": 12, "output": "magnitude"} | options
    harmonics = known.pop("harmonics", (0.5, 1, 2, 3, 4, 5))
    waves = items()
    out = ofs.HarmonicCQT(sample_rate=RATE, harmonics=harmonics, **known)(ofs.pad(waves, rate=RATE))
    assert out.data.shape[1:3] == (len(harmonics), known["n_bins"])
    for ours, wave in zip(out.unpad(), waves, strict=True):
        for layer, harmonic in zip(ours, harmonics, strict=True):
            single = ofs.CQT(sample_rate=RATE, **known | {"fmin": 60.0 * harmonic, "method": "direct"})(wave)
            assert (layer - single).abs().max() <= tolerance * single.abs().max()


def test_harmonics_of_a_sound_stand_in_one_place():
    time = torch.arange(RATE) / RATE
    wave = sum(torch.sin(2 * torch.pi * 220 * order * time) for order in (1, 2, 3))
    hcqt = ofs.HarmonicCQT(sample_rate=RATE, harmonics=(1, 2, 3), fmin=110.0, n_bins=36, bins_per_octave=12)
    assert hcqt(wave)[..., 10:20].mean(-1).prod(0).argmax() == 12


def test_channels_come_before_harmonics():
    waves = torch.randn(2, 3, 2_000)
    hcqt = ofs.HarmonicCQT(sample_rate=RATE, harmonics=(1, 2), n_bins=24, bins_per_octave=12)
    assert torch.equal(hcqt(waves)[1, 2], hcqt(waves[1, 2]))


def test_octaves_share_a_transform():
    assert shared_spans((0.5, 1, 2, 3, 4, 5, 6), 24, 12) == [{0: 0, 1: 12, 2: 24, 4: 36}, {3: 0, 6: 12}, {5: 0}]
    assert shared_spans((8, 1), 12, 12) == [{1: 0}, {0: 0}], "far apart"
    assert len(ofs.HarmonicCQT(sample_rate=22_050, n_bins=72, bins_per_octave=12).cqts) == 3


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, r"harmonic 5 at or below.*4000\.0 Hz, got 10344.8 Hz. Lower n_bins to at most 277 or"),
        ({"fmin": 900.0}, "got .* Hz. Leave out high harmonics or raise sample_rate"),
        ({"harmonics": ()}, "at least one harmonic, got none"),
        ({"harmonics": (1, 0)}, "harmonics above 0, got 0"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.HarmonicCQT(sample_rate=RATE, **options)


def test_trainable_filters():
    known = {"sample_rate": RATE, "harmonics": (1, 2, 3), "fmin": 110.0, "n_bins": 24, "bins_per_octave": 12}
    wave = items()[0].float()
    learned = ofs.HarmonicCQT(**known, trainable=True)
    out = learned(wave)
    assert (out - ofs.HarmonicCQT(**known)(wave)).abs().max() <= 1e-4 * out.max()
    out.sum().backward()
    assert list(learned.parameters())
    assert all(value.grad.any() for value in learned.parameters())
