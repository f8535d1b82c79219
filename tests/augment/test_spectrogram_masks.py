"""SpecAugment against masks written one by one in numpy, and the statistics of its draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import SpecAugment
from ontheflyspec.augment.base import Info, planned
from ontheflyspec.labels import TimeMap

LENGTHS = (0, 1, 5, 30, 80)
BANDS = 20
DRAWN = [[39, 30], [6, 3], [36, 16]]


def spectra(channels: int | None = None) -> ofs.PaddedBatch:
    lead = (BANDS,) if channels is None else (channels, BANDS)
    draws = np.random.default_rng(4)
    return ofs.pad([draws.standard_normal((*lead, length)) for length in LENGTHS], rate=100.0, ids=torch.arange(5))


def time_map_of(step: SpecAugment, batch: ofs.PaddedBatch) -> TimeMap | None:
    """Where a step moves time."""
    time = planned(step, Info.of(batch, "SpecAugment"), step.draw(batch.ids)).time
    return None if time is None else time()


def masked(item: np.ndarray, table: dict[str, list], row: int, fill: float | str, share: float = 1.0) -> np.ndarray:
    """Park et al.'s masks, each written in its turn."""
    value = {"mean": item.mean() if item.size else 0.0, "zero": 0.0}.get(fill, fill)
    result = item.copy()
    for axis, size in (("time", item.shape[-1]), ("freq", item.shape[-2])):
        for width, start in zip(table[f"{axis}_width"][row], table[f"{axis}_start"][row], strict=True):
            width = min(width, int(size * share) if axis == "time" else size)
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


def warped(item: np.ndarray, at: float, by: float, reach: int) -> np.ndarray:
    """Time through three points: both ends stay, one between moves."""
    last = item.shape[-1] - 1
    if last <= 2 * reach:
        return item
    before = reach + at * (last - 2 * reach)
    source = np.interp(np.arange(last + 1), [0, before + by, last], [0, before, last])
    return np.apply_along_axis(lambda band: np.interp(source, np.arange(last + 1), band), -1, item)


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("reach", [9, 15])
def test_warp_and_share_against_numpy(channels: int | None, requires_grad: bool, reach: int) -> None:
    """Items of up to 19 or 31 frames have no point to move, longer ones are warped."""
    batch = spectra(channels)
    data = batch.data.requires_grad_(requires_grad)
    for seed in range(4):
        step = SpecAugment(time_warp_param=reach, max_time_share=0.2, time_mask_param=25, fill="zero", seed=seed)
        table = {name: values.tolist() for name, values in step.draw(batch.ids).items()}
        out = step(batch._replace(data=data))
        for row, (item, found) in enumerate(zip(spectra(channels).unpad(), out.unpad(), strict=True)):
            moved = warped(item.numpy(), table["warp_at"][row], table["warp_by"][row], reach)
            assert (item.shape[-1] <= 2 * reach + 1) == np.array_equal(moved, item)
            expected = masked(moved, table, row, "zero", 0.2)
            np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("warp", "masks"), [(0, 2), (9, 0), (9, 3)])
def test_pieces_say_where_frames_went(warp: int, masks: int) -> None:
    """Frames that hold their own time: what comes out says where it came from, and what is hidden is in no piece."""
    ids, rate = torch.arange(12), 50.0
    times = torch.arange(80, dtype=torch.float64) / rate
    lengths = torch.tensor([80, 40, 19, 1, 0, 60] * 2)
    batch = ofs.PaddedBatch(times.expand(12, 3, 80).clone(), lengths, rate, ids)
    step = SpecAugment(
        time_warp_param=warp, n_time_masks=masks, time_mask_param=15, n_freq_masks=0, fill=-1.0, p=0.8, seed=1
    )
    table = step.draw(ids)
    out, time_map = step(batch).data[:, 0], time_map_of(step, batch)
    assert all(part.dtype == torch.float64 and part.shape == time_map.start.shape for part in time_map)
    assert 0 < int(table["active"].sum()) < 12
    for row, length in enumerate(lengths.tolist()):
        came: dict[int, float] = {}
        full = time_map.end[row] - time_map.start[row] > 1e-12
        assert (time_map.end[row] >= time_map.start[row]).all()
        assert (time_map.end[row] <= length / rate + 1e-12).all()
        for start, end, place, slope in zip(*(part[row][full].tolist() for part in time_map), strict=True):
            last = (place + (end - start) * slope) * rate
            assert last <= length + 1e-9
            for frame in range(int(np.ceil(place * rate - 1e-9)), int(np.ceil(last - 1e-9))):
                came[frame] = start + (frame / rate - place) / slope
        seen = {frame: float(out[row, frame]) for frame in range(length) if out[row, frame] >= 0}
        assert came.keys() == seen.keys()
        assert all(abs(came[frame] - time) < 1e-9 for frame, time in seen.items())
        if not table["active"][row] and length:
            assert [part[row][full].tolist() for part in time_map] == [[0.0], [length / rate], [0.0], [1.0]]


def test_pieces_need_no_time_if_only_bands_are_hidden() -> None:
    assert time_map_of(SpecAugment(n_time_masks=0), spectra()) is None


def test_warp_is_drawn_evenly() -> None:
    table = SpecAugment(time_warp_param=5).draw(torch.arange(5_000))
    assert stats.kstest(table["warp_at"].numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(table["warp_by"].numpy() / 10 + 0.5, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(table["warp_at"], table["warp_by"])[0, 1]) < 0.06


def test_masks_are_those_without_a_warp() -> None:
    """A warp draws from numbers of its own."""
    ids = torch.arange(50)
    plain, both = SpecAugment().draw(ids), SpecAugment(time_warp_param=5, max_time_share=0.5).draw(ids)
    assert all(torch.equal(plain[name], both[name]) for name in plain)
    assert plain["time_width"][:3].tolist() == DRAWN


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("LB", (80, 27, 1, 100, 1.0, 1)),
        ("LD", (80, 27, 2, 100, 1.0, 2)),
        ("SM", (40, 15, 2, 70, 0.2, 2)),
        ("SS", (40, 27, 2, 70, 0.2, 2)),
    ],
)
def test_policies_are_those_of_the_paper(name: str, numbers: tuple[float, ...]) -> None:
    step = SpecAugment.policy(name, fill="zero", p=0.5, seed=3)
    found = (step.time_warp_param, step.freq_mask_param, step.n_freq_masks)
    found += (step.time_mask_param, step.max_time_share, step.n_time_masks)
    assert found == numbers
    assert (step.fill, step.p, step.seed) == ("zero", 0.5, 3)


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
    with pytest.raises(ValueError, match=r"SpecAugment: expected max_time_share to be .* between 0 and 1, got 1\.5\."):
        SpecAugment(max_time_share=1.5)
    with pytest.raises(ValueError, match=r"SpecAugment\.policy: expected name to be one of 'LB' \| .*, got 'XL'\."):
        SpecAugment.policy("XL")
    with pytest.raises(ValueError, match=r"SpecAugment: expected a batch that knows its rate, for times in seconds"):
        time_map_of(SpecAugment(), spectra()._replace(rate=None))
    with pytest.raises(TypeError, match=r"SpecAugment: expected time_mask_param to be an integer.*got 2\.5\."):
        SpecAugment(time_mask_param=2.5)
    with pytest.raises(TypeError, match=r"SpecAugment: expected data of type float16.*got complex64\."):
        SpecAugment()(torch.zeros(4, 4, dtype=torch.complex64))
