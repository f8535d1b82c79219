"""Private names of torch, each with a fallback where a release has none: the only file that uses them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.autograd import forward_ad

F = TypeVar("F", bound=Callable[..., Any])


def _never() -> bool:
    return False


_tracing_state = getattr(torch._C, "_get_tracing_state", _never)
_functorch_active = getattr(torch._C, "_are_functorch_transforms_active", _never)
cuda_lost_in_fork = getattr(torch.cuda, "_is_in_bad_fork", _never)
"""Returns whether this process was forked from one that had begun to use CUDA, which it cannot use then."""
_any_global_hook = getattr(nn.modules.module, "_has_any_global_hook", _never)


def transforming() -> bool:
    """Returns whether what runs now is traced, compiled, vectorised, or differentiated in forward mode."""
    if torch.compiler.is_compiling() or _tracing_state() or _functorch_active():
        return True
    return bool(getattr(forward_ad, "_current_level", -1) >= 0)


def watched(module: nn.Module) -> bool:
    """Returns whether hooks see what goes into a module or comes out of it."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return bool(_any_global_hook()) or any(getattr(module, name, None) for name in names)


def constant_in_traces(method: F) -> F:
    """Marks a method whose result ``torch.compile`` may take as it is.

    That is what ``torch.compiler.assume_constant_result`` does; that one loads the whole compiler.
    """
    method._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return method


def _thread_setters() -> tuple[Callable[[int], Any], Callable[[int], int]] | None:
    """Returns what sets the calling thread's number of OpenMP threads, and of MKL threads; None if either is not found.

    ``torch.set_num_threads`` would set the number for threads to come as well.
    """
    folder = Path(torch.__file__).parent / "lib"
    try:
        openmp = ctypes.PyDLL(str(next(folder.glob("libgomp*.so*")))).omp_set_num_threads
        mkl = ctypes.PyDLL(str(folder / "libtorch_cpu.so")).MKL_Set_Num_Threads_Local
    except (OSError, AttributeError, StopIteration):
        return None
    return openmp, mkl


_SETTERS = _thread_setters() if "OpenMP" in torch.__config__.parallel_info() else None


def can_work_alone() -> bool:
    """Returns whether `alone` can keep the operations of the calling thread on it."""
    return _SETTERS is not None or torch.get_num_threads() == 1


class alone:
    """Keeps the operations of the calling thread on it while inside; no other thread sees a difference."""

    def __enter__(self) -> None:
        self._threads = torch.get_num_threads()
        self._set = _SETTERS if self._threads > 1 else None
        if self._set is not None:
            self._set[0](1)
            self._before = self._set[1](1)

    def __exit__(self, *_: object) -> None:
        if self._set is not None:
            self._set[0](self._threads)
            self._set[1](self._before)
