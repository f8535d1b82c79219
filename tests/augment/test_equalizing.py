"""Bells and shelves against the cookbook's digital filters run by scipy, and what is drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import signal, stats

import ontheflyspec as ofs
from ontheflyspec.augment import HighShelf, LowShelf, PeakingEQ, PreEmphasis, SevenBandEQ
from ontheflyspec.augment.base import Info, planned

RATE = 16_000
SIZES = (30_000, 4_097, 500, 3, 0)


def cookbook(kind: str, hertz: float, gain_db: float, q: float) -> np.ndarray:
    """Returns the coefficients as Bristow-Johnson's cookbook has them."""
    w = 2 * math.pi * min(hertz, 0.49 * RATE) / RATE
    root, cos, alpha = 10 ** (gain_db / 40), math.cos(w), math.sin(w) / (2 * q)
    if kind == "peak":
        b = [1 + alpha * root, -2 * cos, 1 - alpha * root]
        a = [1 + alpha / root, -2 * cos, 1 - alpha / root]
    else:
        sign = 1 if kind == "low" else -1
        up, down, steep = root + 1, root - 1, 2 * math.sqrt(root) * alpha
        b = [root * (up - sign * down * cos + steep), sign * 2 * root * (down - sign * up * cos)]
        b += [root * (up - sign * down * cos - steep)]
        a = [up + sign * down * cos + steep, -sign * 2 * (down + sign * up * cos), up + sign * down * cos - steep]
    return np.array([*b, *a]) / a[0]


def compare(step: Any, kinds: list[str], *, requires_grad: bool, tolerance: float) -> None:
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((2, size)).astype(np.float32) for size in SIZES]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(len(SIZES)) + 3)
    data = torch.where(batch.mask().unsqueeze(1), batch.data, float("nan"))
    out, table = step(batch._replace(data=data.requires_grad_(requires_grad))), step.draw(batch.ids)
    name = "cutoff_hz" if "cutoff_hz" in table else "center_hz"
    drawn = torch.stack([table[name], table["gain_db"], table["q"]], -1).reshape(len(SIZES), len(kinds), 3).numpy()
    for wave, found, bands in zip(waves, out.unpad(), drawn, strict=True):
        if wave.size:
            sections = np.stack([cookbook(kind, *band) for kind, band in zip(kinds, bands, strict=True)])
            expected = signal.sosfilt(sections, wave.astype(np.float64))
            gap = np.abs(found.detach().numpy() - expected).max()
            assert gap < tolerance * max(np.abs(expected).max(), np.abs(wave).max())


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize(("make", "kind"), [(PeakingEQ, "peak"), (LowShelf, "low"), (HighShelf, "high")])
def test_against_cookbook(make: Any, kind: str, requires_grad: bool) -> None:
    for seed in range(4):
        compare(make(seed=seed), [kind], requires_grad=requires_grad, tolerance=2e-6)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_seven_bands(requires_grad: bool) -> None:
    kinds = ["low", *["peak"] * 5, "high"]
    for seed in range(4):
        compare(SevenBandEQ(seed=seed), kinds, requires_grad=requires_grad, tolerance=5e-6)


@pytest.mark.parametrize("gain_db", [-12.0, 6.0, 18.0])
def test_gains_are_where_they_are_said_to_be(gain_db: float) -> None:
    """At the middle of a bell, far on the side of a shelf, and half of it at a shelf's cut-off."""
    seconds = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    window = torch.hann_window(2 * RATE, dtype=torch.float64)

    def level(step: Any, hertz: float) -> float:
        tone = torch.sin(2 * torch.pi * hertz * seconds) * window
        return float(20 * torch.log10(step(ofs.pad([tone], rate=RATE)).data.norm() / tone.norm()))

    bell = PeakingEQ(center_hz=1_000.0, gain_db=gain_db, q=1.0)
    assert level(bell, 1_000.0) == pytest.approx(gain_db, abs=0.05)
    assert level(bell, 30.0) == pytest.approx(0.0, abs=0.1)
    for make, far, near in ((LowShelf, 7_000.0, 30.0), (HighShelf, 30.0, 7_000.0)):
        step = make(cutoff_hz=800.0, gain_db=gain_db, q=0.7)
        assert level(step, near) == pytest.approx(gain_db, abs=0.1)
        assert level(step, 800.0) == pytest.approx(gain_db / 2, abs=0.05)
        assert level(step, far) == pytest.approx(0.0, abs=0.1)


