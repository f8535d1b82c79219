"""Every kernel for CUDA in cases of the registry: as its reference, alone as in a batch, twice the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import laws
import pretend
from case import Case, build
from laws import Example
from ontheflyspec import op as module
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.op import OPS, Op
from programs import interpret, kernels_of_cuda, needs_triton, only_count
from registry import CASES

KERNELS = [op for op in OPS if "cuda" in op.kernels]
MOST = 3
"""Cases that are compared for one kernel."""
SPEC = Example((160, 0, 1, 15, 128), channels=2, spare=3)


def there(case: Case, batch: PaddedBatch, launch: Any) -> PaddedBatch:
    """Returns what the pretend accelerator makes with CUDA's kernels, or without if nothing is to launch them."""
    step, sent = pretend.send(copy.deepcopy(build(case))), batch._replace(data=pretend.send(batch.data))
    with torch.no_grad(), pretend.session():
        if launch is None:
            return pretend.fetch(step(sent))
        with kernels_of_cuda(launch):
            return pretend.fetch(step(sent))


@pytest.fixture(scope="module")
def users() -> dict[str, list[Case]]:
    """The cases that use each kernel, by operation."""
    used: dict[str, list[Case]] = {}
    chosen, now = module.chosen, list[Case]()

    def watching(op: Op, *given: Any) -> str | None:
        backend = chosen(op, *given)
        if backend == "lazy" and now[-1] not in used.setdefault(op.name, []):
            used[op.name].append(now[-1])
        return backend

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "chosen", watching)
        for case in CASES:
            now.append(case)
            there(case, SPEC.batch(case), only_count)
    return used


@needs_triton
@pytest.mark.parametrize("op", KERNELS, ids=lambda op: op.name)
def test_a_kernel_agrees_and_keeps_the_laws(op: Op, users: dict[str, list[Case]]) -> None:
    cases = users.get(op.name, [])
    assert cases, "no case of the registry uses this kernel"
    for case in cases[:: max(len(cases) // MOST, 1)][:MOST]:
        batch = SPEC.batch(case)
        found, wanted = there(case, batch, interpret), there(case, batch, None)
        assert torch.equal(found.lengths, wanted.lengths)
        assert torch.equal(found.data, there(case, batch, interpret).data)
        for place, steps in enumerate(found.lengths.tolist()):
            one, other = (out.data[place : place + 1, ..., :steps] for out in (found, wanted))
            assert not found.data[place, ..., steps:].any()
            laws.close(case, one, other, laws.only(batch, place))
        single = there(case, laws.only(batch, 4), interpret)
        steps = int(single.lengths[0])
        alone, together = single.data[..., :steps], found.data[4:5, ..., :steps]
        laws.close(case, together, alone, laws.only(batch, 4))
