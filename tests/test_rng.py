"""Philox against its published vectors and an independent implementation; what keys and ids promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from ontheflyspec import rng

# kat_vectors of Random123: philox4x32, 10 rounds.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def numbers(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_published_vectors(counter: str, key: str, expected: str) -> None:
    given = tuple(torch.tensor([word, 0, word]) for word in numbers(counter))
    found = rng.philox(given, rng.round_keys(tuple(numbers(key))))
    assert [int(word[0]) for word in found] == numbers(expected)
    assert [int(word[2]) for word in found] == numbers(expected)


def reference(counter: list[int], key: list[int]) -> list[int]:
    """Philox by Python's own integers."""
    for _ in range(10):
        high0, low0 = divmod(counter[0] * 0xD2511F53, 1 << 32)
        high1, low1 = divmod(counter[2] * 0xCD9E8D57, 1 << 32)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B9) % (1 << 32), (key[1] + 0xBB67AE85) % (1 << 32)]
    return counter


def test_words_are_blocks_of_the_id() -> None:
    """The counter is (low id, high id, block, 0), the key (low key, high key)."""
    draws = np.random.default_rng(0)
    ids = [0, 1, -1, -(2**63), 2**63 - 1, *draws.integers(-(2**63), 2**63 - 1, 20).tolist()]
    for key in (0, 1, 2**64 - 1, 0x0123456789ABCDEF):
        found = rng.words(torch.tensor(ids), key, 10)
        assert found.shape == (len(ids), 10)
        for row, one in zip(found.tolist(), ids, strict=True):
            low, high = one % (1 << 32), (one >> 32) % (1 << 32)
            halves = [key % (1 << 32), key >> 32]
            assert row == [word for block in range(3) for word in reference([low, high, block, 0], halves)][:10]


def test_uniform_is_even_and_open() -> None:
    unit = rng.uniform(torch.arange(50_000), 7, 4)
    assert unit.dtype == torch.float64
    assert unit.min() > 0
    assert unit.max() < 1
    for column in unit.T:
        counts = np.histogram(column.numpy(), bins=100, range=(0, 1))[0]
        assert stats.chisquare(counts).pvalue > 1e-4
    pairs = np.corrcoef(unit.T.numpy())
    assert np.abs(pairs - np.eye(4)).max() < 5 / np.sqrt(50_000)


@pytest.mark.parametrize("traced", [False, True], ids=["NumPy", "torch"])
def test_uniform_ends(monkeypatch: pytest.MonkeyPatch, traced: bool) -> None:
    """The smallest and the largest word stay inside (0, 1), by NumPy and by torch."""

    def ends(counter: Any, key: Any) -> tuple[Any, ...]:
        zero = 0 * counter[0]
        return zero, zero + (2**32 - 1), zero, zero + (2**32 - 1)

    monkeypatch.setattr(rng, "philox", ends)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: traced)
    unit = rng.uniform(torch.arange(3), 1, 2)
    assert unit.shape == (3, 2)
    assert (unit[:, 0] == 0.5 / 2**32).all()
    assert (unit[:, 1] == 1 - 0.5 / 2**32).all()
    assert unit[:, 0].min() > 0
    assert unit[:, 1].max() < 1


def test_neighbouring_ids_and_keys_are_independent() -> None:
    ids = torch.arange(20_000)
    here = rng.uniform(ids, 3, 1)[:, 0].numpy()
    for other in (rng.uniform(ids + 1, 3, 1), rng.uniform(ids, 4, 1), rng.uniform(ids + 2**32, 3, 1)):
        assert abs(np.corrcoef(here, other[:, 0].numpy())[0, 1]) < 5 / np.sqrt(20_000)


def test_independent_of_the_batch() -> None:
    ids = rng.fresh_ids(64)
    whole = rng.uniform(ids, 11, 5)
    assert torch.equal(rng.uniform(ids.flip(0), 11, 5).flip(0), whole)
    assert torch.equal(torch.cat([rng.uniform(one, 11, 5) for one in ids.split(1)]), whole)
    assert torch.equal(rng.uniform(ids, 11, 2), whole[:, :2])
    assert rng.uniform(ids[:0], 11, 5).shape == (0, 5)


def test_mix_is_splitmix64() -> None:
    """First outputs of the published generator with seed 0."""
    golden = 0x9E3779B97F4A7C15
    assert [rng.mix(golden * step) for step in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("hashed", [rng.mix, lambda value: rng.fold(5, value), lambda value: rng.fold(value, 5)])
def test_avalanche(hashed) -> None:
    """One flipped bit flips each bit of the result every other time."""
    flips = np.zeros((64, 64))
    for value in range(300):
        base = hashed(value * 0x1234567)
        for bit in range(64):
            changed = base ^ hashed((value * 0x1234567) ^ (1 << bit))
            flips[bit] += [(changed >> place) & 1 for place in range(64)]
    assert np.abs(flips / 300 - 0.5).max() < 6 * 0.5 / np.sqrt(300)


def test_fold_depends_on_each_value_and_their_order() -> None:
    keys = [rng.fold(0), rng.fold(0, 0), rng.fold(0, 0, 0), rng.fold(0, 1, 2), rng.fold(0, 2, 1), rng.fold(1, 2)]
    keys += [rng.fold(0, -1), rng.fold(0, 1), rng.fold(0, 3)]
    assert len(set(keys)) == len(keys)
    assert rng.fold(9) == 9
    assert rng.fold(rng.fold(4, 1), 2) == rng.fold(4, 1, 2)
    assert all(0 <= key < 2**64 for key in keys)


def test_fresh_ids_follow_manual_seed() -> None:
    torch.manual_seed(1)
    first, second = rng.fresh_ids(5), rng.fresh_ids(5)
    torch.manual_seed(1)
    assert torch.equal(rng.fresh_ids(5), first)
    assert not torch.equal(first, second)
    assert first.dtype == torch.int64


@pytest.mark.parametrize("key", [0, 5, 2**63, 2**64 - 1])
def test_generator_repeats(key: int) -> None:
    before = torch.get_rng_state()
    one, other = (torch.randn(9, generator=rng.generator(torch.device("cpu"), key)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, torch.randn(9, generator=rng.generator(torch.device("cpu"), key ^ 1)))
    assert torch.equal(before, torch.get_rng_state())


def test_words_drawn_ahead_are_those_of_each_key() -> None:
    """Also more words than were drawn, and those of other ids."""
    ids, keys = torch.randint(-(2**63), 2**63 - 1, (5,)), [3, 2**64 - 1, rng.fold(1, 2)]
    for key, known in zip(keys, rng.predrawn(ids, keys), strict=True):
        assert int(known) == key
        for n in (1, 4, rng.AHEAD, rng.AHEAD + 1):
            assert torch.equal(rng.words(ids, known, n), rng.words(ids, key, n))
            assert torch.equal(rng.uniform(ids, known, n), rng.uniform(ids, key, n))
        assert torch.equal(rng.words(ids + 1, known, 4), rng.words(ids + 1, key, 4))
