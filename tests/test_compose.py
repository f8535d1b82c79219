"""Chains and choices: order, places, errors, inputs, copies, compilation, and the statistics of choosing."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ontheflyspec as ofs
import pretend
from case import needs_compiler
from ontheflyspec import rng
from ontheflyspec.augment import AddColoredNoise, Gain, PolarityInversion, SpecAugment, TimeShift
from ontheflyspec.augment.base import Augment
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.chain.compose import Chain
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.identity import Identity
from ontheflyspec.transforms.base import Transform

RATE = 8_000.0
LENGTHS = (0, 1, 7, 64, 300)


class Affine(Transform):
    """``scale * x + offset``: chains of these tell their order."""

    def __init__(self, scale: float = 1.0, offset: float = 0.0, *, item_rank: int = 1) -> None:
        super().__init__()
        self.scale, self.offset, self.item_rank = scale, offset, item_rank  # type: ignore[misc]

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        out = data * self.scale + self.offset
        return out if lengths is None else zero_past(out, lengths)


class Decimate(Transform):
    """Every second sample; says nothing of the rate unless asked to."""

    def __init__(self, *, tells: bool = False) -> None:
        super().__init__()
        self.tells = tells

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        out = data[..., ::2].clone()
        return out if lengths is None else zero_past(out, self.output_lengths(lengths))

    def output_lengths(self, lengths: Any) -> Any:
        return (lengths + 1) // 2

    def output_rate(self, rate: float | None) -> float | None:
        return rate / 2 if self.tells and rate is not None else rate


class Broken(Transform):
    """Raises what torch would, without our words."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        raise self.error


def ragged(channels: int | None = None, spare: int = 3) -> PaddedBatch:
    draws = torch.Generator().manual_seed(3)
    lead = () if channels is None else (channels,)
    items = [torch.randn(*lead, length, generator=draws) for length in LENGTHS]
    batch = ofs.pad(items, rate=RATE, ids=[Identity(place, 1).id() for place in range(len(LENGTHS))])
    return batch._replace(data=nn.functional.pad(batch.data, (0, spare), value=float("nan")))


def ones(count: int, size: int = 4) -> PaddedBatch:
    return PaddedBatch(torch.ones(count, size), torch.full((count,), size), RATE, torch.arange(count))


def waves(seed: int = 0) -> ofs.Compose:
    """Every kind of chain inside one."""
    return ofs.Compose(
        [
            ofs.OneOf([Gain(), ofs.Compose([PolarityInversion(p=0.5), AddColoredNoise()])], weights=[1, 3], p=0.8),
            ofs.SomeOf([TimeShift(shift_s=0.002), Affine(0.5), ofs.OneOf([Gain(), Decimate()])], n=(0, 2)),
            ofs.Compose([Gain(p=0.5), Gain(p=0.5)]),
        ],
        seed=seed,
    )


def features() -> ofs.Compose:
    mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=64, hop_length=16, n_mels=6)
    masks = ofs.OneOf([SpecAugment(time_mask_param=4), ofs.Normalize()], p=0.9)
    return ofs.Compose([Gain(), TimeShift(shift_s=0.001), mel, ofs.AmplitudeToDB(), ofs.Compose([masks])])


def equal(one: PaddedBatch, other: PaddedBatch) -> bool:
    """Whether all items are bitwise equal; batches may end in more or less padding."""
    pairs = zip(one.unpad(), other.unpad(), strict=True)
    return torch.equal(one.lengths, other.lengths) and all(torch.equal(*pair) for pair in pairs)


def as_lists(table: Any) -> Any:
    return {name: as_lists(value) for name, value in table.items()} if isinstance(table, dict) else table.tolist()


CHAINS = [waves, features]


# Compose


def test_steps_run_in_order() -> None:
    chain = ofs.Compose([Affine(2.0), ofs.Compose([Affine(1.0, 1.0), Affine(3.0)])])
    assert chain(torch.tensor([1.0, 2.0])).tolist() == [9.0, 15.0]
    assert chain(ones(1)).data.tolist() == [[9.0] * 4]


