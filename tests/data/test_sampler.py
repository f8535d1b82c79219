"""The sampler's law: every clip once an epoch over all ranks, within the budget, the same for a seed, resumable."""

import copy
import itertools
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torchdata.nodes import Batcher, Loader, Mapper, ParallelMapper, SamplerWrapper
from torchdata.stateful_dataloader import StatefulDataLoader

import ontheflyspec as ofs
from ontheflyspec import rng
from ontheflyspec.data.plan import permutation

LENGTHS = [700, 120, 450, 90, 999, 300, 300, 20, 610, 280, 0, 75, 510, 33, 880, 240, 160, 405, 730, 55]


def sampler(lengths=LENGTHS, *, max_samples=1500, **options):
    return ofs.BucketBatchSampler(lengths, max_samples=max_samples, **options)


def ranks(world_size, **options):
    return [sampler(rank=rank, world_size=world_size, **options) for rank in range(world_size)]


def plain(batches):
    return [[(int(draw), draw.epoch) for draw in batch] for batch in batches]


class Echo(torch.utils.data.Dataset):
    """Gives back what it was asked for."""

    def __getitem__(self, draw):
        return int(draw), draw.epoch


def same(items):
    return items


def test_draw_is_an_index_that_knows_its_epoch():
    draw = ofs.Draw(5, epoch=3)
    assert (draw, draw.epoch, repr(draw), str(draw), f"{draw}") == (5, 3, "Draw(5, epoch=3)", "5", "5")
    assert "abcdef"[draw] == "f"
    assert json.dumps([draw]) == "[5]"
    for twin in (pickle.loads(pickle.dumps(draw)), copy.deepcopy(draw), copy.copy(draw)):
        assert type(twin) is ofs.Draw
        assert (twin, twin.epoch) == (5, 3)


def test_permutation_depends_on_the_key_alone():
    words = rng.words(torch.arange(50), 1, 2).tolist()
    assert permutation(50, 1).tolist() == sorted(range(50), key=lambda i: (words[i][0] << 31) ^ words[i][1])
    assert sorted(permutation(1000, 2)) == list(range(1000))
    assert permutation(1000, 2).tolist() != permutation(1000, 3).tolist()


