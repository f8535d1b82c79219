"""Items that meet: who meets whom, sums and stretches against numpy, targets, and the laws that hold for them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import CutMix, MixUp
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.mixing import partner_range
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.mixing import symmetric_beta

RATE = 100.0
BANDS = 4
both = pytest.mark.parametrize("make", [MixUp, CutMix])
KINDS = {"wave": (), "features": (BANDS,), "channels": (2,), "features of channels": (2, BANDS)}
everywhere = pytest.mark.parametrize("kind", list(KINDS))
traced = pytest.mark.parametrize("requires_grad", [False, True])


def batch_of(lengths: list[int], kind: str, ids: torch.Tensor | None = None) -> PaddedBatch:
    """Each item is made from its id alone, so that equal ids are equal clips."""
    ids = torch.arange(len(lengths)) * 31 + 5 if ids is None else ids
    items = [
        np.random.default_rng(number).standard_normal((*KINDS[kind], length))
        for length, number in zip(lengths, ids.tolist(), strict=True)
    ]
    return ofs.pad(items, rate=RATE, ids=ids)


def step_for(make: type[Augment], kind: str, **options: float) -> Augment:
    return make(kind="features" if "features" in kind else "wave", **options)


def looped(item: np.ndarray, begin: int, count: int) -> np.ndarray:
    """A partner from one step on, again from the first at its end."""
    if item.shape[-1] == 0:
        return np.zeros((*item.shape[:-1], count))
    return item[..., (begin + np.arange(count)) % item.shape[-1]]


@traced
@everywhere
def test_mixup_against_numpy(kind: str, requires_grad: bool) -> None:
    batch = batch_of([0, 1, 7, 50, 49, 120, 33], kind)
    items = [item.numpy() for item in batch.unpad()]
    for seed in range(3):
        step = step_for(MixUp, kind, p=0.8, seed=seed)
        table = step.draw(batch.ids)
        out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
        for row, (item, found) in enumerate(zip(items, out.unpad(), strict=True)):
            weight, mate = float(table["weight"][row]), items[table["partner"][row]]
            expected = weight * item + (1 - weight) * looped(mate, 0, item.shape[-1])
            np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-12)
            if not table["active"][row]:
                assert weight == 1
                assert np.array_equal(found.detach().numpy(), item)


@traced
@everywhere
def test_cutmix_against_numpy(kind: str, requires_grad: bool) -> None:
    batch = batch_of([0, 1, 7, 50, 49, 120, 33], kind)
    items = [item.numpy() for item in batch.unpad()]
    for seed in range(3):
        step = step_for(CutMix, kind, p=0.8, seed=seed)
        table = {name: values.tolist() for name, values in step.draw(batch.ids).items()}
        out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
        for row, (item, found) in enumerate(zip(items, out.unpad(), strict=True)):
            n, mate = item.shape[-1], items[table["partner"][row]]
            count = round((1 - table["weight"][row]) * n)
            start = int(table["place"][row] * (n - count + 1))
            begin = int(table["source"][row] * (max(mate.shape[-1] - count, 0) + 1))
            expected = item.copy()
            expected[..., start : start + count] = looped(mate, begin, count)
            assert np.array_equal(found.detach().numpy(), expected)


@both
def test_partners_are_one_cycle(make: type[Augment]) -> None:
    """Nobody meets itself, everybody is met once, and all pairs are as likely."""
    for count in (2, 3, 17, 100):
        partner = make().draw(torch.arange(count))["partner"]
        seen, place = [], 0
        for _ in range(count):
            seen.append(place)
            place = int(partner[place])
        assert place == 0
        assert sorted(seen) == list(range(count))
    counts = torch.zeros(5, 5)
    for seed in range(800):
        counts[torch.arange(5), make(seed=seed).draw(torch.arange(5))["partner"]] += 1
    assert not counts.diagonal().any()
    off = counts[~torch.eye(5, dtype=torch.bool)].numpy()
    assert stats.chisquare(off).pvalue > 1e-4


@both
@given(
    numbers=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6, unique=True),
    lengths=st.lists(st.integers(0, 40), min_size=6, max_size=6),
    order=st.permutations(range(6)),
    kind=st.sampled_from(list(KINDS)),
    p=st.sampled_from([1.0, 0.6]),
    seed=st.integers(0, 100),
)
def test_order_does_not_matter(
    make: type[Augment], numbers: list[int], lengths: list[int], order: list[int], kind: str, p: float, seed: int
) -> None:
    """A batch in another order gives the same items in that order, bit for bit, and equal batches repeat."""
    count = len(numbers)
    turn = torch.tensor([place for place in order if place < count])
    ids = torch.tensor(numbers)
    waves = [np.random.default_rng(n).standard_normal((*KINDS[kind], n)) for n in lengths[:count]]
    batch = ofs.pad(waves, rate=RATE, ids=ids)
    step = step_for(make, kind, p=p, seed=seed)
    out = step(batch)
    torch.manual_seed(0)
    assert torch.equal(step(batch).data, out.data)
    assert out.lengths.tolist() == lengths[:count]
    turned = PaddedBatch(batch.data[turn], batch.lengths[turn], RATE, ids[turn])
    assert torch.equal(step(turned).data, out.data[turn])
    table, other = step.draw(ids), step.draw(ids[turn])
    assert torch.equal(turn[other["partner"]], table["partner"][turn])
    assert torch.equal(other["weight"], table["weight"][turn])
    if count == 1:
        assert torch.equal(out.data, batch.data)


@both
@everywhere
def test_alone_is_the_identity(make: type[Augment], kind: str) -> None:
    batch = batch_of([30], kind)
    batch.data[..., 3] = -0.0
    for source in (batch.data, batch.data.clone().requires_grad_()):
        out = step_for(make, kind)(batch._replace(data=source)).data
        assert torch.equal(out.detach().view(torch.int64), batch.data.view(torch.int64))


@both
@traced
def test_inactive_items_keep_their_bits(make: type[Augment], requires_grad: bool) -> None:
    """Minus zero beside a positive mate, and a mate without bounds, leave nothing in an item that is not active."""
    batch = ofs.pad([torch.full((4,), -0.0), torch.full((4,), float("inf"))], rate=RATE, ids=[1, 2])
    out = make(p=0.0)(batch._replace(data=batch.data.clone().requires_grad_(requires_grad))).data
    assert torch.equal(out.detach().view(torch.int32), batch.data.view(torch.int32))


def test_partners_by_64_bits() -> None:
    """Numbers that agree in their first half are told apart by the second, in any order."""
    unit = torch.tensor([[0.3, second] for second in (0.1, 0.9, 0.5)], dtype=torch.float64)
    assert partner_range().make(unit, {}).tolist() == [2, 0, 1]


@both
def test_mates_matter_and_seeds_too(make: type[Augment]) -> None:
    """What the laws of apart items forbid: another mate gives another item; and shares belong to an item's id."""
    one, other = batch_of([40, 40], "wave"), batch_of([40, 40], "wave", torch.tensor([5, 99]))
    step = make(weight=(0.2, 0.8))
    assert torch.equal(one.data[0], other.data[0])
    assert not torch.equal(step(one).data[0], step(other).data[0])
    assert float(step.draw(one.ids)["weight"][0]) == float(step.draw(other.ids)["weight"][0])
    assert float(make(seed=1).draw(one.ids)["weight"][0]) != float(make(seed=2).draw(one.ids)["weight"][0])


