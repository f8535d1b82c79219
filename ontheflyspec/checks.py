"""Every error that a user sees is worded here: ``Where: expected <rule>, got <value>. <What to change.>``."""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from types import FrameType
from typing import Any

import torch
from torch import Tensor

WAVE_DTYPES = (torch.int16, torch.float16, torch.bfloat16, torch.float32, torch.float64)
FEATURE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def message(where: str, rule: str, got: object, remedy: str) -> str:
    """Returns ``Where: expected <rule>, got <value>. <What to change.>``."""
    return f"{where}: expected {rule}, got {got}. {remedy}"


@contextlib.contextmanager
def of_part(part: str, where: str) -> Iterator[None]:
    """Lets errors of a part name the whole, which is what the caller made."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if error.args and str(error.args[0]).startswith(f"{part}: "):
            error.args = (where + str(error.args[0])[len(part) :],)
        raise


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


def choice(where: str, name: str, value: Any, options: Iterable[str]) -> str:
    """Returns ``value`` if it is one of ``options``, or raises naming them."""
    known = list(options)
    if not isinstance(value, str) or value not in known:
        listed = " | ".join(repr(option) for option in known)
        raise ValueError(message(where, f"{name} to be one of {listed}", repr(value), f"Change {name}."))
    return value


def sequence(where: str, name: str, value: Any) -> list[Any]:
    """Returns the parts of a tuple, a list or the like, or raises; a text is none."""
    try:
        if not isinstance(value, str | bytes):
            return list(value)
    except TypeError:
        pass
    raise TypeError(message(where, f"{name} to be a tuple or a list", repr(value), f"Pass several values as {name}."))


def unused(where: str, reason: str, given: Mapping[str, Any], **defaults: Any) -> None:
    """Raises if any option of those given that would count for nothing is not left at its default.

    Args:
        where: whose options they are.
        reason: what they count with.
        given: their values by name.
        defaults: those that are not None.
    """
    named = {name: value for name, value in given.items() if value != defaults.get(name)}
    if named:
        names, got = ", ".join(named), ", ".join(f"{name}={value!r}" for name, value in named.items())
        raise ValueError(message(where, f"{names} only with {reason}", got, f"Leave out {names}, or have {reason}."))


def span(where: str, name: str, value: Any, *, low: float = -math.inf, high: float = math.inf) -> tuple[float, float]:
    """Returns ``(low, high)`` of a range that may be given as one number, or raises."""
    if isinstance(value, Real):
        one = number(where, name, value, low=low, high=high)
        return one, one
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise TypeError(message(where, f"{name} to be a number or a pair (low, high)", repr(value), f"Change {name}."))
    start, end = (number(where, name, part, low=low, high=high) for part in value)
    if start > end:
        raise ValueError(message(where, f"{name} as (low, high) with low <= high", (start, end), "Swap the two."))
    return start, end


def integer_span(where: str, name: str, value: Any, *, low: int, high: int | None = None) -> tuple[int, int]:
    """Returns ``(low, high)`` of a range of whole numbers that may be given as one, or raises."""
    pair = value if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2 else (value, value)
    start, end = (integer(where, name, part, low=low, high=high) for part in pair)
    if start > end:
        raise ValueError(message(where, f"{name} as (low, high) with low <= high", (start, end), "Swap the two."))
    return start, end


def dtype(where: str, data: Any, allowed: Sequence[torch.dtype]) -> None:
    """Raises unless ``data`` is a tensor of one of the ``allowed`` types."""
    if not isinstance(data, Tensor):
        remedy = "Use torch.from_numpy or ofs.pad."
        raise TypeError(message(where, "a Tensor or a PaddedBatch", type(data).__name__, remedy))
    if data.dtype not in allowed:
        remedy = "Convert it: float samples lie in -1..1, int16 means value / 32768."
        raise TypeError(message(where, f"data of type {', '.join(map(_name, allowed))}", _name(data.dtype), remedy))


def rank(where: str, data: Tensor, item_rank: int, *, batched: bool) -> None:
    """Raises unless ``data`` has the axes of one item (``item_rank``) or of a batch of them."""
    lowest = item_rank + batched
    if not lowest <= data.dim() <= item_rank + 2:
        one, batch = ("[T]", "[B, T] or [B, C, T]") if item_rank == 1 else ("[F, N]", "[B, F, N] or [B, C, F, N]")
        shapes = batch if batched else f"{one}, {batch}"
        raise ValueError(message(where, f"data of shape {shapes}", list(data.shape), "Reshape it."))


def warn(text: str) -> None:
    """Warns about the line that called into the package, however deep in it this is."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


def sample_rate(where: str, expected: float, got: float) -> None:
    """Raises if a batch of rate ``got`` meets a step built for ``expected``."""
    if expected != got:
        remedy = f"Put Resample(sample_rate={got:g}, new_sample_rate={expected:g}) before it or build it for {got:g}."
        raise ValueError(message(where, f"a batch of {expected:g} Hz (its sample_rate)", f"{got:g} Hz", remedy))


def lengths(where: str, values: Tensor, batch: int, longest: int) -> None:
    """Raises if ``values`` are no int64 ``[batch]`` lengths; their size is looked at only where that costs nothing."""
    if values.dtype != torch.int64 or values.dim() != 1 or values.shape[0] != batch:
        got = f"{_name(values.dtype)} {list(values.shape)}"
        raise ValueError(message(where, f"lengths as int64 [{batch}]", got, "Give one length an item."))
    if values.device.type == "cpu" and not torch.compiler.is_compiling() and batch:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > longest:
            rule = f"lengths between 0 and {longest} (the last axis of data)"
            remedy = "Pass lengths in steps of the data, before padding."
            raise ValueError(message(where, rule, low if low < 0 else high, remedy))


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
