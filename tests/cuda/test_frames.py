"""Features of frames by CUDA's kernels: against the reference, in Triton's interpreter; and what they cost."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
import pretend
from ontheflyspec.kernels.cuda.frames import rounded
from programs import RATE, by_kernels, close, interpret, kernels_of_cuda, needs_triton, reference, waves
from test_budgets import cost, log_mel, ragged

SHAPES: list[dict[str, Any]] = [
    {"n_fft": 64, "hop_length": 16},
    {"n_fft": 50, "hop_length": 20},
    {"n_fft": 51, "hop_length": 7, "window": "hamming"},
    {"n_fft": 64, "win_length": 40, "hop_length": 16},
    {"n_fft": 32, "hop_length": 50},
    {"n_fft": 128, "hop_length": 32, "pad_mode": "constant"},
    {"n_fft": 64, "hop_length": 16, "center": False},
    {"n_fft": 400, "hop_length": 160},
]


def close_in_db(found: Tensor, expected: Tensor, lengths: Tensor) -> None:
    """Within 0.01 dB where the power is within 60 dB of the item's peak, and 1e-5 of the peak everywhere."""
    for one, other, size in zip(found, expected, lengths.tolist(), strict=True):
        assert not one[..., size:].any()
        if not size:
            continue
        one, other = one[..., :size].double(), other[..., :size]
        loud = other > other.max() - 60
        assert (one - other)[loud].abs().max() <= 0.01
        powers = 10 ** (one / 10), 10 ** (other / 10)
        assert (powers[0] - powers[1]).abs().max() <= 1e-5 * powers[1].max()


@needs_triton
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_log_mel(shape: dict[str, Any]) -> None:
    mel = ofs.MelSpectrogram(sample_rate=RATE, n_mels=20 if shape["n_fft"] > 32 else 9, **shape)
    chain, batch = ofs.Compose([mel, ofs.AmplitudeToDB(ref=0.5)]), waves()
    close_in_db(by_kernels(chain, batch), reference(chain, batch), chain.output_lengths(batch.lengths))


@needs_triton
@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[6]], ids=lambda shape: "-".join(map(str, shape.values())))
@pytest.mark.parametrize("output", ["complex", "magnitude", "power"])
def test_spectra(shape: dict[str, Any], output: Any) -> None:
    stft, batch = ofs.STFT(sample_rate=RATE, output=output, **shape), waves(2)
    close(by_kernels(stft, batch), reference(stft, batch), stft.output_lengths(batch.lengths))


KINDS: dict[str, Any] = {
    "filters": ofs.MelSpectrogram,
    "magnitudes": lambda **options: ofs.MelSpectrogram(power=1.0, **options),
    "cubes": lambda **options: ofs.MelSpectrogram(power=3.0, **options),
    "natural logarithm": lambda **options: ofs.Compose([ofs.MelSpectrogram(**options), ofs.Log(floor=1e-6)]),
    "relative to the maximum": lambda **options: ofs.Compose(
        [ofs.MelSpectrogram(**options), ofs.AmplitudeToDB(ref="max", top_db=50.0)]
    ),
    "cepstrum": lambda **options: ofs.MFCC(n_mfcc=8, **options),
}


@needs_triton
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("int16", [False, True])
def test_what_follows_the_filters(name: str, int16: bool) -> None:
    step, batch = KINDS[name](sample_rate=RATE, n_fft=64, hop_length=16, n_mels=20), waves(int16=int16)
    found, expected = by_kernels(step, batch), reference(step, batch)
    if name == "natural logarithm":
        found, expected = found.exp() * (found != 0), expected.exp() * (expected != 0)
    if name == "relative to the maximum":
        assert (found - expected).abs().max() <= 0.01
    else:
        close(found, expected, step.output_lengths(batch.lengths))


@needs_triton
def test_several_features_share_one_transform() -> None:
    options: dict[str, Any] = {"sample_rate": RATE, "n_fft": 64, "hop_length": 16}
    step, batch = ofs.Parallel(mel=ofs.MelSpectrogram(**options, n_mels=9), stft=ofs.STFT(**options)), waves()
    with torch.no_grad(), pretend.session(), kernels_of_cuda(interpret), pretend.counted() as counts:
        out = pretend.send(copy.deepcopy(step))(batch._replace(data=pretend.send(batch.data)))
    for name, one in step.transforms.items():
        close(pretend.fetch(out[name].data), reference(one, batch), one.output_lengths(batch.lengths))
    assert counts.kernels <= 4 + 3  # and constants that are made once


@needs_triton
def test_full_items_and_single_ones() -> None:
    chain, data = log_mel(RATE, 64, 16, 6), torch.randn(2, 500)
    with torch.no_grad(), pretend.session(), kernels_of_cuda(interpret):
        there = pretend.send(copy.deepcopy(chain))
        batched, single = (there(pretend.send(one)) for one in (data, data[0]))
    expected = chain(data)
    assert (pretend.fetch(batched) - expected).abs().max() <= 0.01
    assert torch.equal(pretend.fetch(single), pretend.fetch(batched)[0])


@needs_triton
def test_not_a_number_stays_one() -> None:
    """A logarithm's floor must not hide it."""
    chain, data = log_mel(RATE, 64, 16, 6), torch.ones(1, 500)
    data[0, 100] = torch.nan
    with torch.no_grad(), pretend.session(), kernels_of_cuda(interpret):
        out = pretend.fetch(pretend.send(copy.deepcopy(chain))(pretend.send(data)))
    assert out.isnan().any()
    assert torch.equal(out.isnan(), chain(data).isnan())


def test_a_log_mel_is_three_launches() -> None:
    """At most half of what torchaudio's full ones would take, by the model."""
    for shape, most in (((16_000, 400, 160, 80), 90), ((22_050, 1_024, 256, 80), 180)):
        with kernels_of_cuda():
            found = cost(log_mel(*shape), ragged(32, 10.0, shape[0]))
        assert (found.kernels, found.copies) == (3, 1)
        assert max(found.host_us, found.device_us) <= most


def test_transforms_of_few_sizes_are_planned() -> None:
    sizes = {rounded(rows) for rows in range(30_000, 60_001)}
    assert len(sizes) <= 20
    assert all(rows <= rounded(rows) <= max(rows * 17 / 16, rows + 255) for rows in range(1, 70_000, 7))
