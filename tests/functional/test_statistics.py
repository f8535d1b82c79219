"""Masked statistics against numpy on each item alone, by both ways of summing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.functional.statistics import running_sum, summed_by_doubling, valid_mean, valid_power, valid_variance

LENGTHS = (0, 1, 7, 300)
SHAPES = [((), "item"), ((3,), "item"), ((2, 5), "item"), ((5,), "feature"), ((2, 5), "feature")]


@pytest.mark.parametrize(("axes", "per"), SHAPES)
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("ddof", [0, 1])
def test_against_numpy(axes: tuple[int, ...], per: Any, requires_grad: bool, ddof: int) -> None:
    draws = np.random.default_rng(0)
    data = torch.full((4, *axes, 305), float("nan"), dtype=torch.float64)
    items = [draws.standard_normal((*axes, length)) + place for place, length in enumerate(LENGTHS)]
    for row, item in zip(data, items, strict=True):
        row[..., : item.shape[-1]] = torch.from_numpy(item)
    data.requires_grad_(requires_grad)
    lengths = torch.tensor(LENGTHS)
    mean, power = valid_mean(data, lengths, per=per), valid_power(data, lengths, per=per)
    variance = valid_variance(data, lengths, mean, per=per, ddof=ddof)
    assert torch.broadcast_shapes(mean.shape, data.shape) == data.shape
    assert mean.numel() == 4 * (axes[-1] if per == "feature" else 1)
    summed = tuple(axis for axis in range(len(axes) + 1) if per == "item" or axis != len(axes) - 1)
    for place, item in enumerate(items):
        count = item.size / mean[place].numel()
        for found, expected in (
            (mean, item.sum(summed) / max(count, 1)),
            (power, (item**2).sum(summed) / max(count, 1)),
            (
                variance,
                ((item - item.mean(summed, keepdims=True)) ** 2).sum(summed) / max(count - ddof, 1) if count else 0.0,
            ),
        ):
            np.testing.assert_allclose(
                found[place].detach().flatten(), np.ravel(expected * np.ones(found[place].numel())), atol=1e-12
            )
    if requires_grad:
        (mean.sum() + variance.sum() + power.sum()).backward()
        assert torch.isfinite(data.grad).all()


@pytest.mark.parametrize("per", ["item", "feature"])
def test_full_items_need_no_lengths(per: Any) -> None:
    data = torch.randn(3, 2, 5, 40)
    full = torch.full((3,), 40)
    assert torch.equal(valid_mean(data, None, per=per), valid_mean(data, full, per=per))
    traced = valid_mean(data.requires_grad_(), None, per=per)
    assert torch.allclose(traced, valid_mean(data, full, per=per), atol=1e-6)
    assert valid_mean(torch.zeros(0, 5, 4), None, per=per).shape[0] == 0


def test_alone_is_bitwise_the_same() -> None:
    data = torch.randn(6, 2, 70_001)
    lengths = torch.tensor([1, 2, 999, 32_769, 70_000, 70_001])
    whole = valid_power(data, lengths)
    for place, length in enumerate(lengths.tolist()):
        alone = valid_power(data[place : place + 1, :, :length].clone(), None)
        assert torch.equal(alone, whole[place : place + 1])


@pytest.mark.parametrize("axis", [-1, -2])
def test_running_sums_by_doubling(axis: int) -> None:
    """What stands in for ``cumsum`` where torch refuses it: on CUDA under deterministic algorithms."""
    x = torch.rand(2, 37, 41, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(running_sum(x, axis), x.cumsum(axis))
    torch.testing.assert_close(summed_by_doubling(x, axis), x.cumsum(axis), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("per", ["item", "feature"])
@pytest.mark.parametrize("value", [0.1, -80.3, 1e6 / 3, 1e-7 / 3])
def test_a_constant_is_normalised_to_nothing(value: float, per: Any, dtype: torch.dtype) -> None:
    """Its mean is itself, bit for bit, alone and in a batch, with and without gradients."""
    data = torch.full((3, 40, 517), value, dtype=dtype)
    batch, step = ofs.PaddedBatch(data, torch.tensor([517, 100, 1]), 100.0), ofs.Normalize(per=per)
    for given in (batch, batch._replace(data=data.clone().requires_grad_())):
        assert not step(given).data.any()