@pytest.mark.parametrize("make", CHAINS)
def test_any_split_and_order(make: Any) -> None:
    """The same bits for each item alone, in any order and in batches of any size."""
    chain, batch = make(), ragged()
    whole = chain(batch).unpad()
    for order, size in itertools.product(([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]), (1, 2, 5)):
        for index in (order[start : start + size] for start in range(0, 5, size)):
            length = int(batch.lengths[index].max())
            out = chain(PaddedBatch(batch.data[index, :length], batch.lengths[index], RATE, batch.ids[index]))
            assert torch.equal(out.data, out.filled(0.0))
            for place, found in zip(index, out.unpad(), strict=True):
                assert torch.equal(found, whole[place])


@pytest.mark.parametrize("make", CHAINS)
def test_other_epochs_places_and_seeds_differ(make: Any) -> None:
    batch = ragged()
    first = make()(batch)
    later = batch._replace(ids=torch.tensor([Identity(place, 2).id() for place in range(5)]))
    assert not equal(make()(later), first)
    assert not equal(ofs.Compose([make()])(batch), first)
    reseeded = make()
    reseeded.seed = 1
    assert not equal(reseeded(batch), first)
    assert equal(make()(batch), first)


def test_equal_steps_at_two_places_differ() -> None:
    table = ofs.Compose([Gain(), Gain(), Gain(seed=1)]).draw(torch.arange(50))
    drawn = [table[place]["gain_db"] for place in "012"]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(drawn, 2))


@pytest.mark.parametrize("make", CHAINS)
def test_global_random_state_is_untouched(make: Any) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    make()(ragged())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


@pytest.mark.parametrize("make", CHAINS)
def test_without_ids_one_fresh_id_serves_all_steps(make: Any) -> None:
    chain, batch = make(), ragged()
    torch.manual_seed(4)
    loose = chain(batch._replace(ids=None))
    assert loose.ids is None
    torch.manual_seed(4)
    assert equal(chain(batch._replace(ids=rng.fresh_ids(5))), loose)
    assert not equal(chain(batch._replace(ids=None)), loose)


@pytest.mark.parametrize("make", CHAINS)
def test_table_replays(make: Any) -> None:
    """Tensors, or the lists of JSON; also in eval mode."""
    chain, batch = make(), ragged()
    table, first = chain.draw(batch.ids), chain(batch)
    lists = json.loads(json.dumps(as_lists(table)))
    assert equal(chain.replay(batch, table), first)
    assert equal(chain.replay(batch, lists), first)
    assert equal(chain.eval().replay(batch, lists), first)


@pytest.mark.parametrize("make", CHAINS)
def test_inputs(make: Any) -> None:
    """Tuples and lists keep the rest; a Tensor is full items of the rate that the steps know."""
    chain, batch = make(), ragged()
    first = chain(batch)
    out, label = chain((batch, "label"))
    assert equal(out, first)
    assert label == "label"
    assert type(chain([batch, "label"])) is list
    assert out.ids is batch.ids
    chain = features()
    torch.manual_seed(8)
    one = chain(batch.data[4, :300])
    torch.manual_seed(8)
    full = chain(PaddedBatch(batch.data[4:, :300], torch.tensor([300]), RATE))
    assert torch.equal(one, full.data[0])
    assert chain(torch.randn(2, 3, 100)).shape == (2, 3, 6, 7)


def test_int16_is_a_fraction() -> None:
    chain, batch = waves(), ragged()
    whole = batch._replace(data=(batch.data.nan_to_num(0) * 3_000).to(torch.int16))
    assert equal(chain(whole), chain(whole.to(dtype=torch.float32)))


@pytest.mark.parametrize("make", CHAINS)
def test_eval_draws_nothing(make: Any) -> None:
    chain, batch = make().eval(), ragged()
    before = torch.get_rng_state()
    out = chain(batch._replace(ids=None))
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(out, chain(batch))
    kept = [step for step in chain.steps if isinstance(step, Transform)]
    assert equal(ofs.Compose(kept)(batch), out) if kept else equal(out, batch)


