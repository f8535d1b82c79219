"""Counter-based random numbers: Philox-4x32-10 of a key and an id, bit-equal on every device and in every process.

Reference: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Random123).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ontheflyspec.kept import count_up
from ontheflyspec.torch_internals import transforming

_WORD = 0xFFFFFFFF
_LONG = 0xFFFFFFFFFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def round_keys(key: tuple[Any, Any]) -> list[tuple[Any, Any]]:
    """Returns the keys of the ten rounds for a key of two 32-bit words."""
    return [tuple((word + place * weyl) & _WORD for word, weyl in zip(key, _WEYL, strict=True)) for place in range(10)]


def philox(counter: tuple[Any, Any, Any, Any], keys: Iterable[tuple[Any, Any]]) -> tuple[Any, ...]:
    """Returns four 32-bit words for four 32-bit counter words and the keys of `round_keys`.

    Words are int64 arrays of NumPy or tensors, or plain numbers beside them; those returned have the shape of all.
    """
    c0, c1, c2, c3 = counter
    for k0, k1 in keys:
        low, high = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = ((high >> 32) & _WORD) ^ c1 ^ k0, high & _WORD
        c2, c3 = ((low >> 32) & _WORD) ^ c3 ^ k1, low & _WORD
    return c0, c1, c2, c3


class PredrawnKey(int):
    """A key with the first words of its stream for some ids, int64 ``[B, AHEAD]`` of NumPy, see `predrawn`."""

    ids: Tensor
    words: Any


AHEAD = 8
"""Words that are drawn ahead for each id: most steps take no more."""


def predrawn(ids: Tensor, keys: Sequence[int]) -> Sequence[int]:
    """Returns the keys of several streams for the same ids, their first words drawn at once on the host."""
    if not _plain(ids) or len(keys) < 2:
        return keys
    low, high = (np.array([key >> shift & _WORD for key in keys], np.int64)[:, None, None] for shift in (0, 32))
    made = []
    for key, words in zip(keys, _drawn(ids, (low, high), AHEAD), strict=True):
        made.append(PredrawnKey(key))
        made[-1].ids, made[-1].words = ids, words
    return made


def _plain(ids: Tensor) -> bool:
    """Returns whether NumPy may read the ids: they lie on the host, and nothing traces."""
    return type(ids) is Tensor and ids.device.type == "cpu" and not transforming()


def _drawn(ids: Tensor, key: tuple[Any, Any], n: int) -> Any:
    """Returns `words`: as a NumPy array where that is allowed, as NumPy needs a fifth of torch's time for a few."""
    count, plain = -(-n // 4), _plain(ids)
    given: Any = ids.long().numpy()[:, None] if plain else ids.long().unsqueeze(-1)
    blocks: Any = np.arange(count, dtype=np.int64) if plain else torch.arange(count, device=ids.device)
    stack: Any = np.stack if plain else torch.stack
    drawn = stack(philox((given & _WORD, given >> 32 & _WORD, blocks, 0), round_keys(key)), -1)
    return drawn.reshape(*drawn.shape[:-2], 4 * count)[..., :n]


def _words(ids: Tensor, key: int, n: int) -> Any:
    """Returns `words`, those drawn ahead if there are enough; as a NumPy array where that is allowed."""
    if isinstance(key, PredrawnKey) and key.ids is ids and n <= AHEAD:
        return key.words[:, :n]
    return _drawn(ids, (key & _WORD, key >> 32 & _WORD), n)


def words(ids: Tensor, key: int, n: int) -> Tensor:
    """Returns ``n`` 32-bit words an id, int64 ``[B, n]``, on the device of ``ids``."""
    drawn = _words(ids, key, n)
    return drawn if isinstance(drawn, Tensor) else torch.from_numpy(drawn)


def counted_bytes(keys: Tensor, streams: int, count: int) -> Tensor:
    """Returns random bytes, int8 ``[B, streams, count]``: each depends on its key, stream and place alone.

    Args:
        keys: int64 ``[B]``, on the device of the result.
        streams: of each key.
        count: bytes of a stream.
    """
    rounds = count_up(10, keys.device).reshape(-1, 1, 1, 1)
    own = keys.reshape(-1, 1, 1)
    halves = (own & _WORD) + rounds * _WEYL[0], (own >> 32) + rounds * _WEYL[1]
    calls, stream = (count_up(size, keys.device) for size in (-(-count // 16), streams))
    schedule = zip(*((half & _WORD).unbind() for half in halves), strict=True)
    drawn = torch.stack(philox((calls, stream.unsqueeze(-1), 0, 1), schedule), -1)
    return drawn.to(torch.int32).view(torch.int8).flatten(2)[..., :count]


def uniform(ids: Tensor, key: int, n: int) -> Tensor:
    """Returns ``n`` numbers an id, float64 ``[B, n]``, evenly in (0, 1)."""
    drawn = _words(ids, key, n)
    if isinstance(drawn, Tensor):
        return (drawn.double() + 0.5) / 2**32
    return torch.from_numpy((drawn + 0.5) / 2**32)


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


def fresh_ids(n: int) -> Tensor:
    """Returns ``n`` ids, int64, from torch's global CPU generator (``torch.manual_seed`` rules them)."""
    return torch.randint(-(2**63), 2**63 - 1, (n,), device="cpu")


def generator(device: torch.device, key: int) -> torch.Generator:
    """Returns a generator on ``device`` seeded by ``key``; the only place that makes one."""
    return torch.Generator(device).manual_seed(key & (_LONG >> 1))
