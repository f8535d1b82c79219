"""Launches of Triton programs: imported when a first one is launched, with the reference wherever that fails.

Every launch states what it reads and writes, from which the model of time follows.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch

from ontheflyspec import checks
from ontheflyspec.op import Op

P = ParamSpec("P")
R = TypeVar("R")
_PROVEN: set[str] = set()
"""Operations of which a kernel has run."""


MOST_SIGNALS = 65_535
"""Signals that a grid has room for."""


def parts_of(size: int, block: int) -> tuple[int, int]:
    """Returns values of a part, a multiple of a block, and how many parts a signal has: up to 128, for sums."""
    span = -(-size // (128 * block)) * block
    return span, -(-size // span)


class Cost(NamedTuple):
    """What launches read and write.

    Args:
        launches: how many they are.
        bytes: in all.
    """

    launches: int
    bytes: int


def on_cuda(op: Op[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Returns a decorator that makes a function the operation's kernel for CUDA, until it cannot run.

    If Triton is not there, or the first launch fails, it warns once and leaves all to the reference.
    """

    def add(kernel: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(kernel)
        def run(*args: P.args, **options: P.kwargs) -> R:
            if op.name in _PROVEN:
                return kernel(*args, **options)
            try:
                made = kernel(*args, **options)
            except Exception as error:  # whatever Triton, its compiler or the driver says
                op.kernels.pop("cuda", None)
                rule, remedy = "its Triton kernels to run", "Features stay right, but slower: see the error."
                got = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                checks.warn(checks.message(op.name, rule, got, remedy))
                return op.reference(*args, **options)
            _PROVEN.add(op.name)
            return made

        op.kernel("cuda")(run)
        return run

    return add


def launch(file: str, program: str, grid: tuple[int, ...], cost: Cost, *args: Any, **constants: Any) -> None:  # noqa: ARG001
    """Launches a program.

    Args:
        file: of programs, in their folder.
        program: its name there.
        grid: how many run.
        cost: what they read and write.
        *args: tensors and numbers, a tensor first.
        **constants: those that the program is compiled for.
    """
    if all(grid):
        with torch.cuda.device(args[0].device):  # where Triton launches
            getattr(_programs(file), program)[grid](*args, **constants)


@functools.lru_cache
def _programs(file: str) -> Any:
    return importlib.import_module(f"{__package__}.programs.{file}")
