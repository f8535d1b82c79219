"""Deltas against librosa, and in closed form."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs


@pytest.mark.parametrize("width", [3, 5, 9, 15])
@pytest.mark.parametrize("order", [1, 2])
def test_deltas_are_those_of_librosa(width, order):
    torch.manual_seed(0)
    items = [torch.randn(4, n, dtype=torch.float64) for n in (width, width + 1, 40)]
    out = ofs.Deltas(width=width, order=order)(ofs.pad(items, rate=100))
    for ours, item in zip(out.unpad(), items, strict=True):
        theirs = librosa.feature.delta(item.numpy(), width=width, order=order)
        assert np.abs(ours.numpy() - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_default_is_librosa_s():
    values = np.random.default_rng(0).standard_normal((4, 30)).astype(np.float32)
    ours = ofs.Deltas()(torch.from_numpy(values)).numpy()
    assert np.allclose(ours, librosa.feature.delta(values), atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_polynomial_has_its_derivative(order):
    steps = torch.arange(30, dtype=torch.float64)
    out = ofs.Deltas(width=9, order=order)((steps**order)[None])
    torch.testing.assert_close(out, torch.full((1, 30), float(np.prod(range(1, order + 1))), dtype=torch.float64))


def test_items_shorter_than_the_width_go_on_with_their_ends():
    item = torch.tensor([[1.0, 2.0, 4.0]])
    longer = torch.nn.functional.pad(item[None], (4, 4), mode="replicate")[0]
    wanted = librosa.feature.delta(longer.numpy(), width=9)[:, 4:7]
    assert np.allclose(ofs.Deltas()(item).numpy(), wanted, atol=1e-6)
    assert torch.equal(ofs.Deltas()(torch.ones(2, 1)), torch.zeros(2, 1))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"width": 8}, "odd width.*got 8. Take 9"),
        ({"width": 1}, "width.*2.*got 1"),
        ({"order": 0}, "order.*1.*got 0"),
        ({"width": 3, "order": 3}, "width.*4.*got 3"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.Deltas(**options)
