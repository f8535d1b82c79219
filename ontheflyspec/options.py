"""Options that one class hands on to another: declared once, typed, and shown as if they were its own."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any, TypeVar

from ontheflyspec import checks

if sys.version_info >= (3, 11):
    from typing import Unpack as Unpack
else:
    from typing_extensions import Unpack as Unpack

F = TypeVar("F", bound=Callable[..., None])


def hands_on(
    target: type, *, first: Sequence[str] = (), last: Sequence[str] = (), without: Sequence[str] = (), **defaults: Any
) -> Callable[[F], F]:
    """Returns a decorator for an ``__init__`` whose ``**options`` are those of another class.

    ``help()`` and ``inspect.signature`` then show them keyword by keyword, unknown ones raise, and the function gets
    all of them, with their defaults filled in. Errors of the other class name the one that is made.

    Args:
        target: the class.
        first: own options that are shown right after ``sample_rate``.
        last: own options that are shown at the end; others come before ``backend``, if there is one.
        without: options of the class that are not handed on.
        **defaults: where they differ from those of the class.
    """

    def wrap(init: F) -> F:
        shown, owner = _signature(init, target, first, last, without, defaults), init.__qualname__.split(".")[-2]

        @functools.wraps(init)
        def checked(self: Any, *args: Any, **options: Any) -> None:
            try:
                bound = shown.bind(self, *args, **options)
            except TypeError as error:
                raise TypeError(f"{type(self).__name__}: {error}") from None
            bound.apply_defaults()
            with checks.of_part(target.__name__, owner):
                init(self, **bound.kwargs)

        checked.__signature__ = shown  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return wrap


def _signature(
    init: Callable[..., None],
    target: type,
    first: Sequence[str],
    last: Sequence[str],
    without: Sequence[str],
    defaults: dict[str, Any],
) -> inspect.Signature:
    """Returns the signature of an ``__init__`` with the options of a class in place of its ``**options``."""
    self, *rest = inspect.signature(init).parameters.values()
    own = {one.name: one for one in rest if one.kind is not Parameter.VAR_KEYWORD}
    given = [one for one in inspect.signature(target).parameters.values() if one.name not in (*without, *own)]
    given = [one.replace(default=defaults.get(one.name, one.default)) for one in given]
    names = [one.name for one in given]
    middle = [one for name, one in own.items() if name not in (*first, *last)]
    at = names.index("backend") if "backend" in names else len(names)
    ordered = [*given[:1], *(own[name] for name in first), *given[1:at], *middle, *given[at:]]
    return inspect.Signature([self, *ordered, *(own[name] for name in last)], return_annotation=None)
