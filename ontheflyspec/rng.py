"""Random numbers from names: Philox-4x32-10 over (key, id), bit-equal on every device and in every process.

Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Random123).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ontheflyspec.functional.blocks import applicable

_WORD = 0xFFFFFFFF
_LONG = 0xFFFFFFFFFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, ...]:
    """Returns four 32-bit words for four 32-bit counter words and a key of two 32-bit words.

    Words of counters are int64 arrays of NumPy or tensors, and so are those returned.
    """
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
    """Returns ``n`` 32-bit words an id, int64 ``[B, n]``, on the device of ``ids``.

    On the host NumPy makes them, whose operations on a few numbers take a fifth of the time of torch's.
    """
    known = applicable(ids)
    given: Any = ids.long().numpy() if known else ids
    blocks: Any = np.arange(-(-n // 4), dtype=np.int64) if known else torch.arange(-(-n // 4), device=ids.device)
    low = (given & _WORD)[:, None] + 0 * blocks
    high = ((given >> 32) & _WORD)[:, None] + 0 * blocks
    drawn = philox((low, high, blocks + 0 * low, 0 * low), (key & _WORD, (key >> 32) & _WORD))
    if known:
        return torch.from_numpy(np.stack(drawn, -1).reshape(len(given), 4 * len(blocks))[:, :n])
    return torch.stack(drawn, -1).flatten(-2)[..., :n]


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
