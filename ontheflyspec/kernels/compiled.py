"""Functions compiled by TorchScript: several operations in a row, without the interpreter and its lock (GIL).

Where threads share out a batch, Python's interpreter lock is waited for at every operation. Functions that keep to the
part of Python that TorchScript reads as well can go through as its programs: it takes their very text, and a call then
waits once. Where programs cannot be had, or ``ONTHEFLYSPEC_COMPILE=0`` asks for none, the functions run as they stand,
with the same bits.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])


class Program(NamedTuple):
    """A function that should go through as one program.

    Args:
        written: the function as it stands.
        fast: the program, None where none can be had.
    """

    written: Callable[..., Any]
    fast: Callable[..., Any] | None


WANTED = os.environ.get("ONTHEFLYSPEC_COMPILE", "1") != "0"
PROGRAMS: dict[str, Program] = {}
"""All of them, by name."""


def compiled(*helpers: Callable[..., Any]) -> Callable[[F], F]:
    """Returns a decorator that gives a function as a program, or as it stands where none can be had.

    Args:
        helpers: functions that it calls, programs or not, in the order in which they call each other.
    """

    def compile_with(function: F) -> F:
        program = _program([*helpers, function]) if WANTED else None
        PROGRAMS[f"{function.__module__.removeprefix('ontheflyspec.')}.{function.__name__}"] = Program(
            function, program
        )
        return function if program is None else program

    return compile_with


def summary() -> str:
    """Returns how many of the programs are compiled, and why none is where nobody wants them."""
    count = sum(program.fast is not None for program in PROGRAMS.values())
    wanted = "" if WANTED else ", as ONTHEFLYSPEC_COMPILE=0 asks for none"
    return f"{count} of {len(PROGRAMS)} compiled{wanted}"


def _program(functions: list[Callable[..., Any]]) -> Any:
    """Returns the last of these functions as a program that holds the others, None where none can be had."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unit = torch.jit.CompilationUnit("\n".join(_text(_written(function)) for function in functions))
    except (RuntimeError, AttributeError, OSError, TypeError):
        return None
    return getattr(unit, functions[-1].__name__)


def _written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function that a program was made of, or a function as it is."""
    return next((program.written for program in PROGRAMS.values() if program.fast is function), function)


def _text(function: Callable[..., Any]) -> str:
    """Returns a function's source without its decorators."""
    text = inspect.getsource(function)
    return text[text.index("def ") :]
