"""Targets of clips: classes, numbers, texts or anything else; stratified splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch

from ontheflyspec import checks, rng
from ontheflyspec.data.ragged import Ragged, are_lists
from ontheflyspec.data.table import Ints, PackedStrings
from ontheflyspec.labels import ClipLabels, Extent, FrameLabels, Segments, Target, TimeMap, check_count

Targets = Any
"""Either int64 or float64 ``[clips]`` or ``[clips, K]``, `PackedStrings` (texts), `Ragged` or a list."""


Adopted = tuple[Targets, list[str] | None]
"""Targets as they are kept, and the names of the classes in the order of their numbers if they are names."""


def adopt(
    where: str, values: Any, count: int, classes: Sequence[str] | None = None, separator: str | None = None
) -> Adopted:
    """Returns targets as they are kept; packed strings are texts.

    Args:
        where: name for errors.
        values: one a clip, or None.
        count: of clips.
        classes: names in the order of their numbers, None for those that occur, sorted.
        separator: between the names of several classes of a clip, None where each is one name.
    """
    if separator is not None:
        values = _split(where, values, separator)
    if _are_lists_of_names(values):
        return _multi_hot(where, values, count, classes)
    if classes is not None:
        return _numbered(where, values, count, checks.sequence(where, "classes", classes))
    if values is None:
        return None, None
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    if isinstance(values, FrameLabels | Segments | ClipLabels):
        check_count(values, count)
        return [_single(values, place) for place in range(count)], None
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        got = type(values).__name__
        raise TypeError(checks.message(where, "targets as a sequence", got, "Pass a list, an array or None."))
    if len(values) != count:
        got = f"{len(values)} for {count} clips"
        raise ValueError(checks.message(where, "one target a clip", got, "Pass lists of equal length."))
    if isinstance(values, PackedStrings):
        return values, None
    if count and all(isinstance(value, str) for value in values):
        return _numbered(where, values, count, sorted({str(value) for value in values}))
    if not isinstance(values, np.ndarray) and are_lists(values) and any(map(len, values)):
        lists = Ragged(values)
        equal = len({len(value) for value in values}) == 1
        return np.array(list(lists)) if equal else lists, None
    plain = isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iubf"
    kinds = {_kind(values[0])} if plain else set(map(_kind, values))
    if kinds == {"i"}:
        return np.asarray(values, dtype=np.int64), None
    if kinds <= {"i", "f"}:
        return np.asarray(values, dtype=np.float64), None
    return list(values), None


def texts(where: str, values: Any) -> PackedStrings:
    """Returns targets that are to stay texts, or raises unless they are strings."""
    given = checks.sequence(where, "targets", values)
    odd = [value for value in given if not isinstance(value, str)]
    if odd:
        raise TypeError(checks.message(where, "strings with text=True", repr(odd[0]), "Leave text out."))
    return PackedStrings(given)


def _numbered(where: str, values: Any, count: int, classes: list[str]) -> Adopted:
    """Returns the numbers of names of classes, or raises for what is no name of one."""
    if len(set(classes)) != len(classes) or not all(isinstance(name, str) for name in classes):
        raise ValueError(checks.message(where, "classes as different names", classes, "Pass names, each once."))
    if values is None or len(values) != count:
        got = "none" if values is None else f"{len(values)} for {count} clips"
        raise ValueError(checks.message(where, "one target a clip, as classes are given", got, "Give targets."))
    codes = {name: code for code, name in enumerate(classes)}
    for value in values:
        if not isinstance(value, str) or value not in codes:
            rule = (
                f"names of the {len(classes)} classes ({', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''})"
            )
            remedy = "Add the name to classes, or leave these clips out."
            raise ValueError(checks.message(where, rule, repr(value), remedy))
    return np.array([codes[value] for value in values], np.int64), classes


def _split(where: str, values: Any, separator: Any) -> list[list[str]]:
    """Returns lists of names from names in one string each."""
    if not isinstance(separator, str) or not separator:
        raise ValueError(checks.message(where, "separator as text", repr(separator), 'Pass one such as ";".'))
    given = [] if values is None else list(values)
    if not given or not all(isinstance(value, str) for value in given):
        rule, got = "names in strings with separator", "other targets" if given else "none"
        raise ValueError(checks.message(where, rule, got, "Leave separator out."))
    return [[name.strip() for name in value.split(separator) if name.strip()] for value in given]


def _are_lists_of_names(values: Any) -> bool:
    """Returns whether targets are lists of names of classes, at least one of them not empty."""
    kinds: tuple[type[Any], ...] = (list, tuple, set, frozenset)
    if not isinstance(values, Sequence) or isinstance(values, str | FrameLabels | Segments | ClipLabels):
        return False
    names = all(isinstance(value, kinds) and all(isinstance(name, str) for name in value) for value in values)
    return names and any(map(len, values))


def _multi_hot(where: str, values: Sequence[Any], count: int, classes: Sequence[str] | None) -> Adopted:
    """Returns float32 ``[clips, K]``, 1 for each class of a clip, and the names of the classes."""
    if len(values) != count:
        got = f"{len(values)} for {count} clips"
        raise ValueError(checks.message(where, "one target a clip", got, "Pass lists of equal length."))
    names = [name for value in values for name in value]
    codes, known = _numbered(where, names, len(names), sorted(set(names)) if classes is None else list(classes))
    rows = np.repeat(np.arange(count), [len(value) for value in values])
    made = np.zeros((count, len(known or ())), np.float32)
    made[rows, codes] = 1
    return made, known


def _single(values: Target, place: int) -> Target:
    """Returns the labels of one clip, those of frames at their own length."""
    one = values.take([place])
    return one._replace(data=one.data[..., : int(one.lengths)]) if isinstance(one, FrameLabels) else one


def cut(target: FrameLabels | Segments, start: int, length: int, whole: int, rate: float) -> Target:
    """Returns the labels of a part of a clip.

    Args:
        target: labels of one clip.
        start: first sample of the part.
        length: its samples, which may reach beyond the clip.
        whole: samples of the clip.
        rate: samples per second.
    """
    check_count(target, 1)
    if (start, length) == (0, whole):
        return target
    end = min(start + length, whole) / rate
    table = [torch.tensor([[value]], dtype=torch.float64, device="cpu") for value in (start / rate, end, 0.0, 1.0)]
    before, after = (Extent(torch.tensor([size], device="cpu"), rate, size) for size in (whole, length))
    return target.follow(TimeMap(*table), before, after)


def choose(targets: Targets, indices: Ints) -> Targets:
    """Returns the targets at these places."""
    if targets is None:
        return None
    if isinstance(targets, PackedStrings | Ragged):
        return targets.take(indices)
    return targets[indices] if isinstance(targets, np.ndarray) else [targets[index] for index in indices.tolist()]


def joined(where: str, sets: Sequence[Adopted]) -> Adopted:
    """Returns the targets of several data sets as one, and the names of all their classes."""
    if all(targets is None for targets, _ in sets):
        return None, None
    kinds = {_sort(*one) for one in sets}
    if len(kinds) > 1:
        remedy = "Give all sets targets of one kind, or none."
        raise ValueError(checks.message(where, "targets of one kind", " and ".join(sorted(kinds)), remedy))
    if kinds == {"lists of classes"}:
        classes = sorted({name for _, names in sets for name in names or ()})
        made = np.zeros((sum(len(targets) for targets, _ in sets), len(classes)), np.float32)
        ends = np.cumsum([0, *(len(targets) for targets, _ in sets)])
        for (targets, names), start, end in zip(sets, ends, ends[1:], strict=False):
            made[start:end, [classes.index(name) for name in names or ()]] = targets
        return made, classes
    if kinds == {"classes"}:
        classes = sorted({name for _, names in sets for name in names or ()})
        codes = {name: code for code, name in enumerate(classes)}
        tables = [np.array([codes[name] for name in names or ()], np.int64) for _, names in sets]
        return np.concatenate([table[targets] for table, (targets, _) in zip(tables, sets, strict=True)]), classes
    if kinds == {"numbers"}:
        return np.concatenate([targets for targets, _ in sets]), None
    listed = [target for targets, _ in sets for target in targets]
    if kinds == {"lists of numbers"}:
        return adopt(where, listed, len(listed))
    return PackedStrings(listed) if kinds == {"texts"} else listed, None


def _sort(targets: Targets, classes: list[str] | None) -> str:
    """Returns the kind of the targets of a data set, in a word."""
    if classes is not None:
        return "classes" if targets.ndim == 1 else "lists of classes"
    if targets is None:
        return "none"
    if isinstance(targets, PackedStrings):
        return "texts"
    if isinstance(targets, Ragged):
        return "lists of numbers"
    if isinstance(targets, np.ndarray):
        return "numbers" if targets.ndim == 1 else "lists of numbers"
    return "others"


def value(targets: Targets, index: int) -> Any:
    """Returns one target, a number as Python's own, several classes as a tensor."""
    if not isinstance(targets, np.ndarray):
        return targets[index]
    if targets.ndim == 1:
        return targets.item(index)
    row = torch.from_numpy(targets[index])
    return row.float() if row.is_floating_point() else row


