"""Every kernel gives what the reference of its operation gives: one loop over all operations and their kernels.

What operations are called with comes from the registry: for each kernel some cases that use it run twice, the second
time with the reference in its place.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from case import Case, build
from laws import Example, close, only
from ontheflyspec import op as module
from ontheflyspec.op import OPS, Op
from registry import CASES

TOLERANCE = 3e-5
MOST = 4
"""Cases that are compared for one kernel."""
PAIRS = [
    (op, backend)
    for op in OPS
    if op.reference.__module__.startswith("ontheflyspec")
    for backend in op.kernels
    if backend != "cuda"  # see tests/cuda/test_cases.py
]


def example(case: Case) -> Example:
    """Items of many lengths, in several blocks, with three channels: turns of two are their own inverse."""
    return Example((3_000, 0, 1, 15, 700) if case.takes == "wave" else (300, 0, 1, 15, 40), channels=3, spare=2)


@pytest.fixture(scope="module")
def users() -> dict[tuple[str, str], list[Case]]:
    """The cases that use each kernel, by operation and backend."""
    used: dict[tuple[str, str], list[Case]] = {}
    chosen = module.chosen
    now: list[Case] = []

    def note(name: str, backend: str) -> None:
        known = used.setdefault((name, backend), [])
        if now[-1] not in known:
            known.append(now[-1])

    def watching(op: Op, *given: Any) -> str | None:
        if (backend := chosen(op, *given)) is not None:
            note(op.name, backend)
        return backend

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "chosen", watching)
        for op, backend in PAIRS:
            if backend == "block":
                patch.setitem(op.kernels, "block", noted(op, note))
        for case in CASES:
            now.append(case)
            build(case)(example(case).batch(case))
    return used


def noted(op: Op, note: Any) -> Any:
    """Returns the kernel for blocks of an operation that tells when it has a form for some options."""
    kernel = op.kernels["block"]

    def block(**options: Any) -> Any:
        made = kernel(**options)
        if made is not None:
            note(op.name, "block")
        return made

    return block


@pytest.mark.parametrize(("op", "backend"), PAIRS, ids=[f"{op.name}-{backend}" for op, backend in PAIRS])
def test_a_kernel_agrees_with_its_reference(
    op: Op, backend: str, users: dict[tuple[str, str], list[Case]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = users.get((op.name, backend), [])
    assert cases, "no case of the registry uses this kernel"
    chosen = module.chosen
    for case in cases[:: max(len(cases) // MOST, 1)][:MOST]:
        batch = example(case).batch(case)
        found = build(case)(batch)
        with monkeypatch.context() as patch:
            if backend == "block":
                patch.delitem(op.kernels, "block")
            patch.setattr(module, "chosen", lambda one, *given: None if one is op else chosen(one, *given))
            wanted = build(case)(batch)
        assert torch.equal(found.lengths, wanted.lengths)
        for place, steps in enumerate(found.lengths.tolist()):
            one, other = (out.data[place : place + 1, ..., :steps] for out in (found, wanted))
            close(case, one, other, only(batch, place), TOLERANCE)
