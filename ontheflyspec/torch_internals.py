"""Private names of torch, each with a fallback where a release has none, and what they tell of traces and derivatives.

The only file that uses them.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


def _never() -> bool:
    return False


tracing_state = getattr(torch._C, "_get_tracing_state", _never)
functorch_active = getattr(torch._C, "_are_functorch_transforms_active", _never)
dual_level = functools.partial(getattr, forward_ad, "_current_level", -1)
"""Returns the depth of forward-mode differentiation, -1 outside."""
cuda_lost_in_fork = getattr(torch.cuda, "_is_in_bad_fork", _never)
"""Returns whether this process was forked from one that had begun to use CUDA, which it cannot use then."""
inference_mode = getattr(torch._C, "_InferenceMode", torch.inference_mode)
"""The guard inside ``torch.inference_mode``, whose layers in Python cost as much as a small operation."""


def _any_global_hook() -> bool:
    kinds = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
    return any(getattr(nn.modules.module, f"_global_{kind}", None) for kind in kinds)


any_global_hook = getattr(nn.modules.module, "_has_any_global_hook", _any_global_hook)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Attributes of a module that hold its hooks."""


def transforming() -> bool:
    """Returns whether the code that runs now is traced, compiled, vectorised, or differentiated in forward mode.

    Then no value may be read and no memory be written directly.
    """
    return bool(torch.compiler.is_compiling() or tracing_state() or functorch_active()) or dual_level() >= 0


def in_traces(there: R, elsewhere: R) -> R:
    """Returns the first value in a trace, else the second: for sizes, which tracers must be able to follow."""
    return there if transforming() else elsewhere


def parts_of(x: Tensor, rows: int) -> Sequence[Tensor]:
    """Returns a tensor in parts of so many rows, which bound memory; whole in a trace, which cannot count them."""
    return [x] if transforming() else torch.split(x, rows)


def tiles(count: int, spare: int = 1) -> int:
    """Returns a number of tiles, in a trace some more: compilers take 1 for a constant, and other numbers as free."""
    return count + in_traces(spare, 0)


def outside_traces(made: Callable[[], R]) -> R:
    """Returns the result of a function that reads values of constants, in a trace by a thread that is not traced."""
    if not transforming():
        return made()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(made).result()


def differentiated(x: Tensor) -> bool:
    """Returns whether derivatives of a tensor may be asked for, in reverse or in forward mode."""
    return (x.requires_grad and torch.is_grad_enabled()) or dual_level() >= 0


def without_derivatives(x: Tensor) -> Tensor:
    """Returns a tensor as a constant: ``detach`` stops derivatives in reverse mode, not those in forward mode."""
    if dual_level() < 0:
        return x.detach()
    primal: Tensor = forward_ad.unpack_dual(x.detach()).primal  # type: ignore[no-untyped-call]
    return primal


def version_of(x: Tensor) -> int:
    """Returns how often a tensor was changed in place, 0 where torch does not count."""
    return 0 if x.is_inference() else x._version


def constant_in_traces(method: F) -> F:
    """Marks a method whose result ``torch.compile`` may take as it is.

    That is what ``torch.compiler.assume_constant_result`` does; that one loads the whole compiler.
    """
    method._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return method


def first_in_store(key: str, value: str) -> str:
    """Writes a value into the process group's key-value store if the key is new; returns what stands there then.

    Without a store, or with one that cannot do it in one step, nothing is known of others: the value itself.
    """
    try:
        store = torch.distributed.distributed_c10d._get_default_store()
        return str(store.compare_set(key, "", value).decode())
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        return value


def _thread_setters() -> tuple[Callable[[int], Any], Callable[[int], int]] | None:
    """Returns setters of the calling thread's number of OpenMP threads, and of MKL threads; None if either is missing.

    ``torch.set_num_threads`` would set the number for threads to come as well.
    """
    folder = Path(torch.__file__).parent / "lib"
    try:
        openmp = ctypes.PyDLL(str(next(folder.glob("libgomp*.so*")))).omp_set_num_threads
        mkl = ctypes.PyDLL(str(folder / "libtorch_cpu.so")).MKL_Set_Num_Threads_Local
    except (OSError, AttributeError, StopIteration):
        return None
    return openmp, mkl


THREAD_SETTERS = _thread_setters() if "OpenMP" in torch.__config__.parallel_info() else None