def divide(where: str, clips: Ints, targets: Targets, fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Returns the places of two groups, the first with ``fraction`` of the clips of each class.

    A class of two or more clips is in both, a single one in the first. Which clips go where depends on the seed and
    on the clips' own numbers alone.
    """
    drawn = rng.uniform(torch.from_numpy(clips), rng.fold(int.from_bytes(b"split", "big"), seed), 1)[:, 0].numpy()
    labels = np.zeros(len(clips), np.int64)
    if isinstance(targets, np.ndarray) and targets.dtype == np.int64:
        labels = np.unique(targets, return_inverse=True)[1]
    order = np.lexsort((drawn, labels))
    first = np.zeros(len(clips), bool)
    for group in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        wanted = math.floor(fraction * len(group) + 0.5)
        first[group[: max(1, min(wanted, len(group) - 1))]] = True
    if len(clips) > 1 and first.all():
        got = f"{len(np.unique(labels))} classes for {len(clips)} clips"
        raise ValueError(checks.message(where, "a class of two clips or more", got, "Pass stratify=False."))
    return np.flatnonzero(first), np.flatnonzero(~first)


def _kind(item: Any) -> str:
    """Returns "i" for a whole number, "f" for another, "o" for anything else."""
    number = isinstance(item, Real | np.generic) or getattr(item, "shape", None) == ()
    kind = np.asarray(item).dtype.kind if number else "O"
    return {"i": "i", "u": "i", "b": "i", "f": "f"}.get(kind, "o")
