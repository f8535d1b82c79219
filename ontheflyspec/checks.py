"""Checks of arguments, and the wording of all errors: ``Where: expected <rule>, got <value>. <What to change.>``."""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from numbers import Integral, Real
from types import FrameType
from typing import Any, TypeVar

import numpy as np
import torch

Number = TypeVar("Number", int, float)
_WHOLES: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("wholes", default=())
"""Classes whose constructors run inside that of another class, which their messages are to name; outermost first."""


def message(where: str, rule: str, got: object, remedy: str) -> str:
    """Returns ``Where: expected <rule>, got <value>. <What to change.>``."""
    return f"{where}: expected {rule}, got {got}. {remedy}"


@contextlib.contextmanager
def of_part(part: str, where: str) -> Iterator[None]:
    """Context in which errors and warnings of class ``part`` name the class ``where``, which the caller made."""
    token = _WHOLES.set((*_WHOLES.get(), (part, where)))
    try:
        yield
    except (TypeError, ValueError) as error:
        if error.args:
            error.args = (_of_whole(error.args[0], part, where), *error.args[1:])
        raise
    finally:
        _WHOLES.reset(token)


def _of_whole(text: Any, part: str, where: str) -> Any:
    """Returns a message with the name of the whole in place of that of its part."""
    return where + str(text)[len(part) :] if str(text).startswith(f"{part}: ") else text


def integer(where: str, name: str, value: Any, *, low: int = 1, high: int | None = None) -> int:
    """Returns ``value`` as an int of at least ``low`` (and at most ``high``), or raises."""
    rule = f"{name} to be an integer of at least {low}" + (f" and at most {high}" if high is not None else "")
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(message(where, rule, repr(value), f"Pass a whole number as {name}."))
    result = int(value)
    if result < low or (high is not None and result > high):
        raise ValueError(message(where, rule, result, f"Change {name}."))
    return result


def number(where: str, name: str, value: Any, *, low: float = -math.inf, high: float = math.inf) -> float:
    """Returns ``value`` as a finite float between ``low`` and ``high`` (both allowed), or raises."""
    rule = f"{name} to be a finite number"
    if low > -math.inf or high < math.inf:
        rule += f" between {low:g} and {high:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(message(where, rule, repr(value), f"Pass a number as {name}."))
    result = float(value)
    if not math.isfinite(result) or not low <= result <= high:
        raise ValueError(message(where, rule, result, f"Change {name}."))
    return result


def positive(where: str, name: str, value: Any) -> float:
    """Returns ``value`` as a finite float above 0, or raises."""
    result = number(where, name, value)
    if result <= 0:
        raise ValueError(message(where, f"{name} above 0", value, f"Change {name}."))
    return result


def flag(where: str, name: str, value: Any) -> bool:
    """Returns ``value`` if it is True or False, or raises: no other value stands for a truth value."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(message(where, f"{name} to be True or False", repr(value), f"Pass a bool as {name}."))
    return bool(value)


def optional_rate(where: str, sample_rate: Any) -> float | None:
    """Returns a sample rate in Hz or None, or raises."""
    return None if sample_rate is None else positive(where, "sample_rate", sample_rate)


def sample_dtype(where: str, dtype: Any) -> torch.dtype | None:
    """Returns a type of samples for users, float32 or None (int16 where it holds all of them), or raises."""
    if dtype not in (None, torch.float32):
        rule, remedy = "dtype None or torch.float32", "Convert what comes out: .to(dtype)."
        raise TypeError(message(where, rule, repr(dtype), remedy))
    return dtype  # type: ignore[no-any-return]


def choice(where: str, name: str, value: Any, options: Iterable[str]) -> str:
    """Returns ``value`` if it is one of ``options``, or raises naming them."""
    known = list(options)
    if not isinstance(value, str) or value not in known:
        listed = " | ".join(repr(option) for option in known)
        raise ValueError(message(where, f"{name} to be one of {listed}", repr(value), f"Change {name}."))
    return value


def sequence(where: str, name: str, value: Any) -> list[Any]:
    """Returns the elements of a tuple, a list or another iterable as a list, or raises; a string is not taken."""
    try:
        if not isinstance(value, (str, bytes)):
            return list(value)
    except TypeError:
        pass
    raise TypeError(message(where, f"{name} to be a tuple or a list", repr(value), f"Pass several values as {name}."))


def unused(where: str, reason: str, given: Mapping[str, Any], **defaults: Any) -> None:
    """Raises if an option that has no effect beside the others was changed from its default.

    Args:
        where: class of the options.
        reason: setting that these options need in order to have an effect.
        given: values of these options by name.
        defaults: their defaults by name, where they are not None.
    """
    named = {name: value for name, value in given.items() if value != defaults.get(name)}
    if named:
        names, got = ", ".join(named), ", ".join(f"{name}={value!r}" for name, value in named.items())
        raise ValueError(message(where, f"{names} only with {reason}", got, f"Leave out {names}, or have {reason}."))


def span(where: str, name: str, value: Any, *, low: float = -math.inf, high: float = math.inf) -> tuple[float, float]:
    """Returns a range as ``(low, high)``, both ends within the limits, or raises; one number stands for both ends."""
    if not isinstance(value, Real) and not _is_pair(value):
        raise TypeError(message(where, f"{name} to be a number or a pair (low, high)", repr(value), f"Change {name}."))
    return _ordered(where, name, value, partial(number, low=low, high=high))


def integer_span(where: str, name: str, value: Any, *, low: int, high: int | None = None) -> tuple[int, int]:
    """Returns a range of whole numbers as `span` does, or raises."""
    return _ordered(where, name, value, partial(integer, low=low, high=high))


def _ordered(where: str, name: str, value: Any, check: Callable[[str, str, Any], Number]) -> tuple[Number, Number]:
    """Returns both ends of a range, each checked, or raises that they are in the wrong order."""
    start, end = (check(where, name, part) for part in (value if _is_pair(value) else (value, value)))
    if start > end:
        raise ValueError(message(where, f"{name} as (low, high) with low <= high", (start, end), "Swap the two."))
    return start, end


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def known_rate(where: str, rate: float | None, what: str) -> float:
    """Returns the rate of a batch, or raises that it is not known, for ``what``."""
    if rate is None:
        rule = f"a batch that knows its rate, for {what}"
        raise ValueError(message(where, rule, "none", "Wrap waveforms with ofs.pad(..., rate=...)."))
    return rate


def warn(text: str) -> None:
    """Issues a UserWarning at the line outside the package that called into it, however deep the call is."""
    for part, where in reversed(_WHOLES.get()):
        text = _of_whole(text, part, where)
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)
