"""Shifts, warps and filters of bands against numpy and the authors' code, item by item."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import VTLP, FilterAugment, FrequencyShift

BANDS = 20
both = pytest.mark.parametrize("requires_grad", [False, True])
stacked = pytest.mark.parametrize("channels", [None, 2])


def spectra(channels: int | None, requires_grad: bool) -> tuple[list[np.ndarray], ofs.PaddedBatch]:
    lead = (BANDS,) if channels is None else (channels, BANDS)
    draws = np.random.default_rng(4)
    items = [draws.standard_normal((*lead, length)) ** 2 for length in (0, 1, 5, 30, 80)]
    batch = ofs.pad(items, rate=100.0, ids=torch.arange(5))
    return items, batch._replace(data=batch.data.requires_grad_(requires_grad))


@both
@stacked
@pytest.mark.parametrize("fill", ["mean", "zero", -1.5])
def test_shift_against_numpy(fill: float | str, channels: int | None, requires_grad: bool) -> None:
    """Shifts beyond all bands, too."""
    items, batch = spectra(channels, requires_grad)
    seen = set()
    for seed in range(6):
        step = FrequencyShift(shift_bands=(-25, 25), fill=fill, seed=seed)
        shifts = step.draw(batch.ids)["shift_bands"].tolist()
        seen |= set(shifts)
        for item, found, shift in zip(items, step(batch).unpad(), shifts, strict=True):
            value = {"mean": item.mean() if item.size else 0.0, "zero": 0.0}.get(fill, fill)
            expected = np.roll(item, shift, -2)
            if shift > 0:
                expected[..., :shift, :] = value
            elif shift < 0:
                expected[..., shift:, :] = value
            np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=0)
    assert min(seen) < -BANDS
    assert max(seen) > BANDS


def test_every_shift_is_as_likely() -> None:
    shifts = FrequencyShift(shift_bands=(-3, 2)).draw(torch.arange(5_000))["shift_bands"]
    counts = torch.bincount(shifts + 3)
    assert len(counts) == 6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def paper_warp(hertz: np.ndarray, alpha: float, knee: float, top: float) -> np.ndarray:
    """Jaitly and Hinton's formula, where the frequencies of a speaker come to lie."""
    edge = knee * min(alpha, 1)
    high = top - (top - edge) / (top - edge / alpha) * (top - hertz)
    return np.where(hertz <= edge / alpha, hertz * alpha, high)


MEL = ofs.MelSpectrogram(sample_rate=16_000, n_fft=512, n_mels=BANDS).frequencies.numpy()


@both
@stacked
@pytest.mark.parametrize("axis", ["bins", "mel", "mel to the top"])
def test_warp_against_the_paper(axis: str, channels: int | None, requires_grad: bool) -> None:
    """The formula read backwards on a fine grid, item by item."""
    items, batch = spectra(channels, requires_grad)
    hertz = np.arange(float(BANDS)) if axis == "bins" else MEL
    top = 8_000.0 if axis == "mel to the top" else hertz[-1]
    options = {} if axis == "bins" else {"frequencies": MEL}
    step = VTLP(alpha=(0.5, 2.0), **options, **({"fmax": top} if axis == "mel to the top" else {}))
    alphas = step.draw(batch.ids)["alpha"].tolist()
    assert min(alphas) < 1 < max(alphas)
    fine = np.linspace(0, top, 200_001)
    for item, found, alpha in zip(items, step(batch).unpad(), alphas, strict=True):
        source = np.interp(hertz, paper_warp(fine, alpha, 0.6 * top, top), fine)
        expected = item
        if item.size:
            expected = np.apply_along_axis(lambda frame, at=source: np.interp(at, hertz, frame), -2, item)
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.25])
def test_formants_move_by_alpha(alpha: float) -> None:
    """Resonances in the low part of a fine spectrum; above the knee they move less, and the top stays."""
    bins = torch.arange(401, dtype=torch.float64)

    def peaks(*places: float) -> torch.Tensor:
        return sum(torch.exp(-(((bins - place) / 4) ** 2)) for place in places).unsqueeze(-1)

    step = VTLP(alpha=alpha)
    for place in (50.0, 120.0, 180.0):
        warped = step(peaks(place))[:, 0]
        assert float((warped * bins).sum() / warped.sum()) == pytest.approx(alpha * place, abs=0.01)
    assert float(step(peaks(400.0))[-1, 0]) == 1.0
    assert int(step(peaks(350.0)).argmax()) == pytest.approx(float(paper_warp(350, alpha, 240, 400)), abs=0.51)


def test_warp_of_nothing_is_nothing() -> None:
    data = torch.randn(2, BANDS, 7)
    assert torch.equal(VTLP(alpha=1.0)(data), data)
    assert torch.equal(VTLP(alpha=1.0, frequencies=MEL)(data), data)


def test_alpha_is_even() -> None:
    alpha = VTLP().draw(torch.arange(5_000))["alpha"].numpy()
    assert stats.kstest(alpha, stats.uniform(0.9, 0.2).cdf).pvalue > 1e-3


