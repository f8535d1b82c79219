"""Shifts against numpy, item by item."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.augment import TimeShift

RATE = 100.0


def moved(wave: np.ndarray, shift: int, mode: str) -> np.ndarray:
    if mode == "circular":
        return np.roll(wave, shift, -1)
    result = np.zeros_like(wave)
    for place in range(wave.shape[-1]):
        if 0 <= place - shift < wave.shape[-1]:
            result[..., place] = wave[..., place - shift]
    return result


@pytest.mark.parametrize("mode", ["circular", "zero"])
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_against_numpy(mode: str, channels: int | None, requires_grad: bool) -> None:
    """Shifts of up to three times an item's length; by slices and by gathering."""
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((*lead, length)) for length in (0, 1, 2, 17, 40, 41, 100)]
    for seed in range(5):
        step = TimeShift(shift_s=(-1.2, 1.2), mode=mode, seed=seed)
        batch = ofs.pad(waves, rate=RATE, ids=torch.arange(7))
        data = torch.where(batch.mask().unflatten(0, (7, *[1] * len(lead))), batch.data, float("nan"))
        out = step(batch._replace(data=data.requires_grad_(requires_grad)))
        shifts = np.round(step.draw(batch.ids)["shift_s"].numpy() * RATE).astype(int)
        assert len(set(shifts)) > 4
        for wave, found, shift in zip(waves, out.unpad(), shifts, strict=True):
            np.testing.assert_array_equal(found.detach().numpy(), moved(wave, shift, mode))


def test_gradient_moves_back() -> None:
    wave = torch.arange(5.0)
    batch = ofs.pad([wave], rate=RATE)
    data = batch.data.requires_grad_()
    weights = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    (TimeShift(shift_s=0.02)(batch._replace(data=data)).data * weights).sum().backward()
    assert data.grad.tolist() == [[3.0, 4.0, 5.0, 1.0, 2.0]]


def test_shift_is_in_seconds() -> None:
    wave = torch.arange(40.0)
    for rate, expected in ((100.0, 3), (200.0, 6), (16.6, 0), (50.0, 2)):
        out = TimeShift(shift_s=0.03)(ofs.pad([wave], rate=rate)).data[0]
        assert out.tolist() == np.roll(wave.numpy(), expected).tolist()


def test_wants_a_rate() -> None:
    with pytest.raises(ValueError, match=r"TimeShift: expected a batch that knows its rate.*ofs\.pad\(\.\.\., rate="):
        TimeShift()(torch.zeros(10))
    assert TimeShift().eval()(torch.ones(10)).tolist() == [1.0] * 10


def test_chain_tells_the_rate() -> None:
    """A bare Tensor has the sample rate of the chain's steps."""
    chain = ofs.Compose([TimeShift(shift_s=0.01), ofs.Resample(sample_rate=800, new_sample_rate=800)])
    wave = torch.randn(64)
    assert torch.allclose(chain(wave), wave.roll(8), atol=1e-6)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"TimeShift: expected mode to be one of 'circular' \| 'zero', got 'wrap'\."):
        TimeShift(mode="wrap")
