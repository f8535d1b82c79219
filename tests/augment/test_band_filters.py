"""Filters against scipy's on each item alone, against tones, and what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import signal, stats

import ontheflyspec as ofs
from case import needs_compiler
from ontheflyspec.augment import BandPass, BandStop, HighPass, LowPass
from ontheflyspec.augment.base import Info, planned
from ontheflyspec.functional import fft_sizes, filtering

RATE = 16_000
SILENCE = 40_000
SIZES = (30_000, 4_097, 500, 3, 0)
KINDS: dict[str, tuple[type, str]] = {
    "low": (LowPass, "lowpass"),
    "high": (HighPass, "highpass"),
    "pass": (BandPass, "bandpass"),
    "stop": (BandStop, "bandstop"),
}


def mels(hertz: Any) -> Any:
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def edges(table: dict[str, torch.Tensor], item: int) -> Any:
    """Returns what scipy takes, from the numbers in the table."""
    if "cutoff_hz" in table:
        return min(float(table["cutoff_hz"][item]), 0.49 * RATE)
    centre, half = float(table["center_hz"][item]), float(table["bandwidth"][item]) / 2
    return [min(max(centre * (1 - half), 1.0), 0.44 * RATE), min(centre * (1 + half), 0.49 * RATE)]


def reference(wave: np.ndarray, sections: np.ndarray, *, zero_phase: bool) -> np.ndarray:
    """Returns scipy's result in a long silence."""
    wide = np.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(SILENCE, SILENCE)])
    out = signal.sosfiltfilt(sections, wide, padtype=None) if zero_phase else signal.sosfilt(sections, wide)
    return out[..., SILENCE : SILENCE + wave.shape[-1]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero_phase", [False, True])
@pytest.mark.parametrize(("order", "channels", "requires_grad"), [(1, None, False), (2, 2, True), (3, 2, False)])
def test_against_scipy(kind: str, zero_phase: bool, order: int, channels: int | None, requires_grad: bool) -> None:
    """Clips of unlike length in one batch, item by item and all at once, with NaN in the padding."""
    make, btype = KINDS[kind]
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(order)
    waves = [draws.standard_normal((*lead, size)).astype(np.float32) for size in SIZES]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(len(SIZES)) + 9)
    data = torch.where(batch.mask().unflatten(0, (len(SIZES), *[1] * len(lead))), batch.data, float("nan"))
    step = make(order=order, zero_phase=zero_phase, seed=order)
    out, table = step(batch._replace(data=data.requires_grad_(requires_grad))), step.draw(batch.ids)
    for item, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
        if wave.size:
            sections = signal.butter(order, edges(table, item), btype, fs=RATE, output="sos")
            expected = reference(wave.astype(np.float64), sections, zero_phase=zero_phase)
            gap = np.abs(found.detach().numpy() - expected).max()
            assert gap < 2e-6 * np.abs(wave).max(), f"item {item} is off by {gap:.3g}"


def level(step: Any, hertz: float) -> float:
    """Returns dB that a tone of a second loses or gains in its middle half."""
    tone = torch.sin(2 * torch.pi * hertz * torch.arange(2 * RATE, dtype=torch.float64) / RATE)
    tone = tone * torch.hann_window(2 * RATE, dtype=torch.float64)
    return float(20 * torch.log10(step(ofs.pad([tone], rate=RATE)).data.norm() / tone.norm()))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_tones_fall_as_said(order: int) -> None:
    """6 dB at the edge, ``12 * order`` dB an octave later; half of it where the filter runs forwards alone.

    Frequencies count as the bilinear transform has them, which falls a little more beyond the edge.
    """

    def squared(hertz: float) -> float:
        return float((np.tan(np.pi * hertz / RATE) / np.tan(np.pi * 500.0 / RATE)) ** (2 * order))

    for step, beyond in (
        (LowPass(cutoff_hz=500.0, order=order), 1_000.0),
        (HighPass(cutoff_hz=500.0, order=order), 250.0),
    ):
        assert level(step, 500.0) == pytest.approx(-6.02, abs=0.1)
        assert level(step, beyond) == pytest.approx(
            -20 * np.log10(1 + max(squared(beyond), 1 / squared(beyond))), abs=0.1
        )
        assert level(step, beyond) == pytest.approx(-20 * np.log10(1 + 4.0**order), abs=0.8)
        before = 250_000 / beyond
        assert level(step, before) == pytest.approx(
            -20 * np.log10(1 + min(squared(before), 1 / squared(before))), abs=0.1
        )
    assert level(LowPass(cutoff_hz=500.0, order=order, zero_phase=False), 500.0) == pytest.approx(-3.01, abs=0.1)
    band = {"center_hz": 1_000.0, "bandwidth": 1.0, "order": order}
    for hertz in (500.0, 1_500.0):
        assert level(BandPass(**band), hertz) == pytest.approx(-6.02, abs=0.2)
        assert level(BandStop(**band), hertz) == pytest.approx(-6.02, abs=0.2)
    assert level(BandPass(**band), 866.0) == pytest.approx(0.0, abs=0.1)
    assert level(BandStop(**band), 866.0) < -40.0