@pytest.mark.parametrize("make", CHAINS)
def test_copies(make: Any) -> None:
    chain, batch = make(), ragged()
    first = chain(batch)
    for twin in (copy.deepcopy(chain), pickle.loads(pickle.dumps(chain))):
        assert equal(twin(batch), first)
    copy.deepcopy(chain).eval()
    assert chain.training
    assert chain.is_random()


@pytest.mark.parametrize("make", CHAINS)
def test_purity_and_gradients(make: Any) -> None:
    chain, batch = make(), ragged()
    before, version = batch.data.clone(), batch.data._version
    chain(batch)
    assert torch.equal(batch.data, before) or torch.equal(batch.data.isnan(), before.isnan())
    assert batch.data._version == version
    data = batch.data.clone().requires_grad_()
    out = chain(batch._replace(data=data)).data
    plain = chain(batch).data
    assert torch.allclose(out, plain, rtol=0, atol=1e-4 * float(plain.abs().max()))
    out.square().sum().backward()
    assert torch.isfinite(data.grad).all()
    past = ~batch.mask()
    assert not data.grad[past].any()


def test_module_apply_visits_every_step() -> None:
    seen: list[str] = []
    chain = waves()
    assert chain.apply(lambda module: seen.append(type(module).__name__)) is chain
    assert seen.count("Gain") == 4
    assert seen[-1] == "Compose"


def test_what_a_chain_knows() -> None:
    chain = features()
    mel = chain.steps[2]
    assert chain.sample_rate == 8_000
    assert chain.item_rank == 1
    assert chain.n_features == 6
    assert torch.equal(chain.frequencies, mel.frequencies)
    assert torch.equal(chain.frame_times(5), mel.frame_times(5))
    assert chain.output_lengths(160) == 11
    outer = ofs.Compose([ofs.Compose([Gain(), mel]), ofs.Compose([SpecAugment()])])
    assert torch.equal(outer.frame_times(3), mel.frame_times(3))
    assert outer.n_features == 6
    with pytest.raises(AttributeError, match=r"Compose: expected a step that has frame_times, got none\. Add"):
        ofs.Compose([Gain()]).frame_times(3)
    assert not hasattr(ofs.Compose([Gain()]), "frequencies")
    assert not hasattr(ofs.Compose([Gain()]), "n_features")
    assert ofs.Compose([Gain()]).sample_rate is None
    assert not ofs.Compose([mel]).is_random()


def test_errors_name_the_step() -> None:
    with pytest.raises(ValueError, match=r"^Compose step 0: SpecAugment: expected data of shape \[B, F, N\]"):
        ofs.Compose([SpecAugment()])(ones(2))
    with pytest.raises(ValueError, match=r"^Compose step 1: Compose step 0: TimeShift: expected a batch that knows"):
        ofs.Compose([Gain(), ofs.Compose([TimeShift()])])(torch.zeros(9))
    wrong_rate = ofs.Compose([Gain(), ofs.MelSpectrogram(sample_rate=16_000)])
    with pytest.raises(ValueError, match=r"^Compose step 1: MelSpectrogram: expected a batch of 16000 Hz.*got 8000 Hz"):
        wrong_rate(ones(2))
    with pytest.raises(RuntimeError, match=r"^Compose step 0 \(Broken\): no memory$"):
        ofs.Compose([Broken(RuntimeError("no memory"))])(ones(1))
    with pytest.raises(RuntimeError, match=r"^OneOf step 0 \(Broken\): no memory$"):
        ofs.OneOf([Broken(RuntimeError("no memory"))])(ones(1))
    with pytest.raises(KeyError, match="'x'"):
        ofs.Compose([Broken(KeyError("x"))])(ones(1))
    mel, pcen = ofs.MelSpectrogram(sample_rate=8_000, n_mels=6), ofs.PCEN(sample_rate=16_000, hop_length=512)
    with pytest.raises(ValueError, match=r"^Compose step 1: PCEN: expected a batch of 31\.25 frames per second"):
        ofs.Compose([mel, pcen])(ofs.pad([torch.ones(900)], rate=8_000))
    with pytest.raises(ValueError, match=r"^Compose step 2: PCEN: expected features of n_bands = 5 bands, got 6"):
        ofs.Compose([mel, ofs.Log(), ofs.PCEN(sample_rate=8_000, hop_length=512, n_bands=5)])(torch.ones(900))


