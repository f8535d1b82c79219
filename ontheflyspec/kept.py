"""Constants kept: on devices made once for each device and key, safe on every stream; numbers on the host."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontheflyspec.torch_internals import transforming

Make = Callable[..., tuple[Tensor, ...]]
"""Makes constants for a device and hashable arguments."""


_LOCK = threading.Lock()
CACHES: list[Callable[[], None]] = []
"""What forgets the constants of each function."""


class _Entry(NamedTuple):
    """Constants, and on CUDA the stream and the event of their making."""

    tensors: tuple[Tensor, ...]
    stream: Any = None
    made: Any = None

    def used(self) -> tuple[Tensor, ...]:
        """Returns the constants for the current stream: it waits until they are made, and their memory waits for it."""
        if self.stream is not None and (current := torch.cuda.current_stream(self.stream.device)) != self.stream:
            current.wait_event(self.made)
            for tensor in self.tensors:
                tensor.record_stream(current)
        return self.tensors


class Kept:
    """Constants of the newest so many devices and keys; copies and pickles begin empty.

    What is made in a trace, or while a CUDA graph is captured, is not kept: it holds no values.
    """

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self.entries: dict[Any, _Entry] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Kept, (self.maxsize,)

    def find(self, make: Make, device: torch.device, *args: Any) -> tuple[Tensor, ...]:
        """Returns ``make(device, *args)``, made once for a device and hashable arguments."""
        if transforming():
            return make(device, *args)
        capturing = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        with _LOCK:
            entry = self.entries.pop((device, args), None)
            if entry is not None:
                self.entries[device, args] = entry  # as the newest
        if entry is not None:
            return entry.tensors if capturing else entry.used()
        with torch.inference_mode(mode=False), torch.no_grad():
            tensors = make(device, *args)
        if not capturing:
            stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
            with _LOCK:
                self.entries[device, args] = _Entry(tensors, stream, stream and stream.record_event())
                while len(self.entries) > self.maxsize:
                    del self.entries[next(iter(self.entries))]
        return tensors


def kept(maxsize: int) -> Callable[[Make], Make]:
    """Returns a decorator that keeps what a function makes, for so many devices and arguments: see `Kept`."""

    def decorate(make: Make) -> Make:
        constants = Kept(maxsize)
        CACHES.append(constants.entries.clear)

        @functools.wraps(make)
        def find(device: torch.device, *args: Any) -> tuple[Tensor, ...]:
            return constants.find(make, device, *args)

        return find

    return decorate


@kept(8)
def _steps(device: torch.device, size: int) -> tuple[Tensor, ...]:
    return (torch.arange(size, device=device),)


def count_up(size: int, device: torch.device) -> Tensor:
    """Returns the numbers 0 to ``size - 1``, int64: on a device part of a longer row that is kept there."""
    if device.type == "cpu" or transforming():
        return torch.arange(size, device=device)
    return _steps(device, max(1 << (size - 1).bit_length(), 4096))[0][:size]


@kept(64)
def full(device: torch.device, items: int, size: int) -> tuple[Tensor, ...]:
    """Returns the lengths of full items, int64 ``[items]``."""
    return (torch.full((items,), size, device=device),)


@kept(16)
def _zero(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, ...]:
    return (torch.zeros((), dtype=dtype, device=device),)


def zeros(like: Tensor) -> Tensor:
    """Returns a zero without axes, to be expanded and only read, of the type and on the device of a tensor."""
    return _zero(like.device, like.dtype)[0]


@functools.lru_cache(256)
def _number(value: float, dtype: torch.dtype) -> Tensor:
    return torch.tensor(value, dtype=dtype, device="cpu")


def where(mask: Tensor, one: Tensor | float, other: Tensor | float) -> Tensor:
    """Returns ``torch.where``; numbers stay on the host, as torch would write each by a kernel of its own."""
    if not transforming():
        if not isinstance(one, Tensor) and isinstance(other, Tensor):
            one = _number(one, other.dtype)
        elif not isinstance(other, Tensor) and isinstance(one, Tensor):
            other = _number(other, one.dtype)
    return torch.where(mask, one, other)
