"""Distortions against numpy on each item alone, and what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import BitCrush, Clip, MuLaw, TanhDistortion
from ontheflyspec.functional.distortion import quantiles
from ontheflyspec.kernels.cpu.distortion import item_quantiles

SIZES = (9_000, 40, 3, 2, 1, 0)


def clipped(wave: np.ndarray, percentile: float) -> np.ndarray:
    return np.clip(wave, *np.percentile(wave, [percentile / 2, 100 - percentile / 2]))


def saturated(wave: np.ndarray, amount: float) -> np.ndarray:
    """As audiomentations has it."""
    threshold = np.percentile(np.abs(wave), 100 - 99 * amount)
    bent = np.tanh(0.5 / (threshold + 1e-6) * wave)
    return bent * np.sqrt(np.mean(wave**2) / np.mean(bent**2))


def crushed(wave: np.ndarray, bits: int) -> np.ndarray:
    return np.round(wave * 2 ** (bits - 1)) / 2 ** (bits - 1)


def companded(wave: np.ndarray, mu: float) -> np.ndarray:
    wave, levels = np.clip(wave, -1, 1), mu // 2
    code = np.round(np.log(1 + mu * np.abs(wave)) / np.log(1 + mu) * levels)
    return np.sign(wave) * ((1 + mu) ** (code / levels) - 1) / mu


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize(
    ("step", "name", "expect"),
    [
        (Clip(percentile=(0.0, 100.0)), "percentile", clipped),
        (TanhDistortion(amount=(0.0, 1.0)), "amount", saturated),
        (BitCrush(), "bits", crushed),
        (MuLaw(mu=(7.0, 255.0)), "mu", companded),
    ],
)
def test_against_numpy(
    step: Any, name: str, expect: Callable[..., np.ndarray], channels: int | None, requires_grad: bool
) -> None:
    """Clips of unlike length and level in one batch, with NaN in the padding."""
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((*lead, size)) * 0.5 / (1 + place) for place, size in enumerate(SIZES)]
    for shift in range(4):
        batch = ofs.pad(waves, rate=1.0, ids=torch.arange(len(SIZES)) + 10 * shift)
        data = torch.where(batch.mask().unflatten(0, (len(SIZES), *[1] * len(lead))), batch.data, float("nan"))
        out, drawn = step(batch._replace(data=data.requires_grad_(requires_grad))), step.draw(batch.ids)[name]
        for wave, found, value in zip(waves, out.unpad(), drawn.tolist(), strict=True):
            if wave.size:
                expected = expect(wave, value)
                np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("magnitude", [False, True])
def test_quantiles_against_numpy(one_by_one: bool, magnitude: bool) -> None:
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal(size) for size in SIZES]
    batch = ofs.pad(waves, rate=1.0)
    data = torch.where(batch.mask(), batch.data, float("nan"))
    shares = torch.tensor([[0.0, 0.31, 0.5, 1.0]], dtype=torch.float64).expand(len(SIZES), 4)
    if one_by_one:
        parts, wanted = [part for part in batch.unpad() if part.numel()], shares[0].tolist()
        found = torch.stack([*(item_quantiles(part, wanted, magnitude=magnitude) for part in parts), torch.zeros(4)])
    else:
        found = quantiles(data, batch.lengths, shares, magnitude=magnitude)
    for wave, row in zip(waves, found, strict=True):
        expected = np.quantile(np.abs(wave) if magnitude else wave, shares[0]) if wave.size else np.zeros(4)
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_sixteen_bits_keep_whole_samples() -> None:
    whole = torch.randint(-32_768, 32_768, (500,), dtype=torch.int16)
    assert torch.equal(BitCrush(bits=16)(whole), whole / 32_768)
    assert not torch.equal(BitCrush(bits=15)(whole), whole / 32_768)


def test_power_is_kept() -> None:
    wave = torch.randn(5_000, dtype=torch.float64)
    for amount in (0.0, 0.3, 1.0):
        bent = TanhDistortion(amount=amount)(wave)
        assert float(bent.square().mean() / wave.square().mean()) == pytest.approx(1.0, abs=1e-9)
        assert not torch.allclose(bent, wave, atol=1e-3)


def test_error_of_mu_law_is_half_a_level() -> None:
    """Of the compressed samples; 0 stays 0 and full scale stays."""
    wave = torch.linspace(-1, 1, 40_001, dtype=torch.float64)
    found = MuLaw(mu=255.0)(wave)

    def compressed(x: torch.Tensor) -> torch.Tensor:
        return torch.sign(x) * torch.log1p(255 * x.abs()) / np.log(256)

    assert float((compressed(found) - compressed(wave)).abs().max()) <= 0.5 / 127 + 1e-9
    assert found[[0, 20_000, 40_000]].tolist() == pytest.approx([-1.0, 0.0, 1.0], abs=1e-12)
    assert len(found.unique()) == 255


@pytest.mark.parametrize("step", [BitCrush(bits=3), MuLaw()])
def test_gradients_pass_straight_through(step: Any) -> None:
    wave = torch.tensor([0.01, -0.4, 0.9], requires_grad=True)
    (step(wave) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert wave.grad.tolist() == [1.0, 2.0, 3.0]


def test_parameters_are_drawn_evenly() -> None:
    ids = torch.arange(5_000)
    for step, name, low, high in (
        (Clip(), "percentile", 0.0, 40.0),
        (TanhDistortion(), "amount", 0.01, 0.7),
        (MuLaw(mu=(15.0, 255.0)), "mu", 15.0, 255.0),
    ):
        assert stats.kstest(step.draw(ids)[name].numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-4
    counts = torch.bincount(BitCrush().draw(ids)["bits"], minlength=15)
    assert not counts[:5].any()
    assert stats.chisquare(counts[5:].numpy()).pvalue > 1e-4


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"Clip: expected percentile to be a finite number between 0 and 100"):
        Clip(percentile=120.0)
    with pytest.raises(TypeError, match=r"BitCrush: expected bits to be an integer of at least 1 and at most 24"):
        BitCrush(bits=(4.5, 8))
    with pytest.raises(ValueError, match=r"BitCrush: expected bits as \(low, high\) with low <= high, got \(8, 4\)"):
        BitCrush(bits=(8, 4))
    with pytest.raises(ValueError, match=r"MuLaw: expected mu to be a finite number between 3 and 65535"):
        MuLaw(mu=1.0)
    with pytest.raises(ValueError, match=r"TanhDistortion: expected amount to be a finite number between 0 and 1"):
        TanhDistortion(amount=(0.0, 2.0))
