"""Channels that change places or fall silent."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import ChannelDrop, ChannelShuffle
from ontheflyspec.augment.base import Augment
from ontheflyspec.batch import PaddedBatch

LENGTHS = (0, 1, 30, 80, 55, 12)
both = pytest.mark.parametrize("make", [ChannelShuffle, ChannelDrop])
traced = pytest.mark.parametrize("requires_grad", [False, True])
kinds = pytest.mark.parametrize("kind", ["wave", "features"])


def batch_of(kind: str, channels: int, requires_grad: bool = False) -> PaddedBatch:
    lead = (channels,) if kind == "wave" else (channels, 3)
    draws = torch.Generator().manual_seed(0)
    items = [torch.randn(*lead, length, generator=draws) for length in LENGTHS]
    batch = ofs.pad(items, rate=100.0, ids=torch.arange(6))
    return batch._replace(data=batch.data.requires_grad_(requires_grad))


@traced
@kinds
def test_shuffle_takes_every_channel_once(kind: str, requires_grad: bool) -> None:
    """Which channel came where is read off the samples, and is one order for the whole item."""
    batch = batch_of(kind, 4, requires_grad)
    step = ChannelShuffle(kind=kind, p=0.7)
    active = step.draw(batch.ids)["active"].tolist()
    orders = []
    for item, found, on in zip(batch.unpad(), step(batch).unpad(), active, strict=True):
        if item.shape[-1] == 0:
            continue
        order = [[torch.equal(there, here) for here in item].index(True) for there in found]
        assert sorted(order) == [0, 1, 2, 3]
        assert on or order == [0, 1, 2, 3]
        orders.append(order)
    assert any(order != [0, 1, 2, 3] for order in orders)


def test_all_orders_are_as_likely() -> None:
    data = torch.arange(3.0).reshape(1, 3, 1).expand(6_000, 3, 1).contiguous()
    out = ChannelShuffle()(PaddedBatch(data, torch.ones(6_000, dtype=torch.int64), 1.0, torch.arange(6_000)))
    places = out.data[..., 0].long()
    numbers = places[:, 0] * 9 + places[:, 1] * 3 + places[:, 2]
    counts = [int((numbers == a * 9 + b * 3 + c).sum()) for a, b, c in itertools.permutations(range(3))]
    assert sum(counts) == 6_000
    assert stats.chisquare(counts).pvalue > 1e-3


@traced
@kinds
@pytest.mark.parametrize("fill", ["zero", "mean", -3.0])
def test_drop_hides_as_many_as_it_says(kind: str, fill: str | float, requires_grad: bool) -> None:
    """Up to more than there are: one is left."""
    batch = batch_of(kind, 4, requires_grad)
    for options in ({"n": (0, 6)}, {"share": (0.0, 1.0)}):
        step = ChannelDrop(kind=kind, fill=fill, p=0.8, **options)
        table = step.draw(batch.ids)
        for row, (item, found) in enumerate(zip(batch.unpad(), step(batch).unpad(), strict=True)):
            if item.shape[-1] == 0:
                continue
            many = int(table["n"][row]) if "n" in options else int((table["share"][row] * 4).round())
            many = min(many, 3) if table["active"][row] else 0
            value = torch.full((), fill) if isinstance(fill, float) else item.mean() * (fill == "mean")
            kept = [torch.equal(there, here) for there, here in zip(found, item, strict=True)]
            assert kept.count(False) == many
            for there, same in zip(found, kept, strict=True):
                assert same or torch.allclose(there, value, atol=1e-6)


def test_every_channel_is_dropped_as_often() -> None:
    out = ChannelDrop()(
        PaddedBatch(torch.ones(5_000, 4, 1), torch.ones(5_000, dtype=torch.int64), 1.0, torch.arange(5_000))
    )
    counts = (out.data[..., 0] == 0).sum(0)
    assert int(counts.sum()) == 5_000
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    drawn = ChannelDrop(share=(0.2, 0.6)).draw(torch.arange(5_000))["share"].numpy()
    assert stats.kstest(drawn, stats.uniform(0.2, 0.4).cdf).pvalue > 1e-3


@both
@traced
def test_inactive_items_and_those_without_channels_keep_their_bits(make: type[Augment], requires_grad: bool) -> None:
    """Padding becomes 0 there, too."""
    batch = batch_of("wave", 3, requires_grad)
    dirty = torch.where(batch.mask().unsqueeze(1), batch.data.detach(), float("nan"))
    for data, step in (
        (dirty, make(p=0.0)),
        (dirty[:, :1], make(n=1) if make is ChannelDrop else make()),
        (dirty[:, 0], make()),
        (dirty, make(kind="features")),
    ):
        lead = [1] * (data.dim() - 2)
        out = step(batch._replace(data=data.clone().requires_grad_(requires_grad))).data
        mask = batch.mask().reshape(6, *lead, -1)
        assert torch.equal(out.detach(), torch.where(mask, data, 0))


@both
def test_p_is_the_share_of_changed_items(make: type[Augment]) -> None:
    active = make(p=0.3).draw(torch.arange(20_000))["active"]
    assert abs(float(active.double().mean()) - 0.3) < 5 * (0.3 * 0.7 / 20_000) ** 0.5


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"ChannelDrop: expected n to be an integer of at least 0, got -1\."):
        ChannelDrop(n=-1)
    with pytest.raises(ValueError, match=r"ChannelDrop: expected n only with share=None, got n=2\."):
        ChannelDrop(n=2, share=0.5)
    with pytest.raises(ValueError, match=r"ChannelDrop: expected share to be a finite number between 0 and 1"):
        ChannelDrop(share=1.5)
    with pytest.raises(ValueError, match=r"ChannelShuffle: expected kind to be one of 'wave' \| 'features'"):
        ChannelShuffle(kind="stereo")