def test_parameters_are_drawn_evenly() -> None:
    def mels(hertz: Any) -> Any:
        return 2595 * np.log10(1 + np.asarray(hertz) / 700)

    def even(values: Any, low: float, high: float) -> bool:
        return bool(stats.kstest(np.asarray(values), stats.uniform(low, high - low).cdf).pvalue > 1e-4)

    ids = torch.arange(5_000)
    for make, name, span, gain, q in (
        (PeakingEQ, "center_hz", (50.0, 7_500.0), 24.0, (0.5, 5.0)),
        (LowShelf, "cutoff_hz", (50.0, 4_000.0), 18.0, (0.1, 0.999)),
        (HighShelf, "cutoff_hz", (300.0, 7_500.0), 18.0, (0.1, 0.999)),
    ):
        table = make().draw(ids)
        assert even(mels(table[name]), *mels(span))
        assert even(table["gain_db"], -gain, gain)
        assert even(table["q"], *q)
    seven = SevenBandEQ().draw(ids)
    spans = [(42, 95), (91, 204), (196, 441), (421, 948), (909, 2_045), (1_957, 4_404), (4_216, 9_486)]
    for band, span in enumerate(spans):
        assert even(mels(seven["center_hz"][:, band]), *mels(span))
        assert even(seven["gain_db"][:, band], -12.0, 12.0)
        assert even(seven["q"][:, band], *((0.1, 0.999) if band in (0, 6) else (0.5, 5.0)))
    corr = np.corrcoef(torch.cat([seven["gain_db"], seven["q"]], 1).numpy().T) - np.eye(14)
    assert np.abs(corr).max() < 0.08, "bands draw each for itself"
    assert even(PreEmphasis(coefficient=(0.5, 1.0)).draw(ids)["coefficient"], 0.5, 1.0)


def test_responses_of_the_ranges_ends_are_the_longest() -> None:
    from ontheflyspec.functional.filtering import tails

    info = Info(torch.full((400,), 9), RATE, torch.Size([400, 9]), "step")
    for step in (PeakingEQ(), LowShelf(), HighShelf(), SevenBandEQ()):
        table = step.draw(torch.arange(400))
        known = planned(step, info, table).options
        few = planned(step, info._replace(shape=torch.Size([2, 9])), step.draw(torch.arange(2)))
        assert few.options["tail"] == known["tail"], "it depends on the batch"
        assert tails(known["sections"]).max() <= known["tail"]


def test_responses_end_where_they_are_cut() -> None:
    from ontheflyspec.functional.filtering import peaking, shelf, tails, warped

    for hertz, gain_db, q in ((50.0, -18.0, 0.1), (50.0, 18.0, 0.1), (900.0, 24.0, 5.0), (7_500.0, -24.0, 5.0)):
        values = [torch.tensor([value], dtype=torch.float64) for value in (gain_db, q)]
        edge = warped(torch.tensor([hertz], dtype=torch.float64), RATE)
        made = {
            "peak": peaking(edge, *values),
            "low": shelf(edge, *values, "low"),
            "high": shelf(edge, *values, "high"),
        }
        for kind, sections in made.items():
            tail = int(tails(sections)[0])
            click = np.zeros(3 * tail)
            click[0] = 1.0
            ringing = np.abs(signal.sosfilt(cookbook(kind, hertz, gain_db, q)[None], click))
            assert ringing[tail:].sum() < 1e-6 * ringing.sum()


@pytest.mark.parametrize("requires_grad", [False, True])
def test_pre_emphasis(requires_grad: bool) -> None:
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((2, size)) for size in SIZES]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(len(SIZES)))
    data = torch.where(batch.mask().unsqueeze(1), batch.data, float("nan"))
    step = PreEmphasis(coefficient=(0.0, 1.0))
    out, shares = step(batch._replace(data=data.requires_grad_(requires_grad))), step.draw(batch.ids)["coefficient"]
    for wave, found, share in zip(waves, out.unpad(), shares.tolist(), strict=True):
        if wave.size:
            np.testing.assert_allclose(found.detach().numpy(), signal.lfilter([1, -share], 1, wave), atol=1e-12)


def test_wrong_options() -> None:
    batch = ofs.pad([torch.randn(500)], rate=8_000.0)
    with pytest.raises(ValueError, match=r"PeakingEQ: expected center_hz to begin below half the rate, 4000 Hz"):
        PeakingEQ(center_hz=5_000.0)(batch)
    with pytest.raises(ValueError, match=r"LowShelf: expected q to be a finite number between 0\.05 and 100, got 0\.0"):
        LowShelf(q=0.0)
    with pytest.raises(ValueError, match=r"SevenBandEQ: expected gain_db to be a finite number between -60 and 60"):
        SevenBandEQ(gain_db=(-80.0, 0.0))
    with pytest.raises(ValueError, match=r"SevenBandEQ: expected a batch that knows its rate"):
        SevenBandEQ()(torch.zeros(10))
    with pytest.raises(ValueError, match=r"PreEmphasis: expected coefficient to be a finite number between 0 and 1"):
        PreEmphasis(coefficient=1.5)
