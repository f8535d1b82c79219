"""Operations on padded batches, each a reference and kernels: the one place that chooses among them.

A reference runs on every device, under autograd, compilers and export. A kernel is there for speed alone and gives the
same values for one kind of tensors. Nobody else asks which of them applies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, tensors_in
from ontheflyspec.kernels.rows import Layout, ScratchBuffers, Task, run
from ontheflyspec.labels import TimeMap
from ontheflyspec.torch_internals import transforming
from ontheflyspec.transfer import Placed

PLAIN: set[type] = {Tensor, torch.nn.Parameter}
"""Types of tensors whose memory a kernel may touch; others trace or pretend."""

P = ParamSpec("P")
R = TypeVar("R")


class Op(Generic[P, R]):
    """One operation on padded batches: a reference, and kernels by the kind of tensors that they take.

    A reference for batches takes ``(data, lengths, **options)``, and ``active=`` where an augmentation leaves items
    alone; it returns data that are exactly 0 past each length. Other operations may take any arguments. A kernel for a
    type of device takes what the reference takes. The kernel ``"rows"``, for the CPU, takes the `Layout` of the data,
    their lengths on the host and the options, and returns `Rows`; items that are not active never come to it.

    Args:
        reference: the operation on any device, under autograd, compilers and export.
        mixes_items: whether the result of an item depends on the data of other items.
        on_host: names of options that the reference needs on the host; all others come where the data lie.

    Example:
        >>> import torch
        >>> from ontheflyspec.kernels.rows import Rows
        >>> from ontheflyspec.op import Op
        >>> @Op
        ... def negate(data, lengths):
        ...     return -data
        >>> @negate.kernel("rows")
        ... def negated_rows(like, lengths):
        ...     return Rows(lambda out, data, rows: out.copy_(-data))
        >>> negate(torch.ones(1, 3), torch.tensor([3]))
        tensor([[-1., -1., -1.]])
    """

    def __init__(self, reference: Callable[P, R], *, mixes_items: bool = False, on_host: Collection[str] = ()) -> None:
        self.reference, self.mixes_items, self.on_host = reference, mixes_items, on_host
        self.name, self.__doc__ = reference.__name__, reference.__doc__
        self.kernels: dict[str, Callable[..., Any]] = {}
        OPS.append(self)

    def kernel(self, backend: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Returns a decorator that makes a function the kernel for a type of device, or for ``"rows"``."""

        def add(kernel: Callable[..., Any]) -> Callable[..., Any]:
            self.kernels[backend] = kernel
            return kernel

        return add

    def __call__(self, *args: P.args, **options: P.kwargs) -> R:
        """Does the operation at once, by a kernel where one applies."""
        backend = chosen(self, args, options)
        if backend is None:
            return self.reference(*args, **options)
        made: Any
        if backend == "rows":
            data, lengths = cast("tuple[Tensor, Tensor | None]", args)
            own = {name: value for name, value in options.items() if name != "active"}
            active: Any = options.get("active")
            edits = {0: Edit(self, own, active, lengths, data.shape[-1])}
            made = _by_rows(edits, data, lengths)
        else:
            made = self.kernels[backend](*args, **options)
        result: R = made
        return result

    def __repr__(self) -> str:
        return f"Op({self.name}: {', '.join(['reference', *sorted(self.kernels)])})"


OPS: list[Op[..., Any]] = []
"""All operations, for tests of agreement."""


class Edit(NamedTuple):
    """One operation on one batch, decided but not yet done.

    Args:
        op: the operation.
        options: its options, with values of all items in tensors ``[B, ...]``.
        active: which items are changed, bool ``[B]``; others keep their valid part bit for bit. None for all, where
            the operation takes no ``active``.
        lengths: steps of each result, int64 ``[B]``; None if only the operation can tell: its reference then returns
            data, their lengths and where time went.
        size: steps of the last axis of the result.
        time: tells where the items' time goes, None if all stays in its place.
        hides: whether time is hidden, and stays in its place otherwise.
        once: whether options hold samples of this batch alone, which no graph can be replayed with.
        mixed: partner of each item and the item's own share, where items are mixed.
    """

    op: Op[..., Any]
    options: Mapping[str, Any]
    active: Tensor | None = None
    lengths: Tensor | None = None
    size: int = 0
    time: Callable[[], TimeMap] | None = None
    hides: bool = False
    once: bool = False
    mixed: tuple[Tensor, Tensor] | None = None


