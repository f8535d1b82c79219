"""Random numbers from names: Philox-4x32-10 over (key, id), bit-equal on every device and in every process.

Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Random123).
"""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_LONG = 0xFFFFFFFFFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Returns four 32-bit words (as int64 tensors) for four 32-bit counter words and a key of two 32-bit words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        low, high = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((high >> 32) & _WORD) ^ c1 ^ k0,
            high & _WORD,
            ((low >> 32) & _WORD) ^ c3 ^ k1,
            low & _WORD,
        )
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def words(ids: Tensor, key: int, n: int) -> Tensor:
    """Returns ``n`` 32-bit words an id, int64 ``[B, n]``, on the device of ``ids``."""
    blocks = torch.arange(-(-n // 4), device=ids.device)
    low = (ids & _WORD).unsqueeze(-1) + 0 * blocks
    high = ((ids >> 32) & _WORD).unsqueeze(-1) + 0 * blocks
    counter = (low, high, blocks + 0 * low, 0 * low)
    drawn = torch.stack(philox(counter, (key & _WORD, (key >> 32) & _WORD)), -1)
    return drawn.flatten(-2)[..., :n]


def uniform(ids: Tensor, key: int, n: int) -> Tensor:
    """Returns ``n`` numbers an id, float64 ``[B, n]``, evenly in (0, 1)."""
    return (words(ids, key, n).double() + 0.5) / 2**32


def mix(value: int) -> int:
    """Returns a well-mixed unsigned 64-bit hash of an integer (the finaliser of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _LONG
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _LONG
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _LONG
    return value ^ (value >> 31)


def fold(key: int, *values: int) -> int:
    """Returns a new unsigned 64-bit key that depends on ``key`` and each value in turn."""
    for value in values:
        key = mix(key ^ mix(value & _LONG))
    return key


def item_id(index: int, epoch: int) -> int:
    """Returns the signed 64-bit id of clip ``index`` in ``epoch``."""
    value = fold(0, index, epoch)
    return value - 2**64 if value >= 2**63 else value


def fresh_ids(n: int) -> Tensor:
    """Returns ``n`` ids, int64, from torch's global CPU generator (``torch.manual_seed`` rules them)."""
    return torch.randint(-(2**63), 2**63 - 1, (n,), device="cpu")


def generator(device: torch.device, key: int) -> torch.Generator:
    """Returns a generator on ``device`` seeded by ``key``; the only place that makes one."""
    return torch.Generator(device).manual_seed(key & (_LONG >> 1))
