"""Options that one class hands on to another: declared once, typed, and shown as if they were its own."""

from __future__ import annotations

import functools
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any, TypeVar

from ontheflyspec import checks

if sys.version_info >= (3, 11):
    from typing import Unpack as Unpack
else:
    from typing_extensions import Unpack as Unpack

F = TypeVar("F", bound=Callable[..., Any])
LINE = 100
"""Characters of a step that is shown in one line."""


def remembering(init: F) -> F:
    """Decorator for a constructor that keeps its arguments for `call_of`; of several, those of the outermost."""

    @functools.wraps(init)
    def made(self: Any, *args: Any, **options: Any) -> None:
        self.__dict__.setdefault("given", (args, options))
        init(self, *args, **options)

    return made  # type: ignore[return-value]


def call_of(made: Any) -> str:
    """Returns the call that made an object, as one would write it: with the arguments that were given, no others."""
    args, options = made.__dict__["given"]
    return written(made, [*map(repr, args), *(f"{name}={value!r}" for name, value in options.items())])


def written(made: Any, parts: Sequence[str], before: str = "", after: str = "") -> str:
    """Returns the call that makes an object, with arguments as text: in one line, or if long each in a line of its own.

    Args:
        made: the object.
        parts: the arguments.
        before: a bracket around them that is opened.
        after: its end, and what stands behind it.
    """
    kind = type(made)
    name = f"augment.{kind.__name__}" if kind.__module__.startswith("ontheflyspec.augment.") else kind.__name__
    line = f"{name}({before}{', '.join(parts)}{after})"
    if len(line) <= LINE and "\n" not in line:
        return line
    lines = "".join(textwrap.indent(part, "    ") + ",\n" for part in parts)
    return f"{name}({before}\n{lines}{after})"


def hands_on(
    target: type, *, first: Sequence[str] = (), last: Sequence[str] = (), without: Sequence[str] = (), **defaults: Any
) -> Callable[[F], F]:
    """Decorator for an ``__init__`` or a class method that hands its ``**options`` on to another class.

    ``help()`` and ``inspect.signature`` then show them keyword by keyword, unknown ones raise, and the function gets
    all of them, with their defaults filled in. Errors of the other class name the one that is made.

    Args:
        target: the other class.
        first: own options that are shown right after ``sample_rate``.
        last: own options that are shown at the end; others come before ``backend``, if there is one.
        without: options of the other class that are not handed on.
        **defaults: defaults that differ from those of the other class.
    """

    def signature(init: Callable[..., None]) -> inspect.Signature:
        """Returns the signature of a function with the options of the class in place of its ``**options``."""
        written = inspect.signature(init)
        self, *rest = written.parameters.values()
        own = {one.name: one for one in rest if one.kind is not Parameter.VAR_KEYWORD}
        given = [one for one in inspect.signature(target).parameters.values() if one.name not in (*without, *own)]
        given = [one.replace(default=defaults.get(one.name, one.default)) for one in given]
        names = [one.name for one in given]
        middle = [one for name, one in own.items() if name not in (*first, *last)]
        at = names.index("backend") if "backend" in names else len(names)
        ordered = [*given[:1], *(own[name] for name in first), *given[1:at], *middle, *given[at:]]
        # Stable, so that own arguments without names come first and all others stay as they are.
        shown = sorted([self, *ordered, *(own[name] for name in last)], key=lambda one: one.kind)
        return written.replace(parameters=shown)

    def wrap(init: F) -> F:
        shown = signature(init)
        where = ".".join(init.__qualname__.split(".")[-2:]).removesuffix(".__init__")

        @functools.wraps(init)
        def checked(*args: Any, **options: Any) -> Any:
            try:
                bound = shown.bind(*args, **options)
            except TypeError as error:
                raise TypeError(f"{where}: {error}") from None
            bound.apply_defaults()
            with checks.of_part(target.__name__, where):
                return init(*bound.args, **bound.kwargs)

        checked.__signature__ = shown  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return wrap
