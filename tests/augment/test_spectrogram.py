"""SpecAugment against masks written one by one in numpy, and the statistics of its draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import SpecAugment

LENGTHS = (0, 1, 5, 30, 80)
BANDS = 20


def spectra(channels: int | None = None) -> ofs.PaddedBatch:
    lead = (BANDS,) if channels is None else (channels, BANDS)
    draws = np.random.default_rng(4)
    return ofs.pad([draws.standard_normal((*lead, length)) for length in LENGTHS], rate=100.0, ids=torch.arange(5))


def masked(item: np.ndarray, table: dict[str, list], row: int, fill: float | str) -> np.ndarray:
    """Park et al.'s masks, each written in its turn."""
    value = {"mean": item.mean() if item.size else 0.0, "zero": 0.0}.get(fill, fill)
    result = item.copy()
    for axis, size in (("time", item.shape[-1]), ("freq", item.shape[-2])):
        for width, start in zip(table[f"{axis}_width"][row], table[f"{axis}_start"][row], strict=True):
            width = min(width, size)
            first = int(start * (size - width + 1))
            if axis == "time":
                result[..., first : first + width] = value
            else:
                result[..., first : first + width, :] = value
    return result


@pytest.mark.parametrize("fill", ["mean", "zero", -3.5])
@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("counts", [(2, 2), (3, 0), (0, 1), (0, 0)])
def test_against_numpy(fill: float | str, channels: int | None, counts: tuple[int, int]) -> None:
    times, bands = counts
    batch = spectra(channels)
    for seed in range(4):
        step = SpecAugment(n_time_masks=times, time_mask_param=25, n_freq_masks=bands, fill=fill, seed=seed)
        table = {name: values.tolist() for name, values in step.draw(batch.ids).items()}
        out = step(batch)
        for row, (item, found) in enumerate(zip(batch.unpad(), out.unpad(), strict=True)):
            np.testing.assert_allclose(found.numpy(), masked(item.numpy(), table, row, fill), rtol=1e-12, atol=1e-14)
        assert not out.data[~out.mask().reshape(5, *[1] * (out.data.dim() - 2), -1).expand_as(out.data)].any()


def test_mean_is_of_what_came_in() -> None:
    """A whole mask leaves the item's own mean, whatever the others hold."""
    step = SpecAugment(n_time_masks=0, n_freq_masks=40, freq_mask_param=BANDS)
    batch = spectra()._replace(data=spectra().data + torch.arange(5.0).reshape(-1, 1, 1) * 100)
    for item, found in zip(batch.unpad()[1:], step(batch).unpad()[1:], strict=True):
        hidden = found != item
        assert hidden.float().mean() > 0.9
        assert torch.allclose(found[hidden], item.mean(), rtol=1e-12)


def test_widths_and_starts_are_even() -> None:
    table = SpecAugment(time_mask_param=7, freq_mask_param=3).draw(torch.arange(20_000))
    for axis, param in (("time", 7), ("freq", 3)):
        widths = table[f"{axis}_width"].flatten()
        assert widths.dtype == torch.int64
        assert stats.chisquare(torch.bincount(widths, minlength=param + 1).numpy()).pvalue > 1e-4
        assert len(widths.unique()) == param + 1
        assert stats.kstest(table[f"{axis}_start"].flatten().numpy(), "uniform").pvalue > 1e-4


def test_every_start_is_as_likely() -> None:
    """A mask of 3 frames in 10 begins at 0 to 7, each as often; ends of an item are masked, too."""
    step = SpecAugment(n_time_masks=1, time_mask_param=3, n_freq_masks=0, fill="zero")
    out = step(ofs.PaddedBatch(torch.ones(20_000, 1, 10), torch.full((20_000,), 10), 1.0, torch.arange(20_000)))
    hidden = out.data[:, 0] == 0
    first = hidden.double().argmax(1)[hidden.sum(1) == 3]
    counts = torch.bincount(first, minlength=8)
    assert len(counts) == 8
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_gradient_is_of_what_is_seen() -> None:
    batch = spectra()
    data = batch.data.requires_grad_()
    out = SpecAugment(fill="zero")(batch._replace(data=data)).data
    out.sum().backward()
    assert torch.equal(data.grad, (out != 0).double())


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"SpecAugment: expected fill to be one of 'mean' \| 'zero', got 'median'\."):
        SpecAugment(fill="median")
    with pytest.raises(
        ValueError, match=r"SpecAugment: expected n_time_masks to be an integer of at least 0, got -1\."
    ):
        SpecAugment(n_time_masks=-1)
    with pytest.raises(TypeError, match=r"SpecAugment: expected time_mask_param to be an integer.*got 2\.5\."):
        SpecAugment(time_mask_param=2.5)
    with pytest.raises(TypeError, match=r"SpecAugment: expected data of type float16.*got complex64\."):
        SpecAugment()(torch.zeros(4, 4, dtype=torch.complex64))