MEL = ofs.MelSpectrogram(sample_rate=8_000, n_fft=64, n_mels=6)


@pytest.mark.parametrize(
    ("steps", "match"),
    [
        (
            [MEL, ofs.augment.PitchShift()],
            r"step 1 to take spectrograms, which step 0 \(MelSpectrogram\) gives, got Pitch",
        ),
        (
            [MEL, ofs.Log(), ofs.PreEmphasis()],
            r"step 2 to take spectrograms, .* got PreEmphasis for waveforms\. Put it",
        ),
        ([Gain(), SpecAugment()], r"step 1 to take waveforms, which step 0 \(Gain\) gives, got SpecAugment for spec"),
        ([ofs.Resample(sample_rate=8_000, new_sample_rate=4_000), ofs.Log()], r"step 1 to take waveforms"),
        ([ofs.Compose([MEL, ofs.Log()]), ofs.Sometimes(Gain())], r"step 1 to take spectrograms, .* got Sometimes for"),
        ([ofs.OneOf([Gain()]), MEL, MEL], r"step 2 to take spectrograms"),
    ],
)
def test_a_step_takes_what_the_one_before_gives(steps: Any, match: str) -> None:
    """It is known when the chain is made."""
    with pytest.raises(ValueError, match=f"^Compose: expected {match}"):
        ofs.Compose(steps)


def test_steps_are_counted_and_taken_out() -> None:
    steps = [Gain(), MEL, ofs.Log()]
    chain = ofs.Compose(steps, seed=3).eval()
    assert len(chain) == 3
    assert [chain[0], chain[1], chain[-1]] == list(chain) == steps
    part = chain[1:]
    assert (type(part), list(part), part.seed, part.training) == (ofs.Compose, steps[1:], 3, False)
    assert torch.equal(part(ones(99)).data, ofs.Compose(steps[1:])(ones(99)).data)
    with pytest.raises(IndexError):
        chain[3]
    with pytest.raises(ValueError, match="Compose: expected at least one step, got none"):
        chain[3:]


@pytest.mark.parametrize("make", [ofs.Compose, ofs.OneOf, lambda steps: ofs.SomeOf(steps, n=1)])
def test_wrong_steps(make: Any) -> None:
    with pytest.raises(ValueError, match=r"expected at least one step, got none\."):
        make([])
    with pytest.raises(TypeError, match=r"expected step 1 to be a Transform or an Augment, got ReLU\. Wrap it"):
        make([Gain(), nn.ReLU()])


# OneOf and SomeOf


def share(count: int, total: int, p: float) -> bool:
    """Whether a count lies within five sigma of the binomial law."""
    return abs(count - p * total) <= 5 * (total * p * (1 - p)) ** 0.5


def test_one_of_takes_one_by_weight() -> None:
    weights, ids = [1.0, 0.0, 3.0, 4.0], torch.arange(20_000)
    taken = ofs.OneOf([Gain()] * 4, weights=weights, p=0.7).draw(ids)["taken"]
    assert taken.shape == (20_000, 4)
    assert int(taken.sum(1).max()) == 1
    assert share(int(taken.sum()), 20_000, 0.7)
    assert not taken[:, 1].any()
    for place, weight in enumerate(weights):
        assert share(int(taken[:, place].sum()), 20_000, 0.7 * weight / 8)
    assert ofs.OneOf([Gain()] * 3).draw(ids)["taken"].sum(1).unique().tolist() == [1]
    assert not ofs.OneOf([Gain()] * 3, p=0.0).draw(ids)["taken"].any()