Within = Callable[[int], contextlib.AbstractContextManager[Any]]
"""Returns the context of the edit at a place, which may tell in its errors where they come from."""


_NOWHERE = contextlib.nullcontext()


def _nowhere(_: int) -> contextlib.AbstractContextManager[None]:
    return _NOWHERE


def execute(
    edits: Mapping[int, Edit], batch: PaddedBatch, within: Within = _nowhere, placed: Placed | None = None
) -> tuple[PaddedBatch, TimeMap | None]:
    """Returns a batch after some edits, and where time went if the last of them alone can tell.

    Neighbours that have kernels by rows are done together: each group of items goes through all of them on one thread,
    while it is in the cache, with memory for two results.

    Args:
        edits: in their order, by their places; one without lengths can only be the last.
        batch: float data.
        within: the context of each edit.
        placed: what the edits need of the host, where the batch lies; None to send it.
    """
    left, moved = list(edits.items()), None
    there = placed or Placed(batch.data.device, batch.lengths, *map(needed, edits.values()))
    while left:
        (place, edit), count = left[0], 1
        backend = chosen(edit.op, batch.data, batch.lengths, *edit[1:4])
        if backend == "rows":
            while count < len(left) and _may_follow(left[count][1]):
                count += 1
            data: Any = _by_rows(dict(left[:count]), batch.data, batch.lengths, within)
        else:
            do = edit.op.reference if backend is None else edit.op.kernels[backend]
            options = {name: value if name in edit.op.on_host else there(value) for name, value in edit.options.items()}
            if edit.active is not None:
                options["active"] = there(edit.active)
            with within(place):
                data = do(batch.data, there(batch.lengths), **options)
        lengths = left[count - 1][1].lengths
        if lengths is None:
            data, lengths, moved = data
        batch, left = batch._replace(data=data, lengths=lengths), left[count:]
    return batch, moved


def needed(edit: Edit) -> list[Any]:
    """Returns the values on the host that an edit needs where its batch lies."""
    options = [value for name, value in edit.options.items() if name not in edit.op.on_host]
    return [*options, edit.active, edit.lengths]


def chosen(op: Op[..., Any], *given: Any) -> str | None:
    """Returns which kernel of an operation takes what is given, None for its reference: the only place that decides.

    Kernels write into memory of their own, so nothing may ask for gradients, trace or vectorise. On the CPU all tensors
    must lie there; those for other devices may lie on the host in part.
    """
    if not op.kernels or transforming():
        return None
    watched, backend, tensors = torch.is_grad_enabled(), "cpu", tensors_in(*given)
    kinds = {x.device.type for x in tensors}
    if "meta" in kinds and tensors[0].device.type != "meta":
        remedy = 'Make the memory of the module with to_empty(device=...), or build it outside torch.device("meta").'
        raise RuntimeError(checks.message(op.name, "constants with values", "some on the meta device", remedy))
    for x in tensors:
        if type(x) not in PLAIN or (watched and x.requires_grad):
            return None
        if x.device.type != "cpu":
            backend = x.device.type
    if backend == "cpu" and "rows" in op.kernels:
        return "rows"
    return backend if backend in op.kernels else None


def _may_follow(edit: Edit) -> bool:
    """Returns whether an edit can be done by rows right after others, before these are done for all items."""
    return edit.lengths is not None and not edit.op.mixes_items and chosen(edit.op, *edit[1:4]) == "rows"


def _by_rows(edits: Mapping[int, Edit], data: Tensor, lengths: Tensor | None, within: Within = _nowhere) -> Tensor:
    """Returns data after edits that have kernels by rows, exactly 0 past each end."""
    if lengths is None:
        lengths = torch.full((data.shape[0],), data.shape[-1], device="cpu")
    first = sizes = lengths.tolist()
    buffers, tasks = ScratchBuffers(), dict[int, Task]()
    for place, edit in edits.items():
        new = lengths if edit.lengths is None else edit.lengths
        ends = sizes if new is lengths else new.tolist()
        wanted = [True] * len(sizes) if edit.active is None else edit.active.tolist()
        with within(place):
            rows = edit.op.kernels["rows"](Layout(data.shape, data.dtype), lengths, **edit.options)
        out = buffers.after(data, edit.size, rows.like)
        active = [on and n > 0 for on, n in zip(wanted, sizes, strict=True)]
        tasks[place] = Task(rows, data, out, sizes, ends, active, len(tasks) + 1 == len(edits))
        data, lengths, sizes = out, new, ends
    run(tasks, first, within)
    return data
