"""Augmentations by CUDA's kernels: against the reference, in Triton's interpreter; and what they cost."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import ontheflyspec as ofs
import pretend
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.phase_vocoder import accumulated, turns
from programs import interpret, kernels_of_cuda, launched_by, needs_triton
from test_budgets import cost, log_mel, ragged

RATE = 8_000
SIZES = (3_700, 0, 1, 15, 4_000)
A = ofs.augment


def waves(channels: int | None = None) -> PaddedBatch:
    """Items of unlike length, one of them silent, with NaN in the padding."""
    draws = torch.Generator().manual_seed(3)
    shape = [] if channels is None else [channels]
    made = [0.3 * torch.randn(*shape, size, generator=draws) for size in SIZES]
    batch = ofs.pad([*made, torch.zeros(*shape, 600)], rate=RATE, ids=range(6))
    for row, size in zip(batch.data, batch.lengths.tolist(), strict=True):
        row[..., size:] = torch.nan
    return batch


def features(channels: int | None = None) -> PaddedBatch:
    draws = torch.Generator().manual_seed(4)
    shape = [] if channels is None else [channels]
    made = [torch.randn(*shape, 7, size, generator=draws) for size in (200, 0, 1, 15, 90)]
    batch = ofs.pad(made, rate=100.0, ids=range(5))
    for row, size in zip(batch.data, batch.lengths.tolist(), strict=True):
        row[..., size:] = torch.nan
    return batch


STEPS: dict[str, tuple[Any, Any, int]] = {
    "noise": (lambda: A.AddColoredNoise(), waves, 5),
    "white noise at times": (lambda: A.AddColoredNoise(f_decay=0.0, snr_db=3.0, p=0.5), waves, 5),
    "masks of the mean": (lambda: A.SpecAugment(time_mask_param=9, freq_mask_param=3), features, 2),
    "masks of a number": (lambda: A.SpecAugment(time_mask_param=9, freq_mask_param=3, fill=2.5), features, 1),
    "masks of frames alone": (lambda: A.SpecAugment(time_mask_param=9, n_freq_masks=0, fill="zero"), features, 1),
    "holes": (lambda: A.SpecCutout(fill="mean"), features, 2),
}


@needs_triton
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("name", STEPS)
def test_a_kernel_gives_what_the_reference_gives(name: str, channels: int | None) -> None:
    make, examples, launched = STEPS[name]
    step, batch = make(), examples(channels)
    with torch.no_grad(), pretend.session(), kernels_of_cuda(interpret):
        there, sent = pretend.send(copy.deepcopy(step)), batch._replace(data=pretend.send(batch.data))
        with pretend.counted() as counts:
            found = pretend.fetch(there(sent).data)
    with pretend.noise_of_devices():
        expected = step(batch._replace(data=batch.data.clone().requires_grad_())).data.detach()
    assert counts.kernels == launched
    assert found.shape == expected.shape
    for one, other, size in zip(found, expected, batch.lengths.tolist(), strict=True):
        assert not one[..., size:].any()
        if size:
            assert (one - other)[..., :size].abs().max() <= 1e-5 * other[..., :size].abs().max()


def readme_chain() -> ofs.Compose:
    noise, masks = A.AddColoredNoise(snr_db=(5.0, 30.0), p=0.5), A.SpecAugment(time_mask_param=20, freq_mask_param=10)
    return ofs.Compose([noise, *log_mel(16_000, 400, 160, 80).steps, masks], seed=0)


@pytest.mark.parametrize(
    ("make", "most_kernels", "most_us"),
    [(readme_chain, 14, 250), (A.AddColoredNoise, 6, 120)],
    ids=["the README's chain", "noise"],
)
def test_what_they_cost(make: Any, most_kernels: int, most_us: float) -> None:
    """For 32 clips of up to 10 s, by the model."""
    with kernels_of_cuda():
        found = cost(make(), ragged(32, 10.0, 16_000))
    assert found.kernels <= most_kernels
    assert found.copies == 1
    assert max(found.host_us, found.device_us) <= most_us


@needs_triton
def test_the_vocoders_recursion() -> None:
    """Between two random states of the bins, for items of any number of bins."""
    draws = torch.Generator().manual_seed(1)
    for bins in (16, 33, 100):
        real, imag = (torch.randn(20, 3, bins, generator=draws) for _ in range(2))
        state = torch.nn.functional.normalize(torch.randn(2, 3, bins, generator=draws), dim=0)
        given = [one.double() for one in (real, imag, state)]
        with launched_by(interpret):
            found = accumulated.kernels["cuda"].__wrapped__(real, imag, state)
        apart = (found - turns(*given)).abs()
        assert apart.mean() <= 1e-6
        assert apart.max() <= 1e-3  # where three bins all but cancel, rounding decides on the phase


@pytest.mark.parametrize("make", [A.PitchShift, A.TimeStretch], ids=["PitchShift", "TimeStretch"])
def test_a_vocoder_is_one_launch_beside_its_transforms(make: Any) -> None:
    with kernels_of_cuda():
        found = cost(make(), ragged(4, 10.0, 16_000))
    assert found.kernels <= 60
    assert found.copies == 1
    with kernels_of_cuda():
        whole = cost(make(), ragged(32, 10.0, 16_000))
    assert max(whole.host_us, whole.device_us) <= 3_000