def test_own_p_applies_on_top() -> None:
    """A step's own p is independent of being chosen."""
    out = ofs.OneOf([PolarityInversion(p=0.5), Affine()], p=0.6)(ones(20_000)).data[:, 0]
    assert share(int((out < 0).sum()), 20_000, 0.6 * 0.5 * 0.5)


@pytest.mark.parametrize(("n", "low", "high"), [(0, 0, 0), (1, 1, 1), (3, 3, 3), ((1, 3), 1, 3), ((0, 4), 0, 4)])
def test_some_of_takes_n(n: Any, low: int, high: int) -> None:
    taken = ofs.SomeOf([Gain()] * 4, n=n).draw(torch.arange(20_000))["taken"]
    counts = torch.bincount(taken.sum(1), minlength=5)
    for count in range(5):
        expected = 1 / (high - low + 1) if low <= count <= high else 0.0
        assert share(int(counts[count]), 20_000, expected)
    for place in range(4):
        assert share(int(taken[:, place].sum()), 20_000, (low + high) / 2 / 4)


def test_some_of_pairs_are_even_and_p_applies() -> None:
    taken = ofs.SomeOf([Gain()] * 4, n=2, p=0.5).draw(torch.arange(20_000))["taken"]
    assert share(int(taken.any(1).sum()), 20_000, 0.5)
    for one, other in itertools.combinations(range(4), 2):
        assert share(int((taken[:, one] & taken[:, other]).sum()), 20_000, 0.5 / 6)


def test_some_of_keeps_the_order_of_the_list() -> None:
    """From 1, the steps +1, *10, +3 in this order, whichever are left out."""
    choice = ofs.SomeOf([Affine(1, 1), Affine(10), Affine(1, 3)], n=(0, 3))
    batch = ones(200)
    taken, out = choice.draw(batch.ids)["taken"], choice(batch).data
    for row, values in zip(taken.tolist(), out.tolist(), strict=True):
        value = 1.0
        for on, (scale, offset) in zip(row, [(1, 1), (10, 0), (1, 3)], strict=True):
            value = value * scale + offset if on else value
        assert values == [value] * 4
    assert len({tuple(row) for row in taken.tolist()}) == 8


@pytest.mark.parametrize("channels", [None, 2])
def test_routing_is_the_step_itself(channels: int | None) -> None:
    """Each item is what its step gives with its own row of the table; lengths go their own ways."""
    steps = [Affine(2.0), Decimate(), TimeShift(shift_s=(-0.01, 0.01)), ofs.Compose([Gain(), Decimate(), Decimate()])]
    seen = set()
    for seed in range(8):
        choice, batch = ofs.OneOf(steps, p=0.8, seed=seed), ragged(channels)
        table, out = choice.draw(batch.ids), choice(batch)
        assert torch.equal(choice.output_lengths(batch.lengths, table), out.lengths)
        assert not out.data[..., int(out.lengths.max()) :].any()
        for row, found in enumerate(out.unpad()):
            item = PaddedBatch(batch.data[row : row + 1], batch.lengths[row : row + 1], RATE, batch.ids[row : row + 1])
            on = [place for place, flag in enumerate(table["taken"][row].tolist()) if flag]
            seen.update(on or [None])
            expected = item
            if on:
                step: Any = steps[on[0]]
                key = rng.fold(rng.fold(0, seed), on[0], 0)
                draws = isinstance(step, Augment | Chain)
                expected = step.replay(item, step.draw(item.ids, key)) if draws else step(item)
            assert torch.equal(found, expected.unpad()[0])
    assert seen == {None, 0, 1, 2, 3}


