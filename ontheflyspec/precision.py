"""Full precision: autocast and TF32 kept out of features, and double precision where the device has it.

A GPU may round the inputs of matrix products and convolutions to TF32, 10 bits of mantissa: errors of 1e-3 of the peak.
Switches of the whole process decide, and may change while a product is under way on another thread. torch has two
generations of them, ``allow_tf32`` and ``fp32_precision``, and raises where they contradict each other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

_NOTHING = contextlib.nullcontext()
_INSIDE: dict[str, list[Callable[[], None]]] = {"matmul": [], "conv": []}
"""What puts the user's switch back, once for every caller inside `without_tf32`."""
_LOCK = threading.Lock()
WITHOUT_DOUBLES = {"mps"}
"""Types of devices that have no float64."""


def without_autocast(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which autocast rounds nothing on a device."""
    kind = device.type
    if not torch.is_autocast_enabled("cpu") if kind == "cpu" else not torch.amp.is_autocast_available(kind):
        return _NOTHING
    return torch.autocast(kind, enabled=False)


@contextlib.contextmanager
def without_tf32(calls: Literal["matmul", "conv"]) -> Iterator[None]:
    """Keeps TF32 out of products or convolutions of the process while any thread is inside.

    It touches no switch that keeps it out already. The first thread in sets the switches of the process, the last
    thread out puts them back: else a thread that leaves early would enable TF32 for threads still inside, and a later
    thread would save settings that are not the user's.
    """
    inside = _INSIDE[calls]
    with _LOCK:
        inside.append(inside[0] if inside else _exact_matmul() if calls == "matmul" else _exact_conv())
    try:
        yield
    finally:
        with _LOCK:
            put_back = inside.pop()
            if not inside:
                put_back()


def _exact_matmul() -> Callable[[], None]:
    """Makes products exact, by the switch that the user's setting speaks; returns what puts it back."""
    part = torch.backends.cuda.matmul
    try:
        rounded = part.allow_tf32
    except RuntimeError:  # set by the newer switch alone
        return _set(part, "fp32_precision", "tf32", "ieee")
    if not rounded:
        return _as_it_is
    before, cpu = torch.get_float32_matmul_precision(), getattr(torch.backends.mkldnn, "matmul", None)
    on_cpu = None if cpu is None else cpu.fp32_precision
    torch.set_float32_matmul_precision("highest")

    def put_back() -> None:
        torch.set_float32_matmul_precision(before)
        if cpu is not None:  # which ``allow_tf32`` leaves alone
            cpu.fp32_precision = on_cpu

    return put_back


def _exact_conv() -> Callable[[], None]:
    """Makes convolutions exact, likewise."""
    part: Any = torch.backends.cudnn
    try:
        part.allow_tf32  # noqa: B018
    except RuntimeError:  # set by the newer switch alone
        return _set(part.conv, "fp32_precision", "tf32", "ieee")
    return _set(part, "allow_tf32", True, False)


def _set(part: object, name: str, fast: object, exact: object) -> Callable[[], None]:
    """Sets a switch to its exact value where it has the fast one; returns what puts it back."""
    if getattr(part, name) != fast:
        return _as_it_is
    setattr(part, name, exact)
    return lambda: setattr(part, name, fast)


def _as_it_is() -> None:
    """Puts back what was not touched."""


def wide(device: torch.device) -> torch.dtype:
    """Returns the most precise type of floats that a device has: float32 on MPS, float64 elsewhere."""
    return torch.float32 if device.type in WITHOUT_DOUBLES else torch.float64


def complex_type(real: torch.dtype) -> torch.dtype:
    """Returns the type of complex numbers with parts of a type, which compilers follow, unlike torch's own way."""
    return torch.complex128 if real == torch.float64 else torch.complex64


def matmul(one: Tensor, other: Tensor) -> Tensor:
    """Returns the matrix product in true float32; the user's switches hold in compiled graphs and backward passes."""
    if one.device.type != "cuda" or torch.compiler.is_compiling():
        return torch.matmul(one, other)
    with without_tf32("matmul"):
        return torch.matmul(one, other)


def add_matmul(total: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Returns a total ``[B, n, k]`` plus the product of ``[B, n, m]`` with one matrix ``[m, k]``, as `matmul`."""
    every = other.expand(one.shape[0], -1, -1)
    if one.device.type != "cuda" or torch.compiler.is_compiling():
        return torch.baddbmm(total, one, every)
    with without_tf32("matmul"):
        return torch.baddbmm(total, one, every)


def conv1d(x: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Returns the strided correlation of signals ``[R, 1, n]`` with kernels ``[K, 1, m]``, as exact as `matmul`."""
    if x.device.type != "cuda" or torch.compiler.is_compiling():
        return torch.nn.functional.conv1d(x, kernels, stride=stride)
    with without_tf32("conv"):
        return torch.nn.functional.conv1d(x, kernels, stride=stride)