@given(
    lengths=st.lists(st.integers(0, 100), min_size=1, max_size=60),
    world_size=st.integers(1, 5),
    max_items=st.none() | st.integers(1, 9),
    quantise=st.integers(1, 10),
    pool=st.integers(1, 70),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_every_clip_once_within_the_budget_in_equal_steps(
    lengths, world_size, max_items, quantise, pool, shuffle, epoch
):
    options = {
        "max_samples": 200,
        "max_items": max_items,
        "quantise_samples": quantise,
        "pool": pool,
        "shuffle": shuffle,
        "world_size": world_size,
    }
    try:
        made = [sampler(lengths, rank=rank, **options) for rank in range(world_size)]
        for one in made:
            one.set_epoch(epoch)
        played, refused = [plain(one) for one in made], ""
    except ValueError as error:
        played, refused = [], str(error)
    if refused:
        assert len(lengths) < world_size or "batches that can be split" in refused
        return
    assert len({len(batches) for batches in played}) == 1
    assert sorted(clip for batches in played for batch in batches for clip, _ in batch) == list(range(len(lengths)))
    for batch in (batch for batches in played for batch in batches):
        assert {e for _, e in batch} == {epoch}
        sizes = [lengths[clip] for clip, _ in batch]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) * -(-max(sizes) // quantise) * quantise <= 200
        assert max_items is None or len(sizes) <= max_items


def test_epochs_follow_each_other_and_differ():
    one, other = sampler(), sampler()
    epochs = [plain(one) for _ in range(3)]
    assert [batches[0][0][1] for batches in epochs] == [0, 1, 2]
    assert epochs == [plain(other) for _ in range(3)]
    other.set_epoch(1)
    assert other.epoch == 1
    assert plain(other) == epochs[1]
    assert other.epoch == 2
    assert plain(sampler(seed=1)) != epochs[0]


def test_batch_mates_change_from_epoch_to_epoch_even_in_one_pool():
    one = sampler(np.random.default_rng(0).integers(1_000, 10_000, 1_000), max_samples=100_000)
    epochs = [{frozenset(batch) for batch in one} for _ in range(6)]
    kept = [len(one & other) / len(one) for one, other in itertools.pairwise(epochs)]
    assert np.mean(kept) < 0.3


def test_a_look_moves_nothing_and_a_broken_pass_begins_again():
    one = sampler()
    running = iter(one)
    for _ in range(3):
        assert next(iter(one))[0].epoch == 0
    assert next(running)[0].epoch == 0  # bound as the newest
    next(running)
    assert one.epoch == 0
    with pytest.warns(UserWarning, match=r"got 2 batches of it: epoch 0 begins again\. To go on, call set_epoch\(1\)"):
        assert plain(one) == plain(sampler())
    again = iter(one)
    assert [next(again)[0].epoch for _ in range(3)] == [1, 1, 1]
    one.set_epoch(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plain(one) == plain(sampler_at(1))
    assert one.epoch == 2


def test_a_pass_has_ended_with_its_last_batch():
    """Nobody needs to ask for the end."""
    one = sampler()
    running = iter(one)
    for _ in range(len(one)):
        next(running)
    assert (one.epoch, next(iter(one))[0].epoch) == (1, 1)


def test_a_pass_that_goes_on_after_set_epoch_keeps_its_state():
    """Lightning asks for the iterator, which runs ahead, then sets the epoch that it plays."""
    one, other = sampler(), sampler()
    running = iter(one)
    next(running), next(running)
    one.set_epoch(0)
    assert one.state_dict()["consumed"] == 0
    next(running)
    assert one.state_dict()["consumed"] == 3
    other.load_state_dict(one.state_dict())
    assert plain(running) == plain(other)
    assert one.epoch == other.epoch == 1
    running = iter(one)
    next(running), next(running)
    one.set_epoch(5)
    assert {draw.epoch for batch in running for draw in batch} == {1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plain(one) == plain(sampler_at(5))


def test_rank_and_world_size_are_asked_at_the_first_batch(monkeypatch):
    one = sampler()
    length, running = len(one), iter(one)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(one) == len(sampler(rank=1, world_size=2)) < length
    assert list(map(repr, running)) == list(map(repr, sampler(rank=1, world_size=2)))
    assert (one.rank, one.world_size) == (1, 2)
    assert len(sampler(rank=0, world_size=1)) == length


@pytest.mark.parametrize("pool", [5, 4096])
@pytest.mark.parametrize("world_size", [1, 3])
def test_the_length_is_that_of_every_epoch_and_state(world_size, pool):
    """Trainers ask once."""
    draw = np.random.default_rng(0)
    for clips in (20, 61, 150):
        lengths = draw.integers(0, 1_500, clips)
        made = [sampler(lengths, seed=clips, pool=pool, rank=rank, world_size=world_size) for rank in range(world_size)]
        length = len(made[0])
        for epoch in range(12):
            played = [list(one) for one in made]
            assert {len(batches) for batches in played} == {length} == {len(one) for one in made}
            assert sorted(int(clip) for batches in played for batch in batches for clip in batch) == list(range(clips))
            assert {clip.epoch for batches in played for batch in batches for clip in batch} == {epoch}
        made[0].load_state_dict(made[0].state_at(4, 2))
        assert (len(made[0]), len(list(made[0])), len(list(made[0]))) == (length, length - 2, length)


def test_splitting_to_the_same_length_costs_little():
    lengths = np.random.default_rng(0).integers(8_000, 240_000, 2_000)
    one = sampler(lengths, max_samples=16_000 * 60)
    for _ in range(5):
        batches = [np.array(batch) for batch in one]
        assert sum(lengths[batch].max() * len(batch) for batch in batches) <= 1.03 * lengths.sum()


class TestWeights:
    lengths = np.random.default_rng(2).integers(100, 1_000, 400)
    weights = np.r_[np.ones(200), np.full(200, 3.0)]

    def test_clips_come_as_often_as_their_weights_say(self):
        one = sampler(self.lengths, weights=self.weights, max_samples=5_000)
        counts = np.zeros(400)
        for _ in range(60):
            drawn = [int(clip) for batch in one for clip in batch]
            assert 380 <= len(drawn) <= 400
            counts += np.bincount(drawn, minlength=400)
        shares = counts[:200].sum() / counts.sum(), counts[200:].sum() / counts.sum()
        assert shares == pytest.approx((0.25, 0.75), abs=4 * (0.25 * 0.75 / counts.sum()) ** 0.5)
        assert counts.min() > 0

    def test_each_time_with_another_occurrence(self):
        drawn = [clip for batch in sampler(self.lengths, weights=self.weights, max_samples=5_000) for clip in batch]
        assert len({(int(clip), clip.occurrence) for clip in drawn}) == len(drawn)
        assert max(clip.occurrence for clip in drawn) > 1

    @pytest.mark.parametrize("weights", ["long", "short"])
    def test_the_number_of_batches_is_fixed_and_the_budget_holds(self, weights):
        weights = self.lengths**3.0 if weights == "long" else self.lengths**-3.0
        made = [sampler(self.lengths, weights=weights, max_samples=5_000, rank=r, world_size=2) for r in range(2)]
        for _ in range(5):
            played = [list(one) for one in made]
            assert {len(batches) for batches in played} == {len(made[0])}
            for batch in (batch for batches in played for batch in batches):
                assert max(self.lengths[batch]) * len(batch) <= 5_000

    def test_it_goes_on_where_it_stopped(self):
        one, other = (sampler(self.lengths, weights=self.weights, max_samples=5_000) for _ in range(2))
        running = iter(one)
        first = [next(running) for _ in range(7)]
        state = one.state_dict()
        other.load_state_dict(json.loads(json.dumps(state)))
        rest = list(running)
        assert [repr(batch) for batch in other] == [repr(batch) for batch in rest]
        assert len(first) + len(rest) == len(one)
        with pytest.raises(ValueError, match="plan_hash"):
            sampler(self.lengths, max_samples=5_000).load_state_dict(state)

    @pytest.mark.parametrize("weights", [[1.0], np.zeros(400), np.full(400, -1.0), np.full(400, np.nan)])
    def test_bad_weights_are_named(self, weights):
        with pytest.raises(ValueError, match=r"expected weights \[400\], one a clip, finite, not below 0"):
            sampler(self.lengths, weights=weights)


def test_the_result_is_the_same_on_every_machine():
    clips = [[clip for clip, _ in batch] for batch in plain(sampler(seed=11, rank=0, world_size=2))]
    assert clips == [[4], [2, 17, 6], [18, 0], [3, 11, 19]]


def test_without_shuffling_every_epoch_goes_from_the_longest_to_the_shortest():
    one = sampler(shuffle=False)
    first = [[clip for clip, _ in batch] for batch in plain(one)]
    assert first == [[clip for clip, _ in batch] for batch in plain(one)]
    flat = [LENGTHS[clip] for batch in first for clip in batch]
    assert flat == sorted(flat, reverse=True)


def test_ranks_work_on_clips_of_like_length():
    lengths = np.random.default_rng(0).integers(1_000, 100_000, 2_000)
    made = [sampler(lengths, max_samples=400_000, pool=150, rank=rank, world_size=4) for rank in range(4)]
    longest = np.array([[lengths[batch[0]] for batch in one] for one in made])
    assert np.median(longest.max(0) / longest.min(0)) < 1.05
    assert abs(np.corrcoef(longest[0], np.arange(longest.shape[1]))[0, 1]) < 0.2


def test_drop_last_leaves_out_what_does_not_fill_a_step():
    whole = list(sampler(max_items=3, shuffle=False))
    for shuffle in (True, False):
        for world_size in (2, 3, 4, 5):
            made = [list(one) for one in ranks(world_size, max_items=3, shuffle=shuffle, drop_last=True)]
            played = sum(map(len, made))
            assert played % world_size == 0
            if not shuffle:
                assert played == len(whole) // world_size * world_size
            clips = [clip for batches in made for batch in batches for clip in batch]
            assert len(clips) == len(set(clips))


def test_no_clip_is_the_one_that_is_always_dropped():
    lengths = [5, 6, 7, 8, 9, 10, 11]
    made = [sampler(lengths, max_samples=11, max_items=1, rank=r, world_size=3, drop_last=True) for r in range(3)]
    dropped = [set(range(7)) - {batch[0] for one in made for batch in one} for _ in range(40)]
    assert {len(clips) for clips in dropped} == {1}
    assert set().union(*dropped) == set(range(7))


@pytest.mark.parametrize("name", ["heavy", "wide"])
@pytest.mark.parametrize("world_size", [1, 8])
def test_padding_of_a_hundred_thousand_clips(name, world_size):
    draw = np.random.default_rng(0)
    seconds = {"heavy": np.exp(draw.normal(np.log(5), 0.4, 100_000)).clip(1, 30)}
    seconds["wide"] = np.exp(draw.normal(np.log(4), 1.0, 100_000)).clip(0.3, 120)
    lengths = (seconds[name] * 16_000).astype(np.int64)
    made = [sampler(lengths, max_samples=16_000 * 120, rank=r, world_size=world_size) for r in range(world_size)]
    batches = [np.array(batch) for one in made for batch in one]
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert padded <= lengths.sum() * 1.012
    assert max(lengths[batch].max() * len(batch) for batch in batches) <= 16_000 * 120
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(100_000))


@pytest.mark.parametrize("options", [{}, {"drop_last": True, "max_items": 2}, {"shuffle": False}])
def test_a_state_goes_on_with_the_very_same_batches(options):
    whole = sampler(seed=5, **options)
    expected = [plain(whole) for _ in range(3)]
    for epoch in range(2):
        for step in range(len(expected[epoch]) + 1):
            state = json.loads(json.dumps(whole.state_at(epoch, step)))
            fresh = sampler(seed=5, **options)
            fresh.load_state_dict(state)
            rest = plain(fresh) + plain(fresh)
            assert rest[: len(expected[epoch]) - step] == expected[epoch][step:]
            after = rest[len(expected[epoch]) - step :]
            assert after[: len(expected[epoch + 1])] == expected[epoch + 1]


def test_a_loaded_state_is_taken_again():
    one = sampler()
    one.load_state_dict(one.state_at(3, 2))
    assert one.epoch == 3
    assert one.state_at(3, 0) == one.state_dict() == one.state_at(3, 0)
    one.set_epoch(3)
    assert one.state_dict()["consumed"] == 2
    running = iter(one)
    assert one.state_at(3, 1)["consumed"] == 3
    next(running)
    assert one.state_dict()["consumed"] == 3
    one.set_epoch(3)
    assert one.state_dict()["consumed"] == 0
    assert one.state_at(3, 1)["consumed"] == 1


def test_another_world_size_loses_and_repeats_no_clip():
    """Interrupted twice: 4 ranks, then 3, then 2."""
    lengths = np.random.default_rng(1).integers(50, 500, 400)

    def group(world_size):
        return [sampler(lengths, max_samples=2_000, rank=r, world_size=world_size) for r in range(world_size)]

    played, state = [], None
    for world_size, steps in ((4, 7), (3, 5), (2, None)):
        made = group(world_size)
        for one in made:
            if state is not None:
                one.load_state_dict(state)
        running = [iter(one) for one in made]
        left = [list(itertools.islice(batches, steps)) for batches in running]
        count = len(left[0])
        assert all(len(batches) == count for batches in left)
        played += [batch for batches in left for batch in batches]
        states = [json.dumps(one.state_at(0, count)) for one in made]
        assert len(set(states)) == 1
        state = json.loads(states[0])
    assert sorted(map(int, (clip for batch in played for clip in batch))) == list(range(400))
    assert {draw.epoch for batch in played for draw in batch} == {0}
    assert (state["epoch"], state["consumed"], state["earlier"]) == (1, 0, [])


def test_a_finished_epoch_is_finished_for_any_world_size():
    one, other = sampler(), sampler(rank=1, world_size=3)
    batches = list(one)
    assert one.state_dict()["consumed"] == len(batches)
    other.load_state_dict(one.state_dict())
    assert (list(other), other.epoch) == ([], 1)
    assert next(iter(other))[0].epoch == 1


def test_a_state_of_something_else_is_refused():
    state = sampler().state_at(0, 2)
    with pytest.raises(ValueError, match=r"seed 1 as the sampler's, got 0\. Build the sampler with seed=0"):
        sampler(seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match="plan_hash of the same lengths and options, got"):
        sampler(max_samples=1501).load_state_dict(state)
    with pytest.raises(ValueError, match="plan_hash of the same lengths and options, got"):
        sampler([*LENGTHS[:-1], 56]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"version 1, got 2\."):
        sampler().load_state_dict({**state, "version": 2})
    with pytest.raises(ValueError, match="one without plan_hash"):
        sampler().load_state_dict({name: state[name] for name in state if name != "plan_hash"})
    with pytest.raises(ValueError, match="consumed to be at most"):
        sampler().load_state_dict({**state, "consumed": 1000})
    with pytest.raises(ValueError, match="consumed to be an integer of at least 0, got -1"):
        sampler().load_state_dict({**state, "consumed": -1})
    last = sampler([5, 4, 3], max_samples=5)
    with pytest.raises(ValueError, match="split into a multiple of 3"):
        sampler([5, 4, 3], max_samples=5, rank=0, world_size=3).load_state_dict(last.state_at(0, 2))


@pytest.mark.parametrize(
    ("lengths", "options", "error", "words"),
    [
        ([], {}, ValueError, "at least one length, got none"),
        ([3, -1], {}, ValueError, "at least 0 samples, got -1 for clip 1"),
        ([3.0, 1.0], {}, TypeError, r"whole numbers \[clips\], got float64 \[2\]"),
        ([True, False], {}, TypeError, r"whole numbers \[clips\], got bool \[2\]"),
        ([[3, 1]], {}, TypeError, r"whole numbers \[clips\], got int64 \[1, 2\]"),
        ([3, 1501, 4], {}, ValueError, r"at most max_samples = 1500, got 1501 for clip 1\. Set max_seconds"),
        ([1499], {"quantise_samples": 1000}, ValueError, r"got 1499 for clip 0 \(rounded up to 2000\)"),
        ([3, 4], {"rank": 0, "world_size": 3}, ValueError, r"one clip a rank, 3, got 2 \(lengths \[3, 4\]\)"),
        ([3], {"rank": 0}, ValueError, "rank and world_size both or none, got rank=0, world_size=None"),
        ([3, 4], {"rank": 2, "world_size": 2}, ValueError, "rank to be an integer of at least 0 and at most 1, got 2"),
        ([3], {"max_items": 0}, ValueError, "max_items to be an integer of at least 1, got 0"),
        ([3], {"max_samples": 10.5}, TypeError, "max_samples to be an integer of at least 1, got 10.5"),
        ([1500] * 5, {"rank": 0, "world_size": 2}, ValueError, "multiple of 2, one a rank, got 5 for 5 clips"),
        (
            [9] * 5,
            {"rank": 0, "world_size": 2, "drop_last": True},
            ValueError,
            "one batch for each of 2 ranks, got 1",
        ),
    ],
)
def test_bad_input_is_named(lengths, options, error, words):
    with pytest.raises(error, match=words):
        sampler(lengths, **options)
    with pytest.raises(ValueError, match="epoch to be an integer of at least 0, got -1"):
        sampler().set_epoch(-1)


def test_lengths_may_be_a_list_an_array_or_a_tensor():
    expected = plain(sampler())
    for lengths in (np.array(LENGTHS, np.int32), torch.tensor(LENGTHS), tuple(LENGTHS)):
        assert plain(sampler(lengths)) == expected


def test_rank_and_world_size_come_from_torch_distributed(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    assert plain(sampler()) == plain(ranks(3)[1])


def test_it_pickles_and_copies_in_the_middle_of_an_epoch():
    one = sampler()
    running = iter(one)
    next(running)
    for twin in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert twin.state_dict() == one.state_dict()
        assert plain(twin) == plain(sampler_at(0))


def sampler_at(epoch):
    one = sampler()
    one.set_epoch(epoch)
    return one


@pytest.mark.parametrize("workers", [0, 2])
def test_a_plain_loader_plays_one_epoch_after_the_other(workers):
    loader = DataLoader(Echo(), batch_sampler=sampler(), collate_fn=same, num_workers=workers)
    assert [list(loader) for _ in range(2)] == [plain(sampler_at(epoch)) for epoch in range(2)]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_a_stateful_loader_resumes_at_every_step(workers, persistent):
    def make():
        return StatefulDataLoader(
            Echo(),
            batch_sampler=sampler(max_samples=3000),
            collate_fn=same,
            num_workers=workers,
            persistent_workers=persistent,
        )

    expected = [plain(one) for one in [sampler(max_samples=3000)] for _ in range(3)]
    loader = make()
    assert list(loader) == expected[0]
    states, running = [], iter(loader)
    for _ in expected[1]:
        next(running)
        states.append(loader.state_dict())
    assert list(running) == []
    states.append(loader.state_dict())
    for step in (1, len(states) - 2, len(states) - 1, len(states)) if workers else range(1, len(states) + 1):
        resumed = make()
        resumed.load_state_dict(states[step - 1])
        if step < len(states):
            assert list(resumed) == expected[1][step:]
        assert list(resumed) == expected[2]


@pytest.mark.parametrize("threads", [0, 2])
def test_nodes_resume_at_every_step(threads):
    def make():
        node = SamplerWrapper(sampler())
        node = (
            ParallelMapper(node, plain_batch, num_workers=threads, method="thread")
            if threads
            else Mapper(node, plain_batch)
        )
        return Loader(Batcher(node, 1, drop_last=False))

    expected = [plain(one) for one in [sampler()] for _ in range(3)]
    loader = make()
    assert [batch for (batch,) in loader] == expected[0]
    states, running = [], iter(loader)
    for _ in expected[1]:
        next(running)
        states.append(loader.state_dict())
    for step in range(1, len(states) + 1):
        resumed = make()
        resumed.load_state_dict(states[step - 1])
        if step < len(states):
            assert [batch for (batch,) in resumed] == expected[1][step:]
        assert [batch for (batch,) in resumed] == expected[2]


def plain_batch(batch):
    return plain([batch])[0]