def test_lengths_without_a_table() -> None:
    same, unlike = ofs.OneOf([Gain(), Affine()]), ofs.OneOf([Gain(), Decimate()])
    assert same.output_lengths(9) == 9
    assert torch.equal(same.output_lengths(torch.tensor([4, 0])), torch.tensor([4, 0]))
    assert ofs.OneOf([Decimate(), Decimate()]).output_lengths(9) == 5
    for chain in (unlike, ofs.OneOf([Decimate()], p=0.5), ofs.SomeOf([Decimate()], n=1)):
        with pytest.raises(ValueError, match=r"Of: expected choices that give equal lengths, or the table of a draw"):
            chain.output_lengths(9)
    assert unlike.eval().output_lengths(9) == 9


def test_choices_of_features() -> None:
    """Items keep their axes, as in evaluation all are left alone; who does not is named."""
    mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=64, hop_length=16, n_mels=6)
    for choice in (ofs.OneOf, ofs.RandomOrder, ofs.Sometimes, functools.partial(ofs.SomeOf, n=1)):
        with pytest.raises(ValueError, match=r"steps that keep the axes of items.*got step 0 \((MelSpectro|Compose)"):
            choice([mel])
    with pytest.raises(ValueError, match=r"\[\] at 4000 from step 0 \(Decimate\), got \[\] at 8000 from items without"):
        ofs.SomeOf([Decimate(tells=True), Gain()], n=1)(ones(20))


def test_all_or_no_items() -> None:
    """Nothing taken, and no items at all."""
    batch = ragged()
    for chain in (ofs.OneOf([Gain()], p=0.0), ofs.SomeOf([Gain()], n=0)):
        out = chain(batch)
        assert equal(out, batch)
        assert not out.data.isnan().any()
        assert batch.data[0].isnan().any()
        empty = PaddedBatch(
            torch.zeros(0, 8), torch.zeros(0, dtype=torch.int64), RATE, torch.zeros(0, dtype=torch.int64)
        )
        assert chain(empty).data.shape == (0, 8)


def test_step_in_eval_mode_is_left_out() -> None:
    choice = ofs.OneOf([PolarityInversion()])
    choice.steps[0].eval()
    assert torch.equal(choice(ones(3)).data, ones(3).data)


def test_wrong_choices() -> None:
    with pytest.raises(ValueError, match=r"OneOf: expected 2 weights, one a step, not all 0, got \(1\.0,\)\."):
        ofs.OneOf([Gain(), Gain()], weights=[1])
    with pytest.raises(ValueError, match=r"OneOf: expected 1 weights, one a step, not all 0, got \(0\.0,\)\."):
        ofs.OneOf([Gain()], weights=[0])
    with pytest.raises(ValueError, match=r"OneOf: expected weights to be a finite number between 0 and inf, got -1\.0"):
        ofs.OneOf([Gain(), Gain()], weights=[-1, 2])
    with pytest.raises(ValueError, match=r"SomeOf: expected n to be an integer of at least 0 and at most 2, got 3\."):
        ofs.SomeOf([Gain(), Gain()], n=3)
    with pytest.raises(ValueError, match=r"SomeOf: expected n as \(low, high\) with low <= high, got \(2, 1\)"):
        ofs.SomeOf([Gain(), Gain()], n=(2, 1))
    with pytest.raises(TypeError, match=r"SomeOf: expected n to be an integer"):
        ofs.SomeOf([Gain(), Gain()], n=1.5)
    with pytest.raises(ValueError, match=r"all steps to take waveforms, as step 0 \(Gain\) does, got step 1 \(SpecAug"):
        ofs.OneOf([Gain(), SpecAugment()])


# Ids on a device


def on_device(table: Any) -> bool:
    values = table.values() if isinstance(table, dict) else [table]
    return all(on_device(value) if isinstance(value, dict) else value.device == pretend.DEVICE for value in values)