def test_nothing_is_delayed_and_nothing_wraps_around() -> None:
    """A click at either end rings into the item only, evenly to both sides."""
    for place in (0, 299, 5_000, 9_999):
        click = torch.zeros(10_000, dtype=torch.float64)
        click[place] = 1.0
        out = LowPass(cutoff_hz=200.0)(ofs.pad([click], rate=RATE)).data[0]
        assert int(out.argmax()) == place
        far = (torch.arange(10_000) - place).abs() > 700
        assert float(out[far].abs().max()) < 1e-6 * float(out.max())
        side = min(place, 9_999 - place)
        assert torch.allclose(out[place - side : place], out[place + 1 : place + side + 1].flip(0), atol=1e-9)


@pytest.mark.parametrize(("make", "span"), [(LowPass, (150.0, 7_500.0)), (HighPass, (20.0, 2_400.0))])
def test_cutoffs_are_drawn_evenly_in_mel(make: Any, span: tuple[float, float]) -> None:
    drawn = make().draw(torch.arange(5_000))["cutoff_hz"].numpy()
    low, high = mels(span)
    assert stats.kstest(mels(drawn), stats.uniform(low, high - low).cdf).pvalue > 1e-4


@pytest.mark.parametrize("make", [BandPass, BandStop])
def test_bands_are_drawn_evenly(make: Any) -> None:
    table = make().draw(torch.arange(5_000))
    low, high = mels((200.0, 4_000.0))
    assert stats.kstest(mels(table["center_hz"].numpy()), stats.uniform(low, high - low).cdf).pvalue > 1e-4
    assert stats.kstest(table["bandwidth"].numpy(), stats.uniform(0.5, 1.49).cdf).pvalue > 1e-4


def test_responses_end_where_they_are_cut() -> None:
    """Tails against the impulse responses of scipy's filters: what comes later is below a millionth of the peak."""
    for cutoff in (3.0, 40.0, 900.0, 7_800.0):
        for order in (1, 2, 3, 7):
            hertz = torch.tensor([cutoff], dtype=torch.float64)
            tail = int(filtering.tails(filtering.butterworth(filtering.warped(hertz, RATE), order, "low"))[0])
            click = np.zeros(3 * tail)
            click[0] = 1.0
            ringing = np.abs(signal.sosfilt(signal.butter(order, cutoff, fs=RATE, output="sos"), click))
            assert ringing[tail:].max() < 1e-6 * ringing.max()
            assert ringing[tail // 4 :].max() > 1e-6 * ringing.max(), "tails are longer than needed"


@pytest.mark.parametrize(("least", "size"), [(1, 2), (2, 2), (7, 8), (11, 12), (31, 32), (97, 100), (4_097, 4_320)])
def test_fast_sizes(least: int, size: int) -> None:
    assert fft_sizes.fast_size(least, 2) == size


def test_frequencies_above_half_the_rate() -> None:
    """A drawn one counts as the highest possible; where none can be below, an error says so."""
    batch = ofs.pad([torch.randn(500)], rate=8_000.0, ids=[1])
    top = LowPass(cutoff_hz=0.49 * 8_000)(batch).data
    assert torch.equal(LowPass().replay(batch, {"active": [True], "cutoff_hz": [7_000.0]}).data, top)
    with pytest.raises(
        ValueError, match=r"LowPass: expected cutoff_hz to begin below half the rate, 4000 Hz, got 5000"
    ):
        LowPass(cutoff_hz=(5_000.0, 7_000.0))(batch)
    with pytest.raises(
        ValueError, match=r"BandStop: expected center_hz to begin below half the rate, 4000 Hz, got 4000"
    ):
        BandStop(center_hz=4_000.0)(batch)
    assert torch.isfinite(BandPass(center_hz=(3_999.0, 9_000.0), bandwidth=0.01)(batch).data).all()


def test_the_ends_of_the_ranges_decide_how_blocks_overlap() -> None:
    """Not what was drawn: else an item's Fourier transforms would depend on its mates."""
    info = Info(torch.full((400,), 9), RATE, torch.Size([400, 9]), "step")
    for step in (LowPass(), HighPass(), BandPass(), BandStop()):
        known = planned(step, info, step.draw(torch.arange(400))).options
        few = info._replace(lengths=info.lengths[:2], shape=torch.Size([2, 9]))
        assert planned(step, few, step.draw(torch.arange(2))).options["tail"] == known["tail"]
        assert filtering.tails(known["sections"]).max() <= known["tail"]


@needs_compiler
def test_compiles_whole() -> None:
    step = ofs.Compose([LowPass(), HighPass(cutoff_hz=(20.0, 90.0)), BandPass()])
    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, backend="eager")
    batch = ofs.pad([torch.randn(700), torch.randn(300)], rate=RATE, ids=[1, 2])
    assert torch.allclose(compiled(batch).data, step(batch).data, atol=1e-5)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"HighPass: expected cutoff_hz to be a finite number between 1 and inf"):
        HighPass(cutoff_hz=(0.5, 30.0))
    with pytest.raises(ValueError, match=r"BandPass: expected bandwidth to be a finite number between 0\.01 and 1\.99"):
        BandPass(bandwidth=2.0)
    with pytest.raises(
        ValueError, match=r"LowPass: expected order to be an integer of at least 1 and at most 8, got 9"
    ):
        LowPass(order=9)
    with pytest.raises(ValueError, match=r"LowPass: expected a batch that knows its rate"):
        LowPass()(torch.zeros(10))