def authors_filter(bounds: list[int], gain_db: list[float], kind: str) -> np.ndarray:
    """Nam et al.'s filter in dB from the boundaries and gains that their code draws."""
    result = np.zeros(bounds[-1])
    for region, (first, last) in enumerate(itertools.pairwise(bounds)):
        if kind == "step":
            result[first:last] = gain_db[region]
        else:
            result[first:last] = np.linspace(gain_db[region], gain_db[region + 1], last - first)
    return result


APPLY = {
    "power": lambda item, db: item * 10 ** (db / 10),
    "magnitude": lambda item, db: item * 10 ** (db / 20),
    "db": lambda item, db: item + db,
    "log": lambda item, db: np.log(np.exp(item) * 10 ** (db / 10)),
}


@both
@stacked
@pytest.mark.parametrize("stype", list(APPLY))
@pytest.mark.parametrize("shape", ["linear", "step"])
@pytest.mark.parametrize("least", [1, 6])
def test_filter_against_the_authors(
    shape: str, stype: str, least: int, channels: int | None, requires_grad: bool
) -> None:
    """Regions of at least 6 bands do not fit where there are 4 or 5 of them: they shrink."""
    items, batch = spectra(channels, requires_grad)
    step = FilterAugment(n_bands=(1, 5), shape=shape, stype=stype, min_bandwidth=least, seed=1)
    table = {name: values.tolist() for name, values in step.draw(batch.ids).items()}
    for row, (item, found) in enumerate(zip(items, step(batch).unpad(), strict=True)):
        count = table["n_bands"][row]
        width = min(least, BANDS // count)
        free = sorted(int(cut * (BANDS - count * width + 1)) for cut in table["cut"][row][: count - 1])
        bounds = [0, *(place + (number + 1) * width for number, place in enumerate(free)), BANDS]
        assert min(np.diff(bounds)) >= width
        db = authors_filter(bounds, table["gain_db"][row], shape)[:, None]
        np.testing.assert_allclose(found.detach().numpy(), APPLY[stype](item, db), rtol=1e-9, atol=1e-9)


@both
def test_filter_in_db_leaves_bits_of_inactive_items(requires_grad: bool) -> None:
    """Negative zero, too, to which zero must not be added."""
    data = torch.full((12, 3, 4), -0.0, requires_grad=requires_grad)
    step = FilterAugment(stype="db", p=0.5)
    batch = ofs.PaddedBatch(data, torch.full((12,), 4), 100.0, torch.arange(12))
    active = step.draw(batch.ids)["active"]
    assert 0 < int(active.sum()) < 12
    assert torch.signbit(step(batch).data[~active]).all()


def test_filter_draws_are_even() -> None:
    table = FilterAugment(n_bands=(2, 4), gain_db=(-3.0, 9.0)).draw(torch.arange(5_000))
    counts = torch.bincount(table["n_bands"] - 2)
    assert len(counts) == 3
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert stats.kstest(table["gain_db"].flatten().numpy(), stats.uniform(-3, 12).cdf).pvalue > 1e-3
    assert stats.kstest(table["cut"].flatten().numpy(), "uniform").pvalue > 1e-3


def test_more_regions_than_bands() -> None:
    """Some stay empty; gains stay in their range."""
    data = torch.ones(50, 3, 4, dtype=torch.float64)
    for shape in ("linear", "step"):
        found = FilterAugment(n_bands=8, shape=shape, stype="db")(data) - 1
        assert float(found.abs().max()) <= 6
        assert float(found.std()) > 1


def test_wrong_options() -> None:
    with pytest.raises(TypeError, match=r"FrequencyShift: expected shift_bands to be an integer .*, got 0\.5\."):
        FrequencyShift(shift_bands=0.5)
    with pytest.raises(ValueError, match=r"FrequencyShift: expected shift_bands as \(low, high\) with low <= high"):
        FrequencyShift(shift_bands=(3, -3))
    with pytest.raises(ValueError, match=r"VTLP: expected boundary to be a finite number between 0\.01 and 0\.99"):
        VTLP(boundary=1.0)
    with pytest.raises(ValueError, match=r"VTLP: expected frequencies as one ascending row of Hz"):
        VTLP(frequencies=[100.0, 100.0])
    with pytest.raises(ValueError, match=r"VTLP: expected fmax to be a finite number between 300 and inf, got 200"):
        VTLP(frequencies=[100.0, 300.0], fmax=200.0)
    with pytest.raises(
        ValueError, match=r"VTLP: expected spectrograms of 2 bands, as its frequencies are, got 3 bands"
    ):
        VTLP(frequencies=[100.0, 300.0])(torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"FilterAugment: expected n_bands to be an integer of at least 1, got 0\."):
        FilterAugment(n_bands=0)
    with pytest.raises(ValueError, match=r"FilterAugment: expected shape to be one of 'linear' \| 'step', got 'cubic'"):
        FilterAugment(shape="cubic")
    with pytest.raises(ValueError, match=r"FilterAugment: expected stype to be one of 'power' \| .*, got 'ln'\."):
        FilterAugment(stype="ln")
