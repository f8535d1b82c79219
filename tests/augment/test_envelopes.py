"""Moving gains and fades against numpy and torchaudio, item by item."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from benchmarks.peers import peer
from ontheflyspec.augment import Fade, GainTransition
from ontheflyspec.batch import PaddedBatch

RATE = 100.0
SIZES = (900, 41, 40, 3, 2, 1, 0)
SHAPES = ("linear", "exponential", "logarithmic", "quarter_sine", "half_sine")


def batch_of(channels: int | None, *, requires_grad: bool, first: int = 0) -> tuple[list[np.ndarray], PaddedBatch]:
    """Returns clips and their batch, with NaN in the padding."""
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(first)
    waves = [draws.standard_normal((*lead, size)) for size in SIZES]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(len(SIZES)) + first)
    data = torch.where(batch.mask().unflatten(0, (len(SIZES), *[1] * len(lead))), batch.data, float("nan"))
    return waves, batch._replace(data=data.requires_grad_(requires_grad))


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("duration_s", [(0.0, 0.3), (0.5, 12.0), 0.0])
def test_gain_moves_as_said(duration_s: float | tuple[float, float], channels: int | None, requires_grad: bool) -> None:
    """Moves shorter and longer than an item; the whole move lies in the item."""
    for first in range(4):
        waves, batch = batch_of(channels, requires_grad=requires_grad, first=first)
        step = GainTransition(gain_db=(-30.0, 10.0), duration_s=duration_s)
        out, table = step(batch), step.draw(batch.ids)
        for item, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
            n = wave.shape[-1]
            width = min(float(table["duration_s"][item]) * RATE, n)
            begin = float(table["start"][item]) * (n - width)
            low, high = table["gain_db"][item].tolist()
            gain_db = np.interp(np.arange(n), [begin, begin + max(width, 1.0)], [low, high])
            np.testing.assert_allclose(found.detach().numpy(), wave * 10 ** (gain_db / 20), rtol=1e-9)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_fades_are_those_of_torchaudio(shape: str, requires_grad: bool) -> None:
    transforms = peer("torchaudio.transforms")
    if transforms is None:
        pytest.skip("torchaudio is not installed")
    for first in range(3):
        waves, batch = batch_of(2, requires_grad=requires_grad, first=first)
        step = Fade(fade_in_s=(0.0, 0.5), fade_out_s=(0.0, 0.9), shape=shape)
        out, table = step(batch), step.draw(batch.ids)
        for item, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
            rise, fall = (
                min(round(float(table[name][item]) * RATE), wave.shape[-1]) for name in ("fade_in_s", "fade_out_s")
            )
            expected = transforms.Fade(rise, fall, shape)(torch.from_numpy(wave))
            assert torch.allclose(found.detach(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_silent_and_the_middle_is_not_touched(shape: str) -> None:
    out = Fade(fade_in_s=0.2, fade_out_s=0.1, shape=shape)(ofs.pad([torch.ones(100)], rate=RATE)).data[0]
    assert out[[0, 99]].tolist() == pytest.approx([0.0, 0.0], abs=1e-7)
    assert bool((out[20:90] == 1).all())
    assert bool((out[:18].diff() > 0).all())  # the logarithmic one is there before its time is over
    assert bool((out[91:].diff() < 0).all())


def test_parameters_are_drawn_evenly() -> None:
    ids = torch.arange(5_000)
    glide, fades = GainTransition().draw(ids), Fade(fade_out_s=(0.2, 0.4)).draw(ids)
    before, after = glide["gain_db"].unbind(1)
    for drawn, low, high in (
        (before, -24.0, 6.0),
        (after, -24.0, 6.0),
        (glide["duration_s"], 0.2, 6.0),
        (glide["start"], 0.0, 1.0),
        (fades["fade_in_s"], 0.0, 0.1),
        (fades["fade_out_s"], 0.2, 0.4),
    ):
        assert stats.kstest(drawn.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(before, after)[0, 1]) < 0.08


def test_wrong_options() -> None:
    with pytest.raises(
        ValueError, match=r"GainTransition: expected duration_s to be a finite number between 0 and inf"
    ):
        GainTransition(duration_s=-1.0)
    with pytest.raises(ValueError, match=r"GainTransition: expected a batch that knows its rate"):
        GainTransition()(torch.zeros(10))
    with pytest.raises(ValueError, match=r"Fade: expected shape to be one of 'linear' \| 'exponential'.*got 'sine'"):
        Fade(shape="sine")
    with pytest.raises(ValueError, match=r"Fade: expected a batch that knows its rate"):
        Fade()(torch.zeros(10))