@pytest.mark.parametrize("noisy", [False, True])
def test_draws_where_the_ids_are(noisy: bool) -> None:
    """Without a wait, and choosing too; noise alone needs its keys on the host."""
    steps = [Gain(), ofs.Compose([TimeShift(shift_s=0.002), PolarityInversion(p=0.5)])]
    chain = ofs.Compose([ofs.OneOf(steps, weights=[1, 2]), ofs.SomeOf([Gain(), *steps], n=(0, 3))])
    chain = ofs.Compose([chain, AddColoredNoise()]) if noisy else chain
    batch = ragged()
    with pretend.session():
        table = chain.draw(pretend.send(batch.ids))
        out = None if noisy else chain(pretend.send(batch))
    assert on_device(table)
    assert as_lists(pretend.fetch(table)) == as_lists(chain.draw(batch.ids))
    assert out is None or equal(pretend.fetch(out), chain(batch))


# torch.compile


def one_graph(chain: nn.Module, backend: str) -> None:
    """Compiles into one graph and compares with eager."""
    torch._dynamo.reset()
    compiled = torch.compile(chain, fullgraph=True, backend=backend)
    for seed in range(3):
        batch = ragged()._replace(ids=torch.tensor([Identity(item, seed).id() for item in range(5)]))
        out, expected = compiled(batch), chain(batch)
        assert torch.equal(out.lengths, expected.lengths)
        assert torch.allclose(out.data, expected.data, rtol=0, atol=1e-4 * float(expected.data.abs().max()))


@needs_compiler
def test_front_end_compiles_whole() -> None:
    mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=64, hop_length=16, n_mels=6)
    one_graph(
        ofs.Compose([Gain(p=0.5), AddColoredNoise(p=0.5), TimeShift(shift_s=0.01), mel, SpecAugment()]), "aot_eager"
    )


@needs_compiler
def test_choices_compile_whole() -> None:
    """Choices by masks there give what routing gives here."""
    inner = ofs.Compose([Gain(gain_db=(3.0, 6.0))])
    one_graph(
        ofs.Compose([ofs.OneOf([Gain(p=0.5), inner], p=0.8), ofs.SomeOf([PolarityInversion(), TimeShift()], n=1)]),
        "eager",
    )


@needs_compiler
def test_compiled_chain_has_gradients() -> None:
    torch._dynamo.reset()
    chain = ofs.OneOf([AddColoredNoise()])
    found, expected = ragged().data.nan_to_num(0).requires_grad_(), ragged().data.nan_to_num(0).requires_grad_()
    compiled = torch.compile(chain, fullgraph=True, backend="aot_eager")
    compiled(ragged()._replace(data=found)).data.square().sum().backward()
    chain(ragged()._replace(data=expected)).data.square().sum().backward()
    assert torch.allclose(found.grad, expected.grad, rtol=1e-4, atol=1e-5)


def test_chains_that_begin_with_spectrograms_take_tensors() -> None:
    """A bare spectrogram has no rate: steps after the first that know theirs do not lend it."""
    options = {"sample_rate": 8_000, "n_fft": 64, "hop_length": 16}
    power, spectrum = torch.rand(33, 20), torch.randn(33, 20, dtype=torch.complex64)
    assert ofs.Compose([SpecAugment(), ofs.GriffinLim(**options, n_iter=2)])(power).shape == (304,)
    assert ofs.Compose([ofs.InverseSTFT(**options), Gain()])(spectrum).shape == (304,)


def test_what_a_chain_of_waves_knows() -> None:
    """Once waves have come out, the bins before them are no longer its own."""
    options = {"sample_rate": 8_000, "n_fft": 64, "hop_length": 16}
    chain = ofs.Compose([ofs.STFT(**options), ofs.InverseSTFT(**options)])
    for name in ("n_features", "frequencies"):
        with pytest.raises(AttributeError, match=name):
            getattr(chain, name)
    assert ofs.Compose([chain, ofs.STFT(**options)]).n_features == 33


def test_bands_that_double_are_told() -> None:
    stft = ofs.STFT(sample_rate=8_000, n_fft=64, output="magnitude")
    chain = ofs.Compose([stft, ofs.HPSS(output="both"), ofs.Log()])
    assert chain(torch.randn(500)).shape[0] == chain.n_features == 66
    assert torch.equal(chain.frequencies, torch.cat([stft.frequencies, stft.frequencies]))