@pytest.mark.parametrize("alpha", [0.2, 0.4, 1.0, 5.0])
@both
def test_weights_are_beta(make: type[Augment], alpha: float) -> None:
    weight = make(alpha=alpha).draw(torch.arange(5_000))["weight"].numpy()
    assert stats.kstest(weight, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    fixed = make(weight=(0.3, 0.9)).draw(torch.arange(5_000))["weight"].numpy()
    assert stats.kstest(fixed, stats.uniform(0.3, 0.6).cdf).pvalue > 1e-3


def test_beta_at_the_ends_of_its_numbers() -> None:
    """The smallest and largest numbers that can be drawn give shares within 0..1 for any alpha."""
    ends = torch.tensor([0.5 / 2**32, 0.25, 0.75, 1 - 0.5 / 2**32], dtype=torch.float64)
    unit = torch.cartesian_prod(ends, ends)
    for alpha in (1e-3, 0.1, 1.0, 1e3):
        found = symmetric_beta(unit, alpha)
        assert ((found >= 0) & (found <= 1)).all()


@both
def test_cut_places_are_even(make: type[Augment]) -> None:
    if make is CutMix:
        table = make().draw(torch.arange(5_000))
        for name in ("place", "source"):
            assert stats.kstest(table[name].numpy(), "uniform").pvalue > 1e-3


@both
def test_targets_follow(make: type[Augment]) -> None:
    ids = torch.arange(9)
    step = make(p=0.7)
    table = step.draw(ids)
    partner, weight = table["partner"].numpy(), table["weight"].numpy()[:, None]
    assert (weight == 1).any()
    classes = torch.tensor([0, 3, 1, 2, 2, 0, 3, 3, 1])
    hot = np.eye(4)[classes.numpy()]
    expected = weight * hot + (1 - weight) * hot[partner]
    found = step.targets(classes, table, n_classes=4)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(found.sum(1).numpy(), 1, atol=1e-6)
    many = torch.tensor(np.random.default_rng(0).random((9, 6)) < 0.4)
    for rows in (many, many.long(), many.double()):
        mixed = step.targets(rows, json.loads(json.dumps({name: row.tolist() for name, row in table.items()})))
        assert mixed.dtype == (torch.float64 if rows.dtype == torch.float64 else torch.float32)
        np.testing.assert_allclose(
            mixed.numpy(), weight * many.numpy() + (1 - weight) * many.numpy()[partner], atol=1e-7
        )


def test_targets_are_shares_of_what_is_heard() -> None:
    """Items that hold their own number: what is left of them is what targets say."""
    count, size = 6, 2_000
    batch = ofs.pad([torch.full((size,), float(place)) for place in range(count)], rate=RATE, ids=torch.arange(count))
    for step in (MixUp(alpha=1.0), CutMix()):
        table = step.draw(batch.ids)
        targets = step.targets(torch.arange(count), table, n_classes=count)
        heard = step.replay(batch, table).data
        assert torch.allclose(heard.mean(1), targets @ torch.arange(float(count)), atol=count / size)


def test_in_a_chain() -> None:
    """The table of a step lies under its place."""
    chain = ofs.Compose([ofs.augment.Gain(gain_db=6.0), MixUp(weight=0.5)])
    batch = batch_of([20, 30, 40], "wave")
    params = chain.draw(batch.ids)
    assert torch.equal(chain.replay(batch, params).data, chain(batch).data)
    assert chain.steps[1].targets(torch.tensor([0, 1, 2]), params["1"], n_classes=3).sum(1).tolist() == [1.0] * 3


def test_only_the_stretch_is_another_items() -> None:
    """Samples that hold their own time: as much stays as the share says, the rest comes from the partner."""
    ids = torch.arange(8)
    lengths = torch.tensor([60, 41, 1, 0, 60, 17, 30, 55])
    batch = PaddedBatch(torch.arange(60.0).expand(8, 60) + 100 * ids.unsqueeze(-1), lengths, RATE, ids)
    step = CutMix(p=0.7)
    table, out = step.draw(ids), step(batch).data
    assert 0 < int(table["active"].sum()) < 8
    for row, length in enumerate(lengths.tolist()):
        other = (out[row, :length] != batch.data[row, :length]).nonzero().flatten().tolist()
        assert len(other) == round((1 - float(table["weight"][row])) * length)
        assert other == list(range(other[0], other[-1] + 1) if other else [])
        mate = int(table["partner"][row])
        size = max(int(lengths[mate]), 1)
        assert all(out[row, place] in (batch.data[mate, :size] if lengths[mate] else [0]) for place in other)


def test_gradients_go_to_both() -> None:
    batch = batch_of([3, 5], "wave")
    data = batch.data.requires_grad_()
    MixUp(weight=0.25)(batch._replace(data=data)).data.sum().backward()
    assert data.grad.tolist() == [[1.75, 1.75, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.25, 0.25]]


@pytest.mark.parametrize("wrap", [ofs.OneOf, lambda steps: ofs.SomeOf(steps, n=1)])
def test_choices_take_no_steps_that_mix(wrap) -> None:
    for step in (MixUp(), ofs.Compose([CutMix()])):
        with pytest.raises(ValueError, match=r"Of: expected steps that leave the items of a batch apart.*got step 1"):
            wrap([ofs.augment.Gain(), step])


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"MixUp: expected alpha above 0, got 0"):
        MixUp(alpha=0)
    with pytest.raises(ValueError, match=r"CutMix: expected alpha only with weight=None, got alpha=2\.0\."):
        CutMix(alpha=2.0, weight=0.5)
    with pytest.raises(ValueError, match=r"MixUp: expected weight to be a finite number between 0 and 1, got 1\.5\."):
        MixUp(weight=(0.0, 1.5))
    with pytest.raises(ValueError, match=r"CutMix: expected kind to be one of 'wave' \| 'features', got 'image'\."):
        CutMix(kind="image")
    table = MixUp().draw(torch.arange(3))
    with pytest.raises(ValueError, match=r"MixUp: expected n_classes with class indices, got none\."):
        MixUp().targets(torch.arange(3), table)
    with pytest.raises(ValueError, match=r"MixUp: expected labels of shape \[3\] or \[3, K\], got \[2, 4\]\."):
        MixUp().targets(torch.zeros(2, 4), table)
