"""Neighbouring augmentations that a chain does item by item give the bits that they give one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
from case import Case, build
from laws import Example
from ontheflyspec import augment
from ontheflyspec.augment.base import Augment, Info, planned
from ontheflyspec.augment.ranges import Params, Range
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.masks import scale_items
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.rows import Layout, Rows
from ontheflyspec.op import Edit, Op
from registry import RANDOM

RATE = 8_000.0
LENGTHS = (0, 1, 3_000, 64, 2_100, 999)
STEPS = [case for case in RANDOM if isinstance(build(case), Augment)]


class Step(Augment):
    """An augmentation that draws nothing and does one operation."""

    def __init__(self, op: Op, **options: Any) -> None:
        super().__init__()
        self.op, self.options = op, options

    def ranges(self) -> dict[str, Range]:
        return {}

    def plan(self, info: Info, params: Params) -> Edit:
        return info.edit(self.op, None, **self.options)


@Op
def halve_and_clip(data: Tensor, lengths: Tensor) -> Tensor:
    """Has no kernel."""
    return scale_items(data, lengths, factors=torch.full((len(data),), 0.5)).clamp(-0.5, 0.5)


@Op
def fail(data: Tensor, lengths: Tensor, *, early: bool) -> Tensor:
    """Has a kernel that raises, when it prepares or when it writes."""
    raise ValueError("no reference")


@fail.kernel("rows")
def fail_rows(like: Layout, lengths: Tensor, *, early: bool) -> Rows:
    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        raise ValueError("no rows")

    if early:
        raise ValueError("no kernel")
    return Rows(write)


def batch_of(channels: int | None, dtype: torch.dtype = torch.float32) -> PaddedBatch:
    torch.manual_seed(1)
    lead = () if channels is None else (channels,)
    waves = [torch.randn(*lead, n, dtype=torch.float64).to(dtype) for n in LENGTHS]
    batch = ofs.pad(waves, rate=RATE, ids=range(len(waves)))
    padding = torch.arange(batch.data.shape[-1]) >= batch.lengths.view(-1, *[1] * (batch.data.dim() - 1))
    return batch._replace(data=batch.data.masked_fill(padding, float("nan")))


def bank_of(channels: int = 1) -> ofs.WaveformBank:
    torch.manual_seed(2)
    return ofs.WaveformBank([torch.randn(channels, n) for n in (400, 9_000, 20)], rate=int(RATE))


def chain_of(p: float = 0.6, *, tail: bool = False) -> ofs.Compose:
    """Returns a chain of many kinds of steps, one among them without a kernel."""
    return ofs.Compose(
        [
            augment.Gain(p=p),
            augment.AddColoredNoise(p=p),
            augment.AddBackgroundNoise(bank_of(), p=p),
            augment.ApplyImpulseResponse(bank_of(), tail=tail, p=p),
            augment.LowPass(cutoff_hz=(200.0, 3_000.0), p=p),
            augment.Fade(p=p),
            Step(halve_and_clip),
            augment.TimeShift(shift_s=(-0.1, 0.1), p=p),
            augment.SevenBandEQ(p=p),
            augment.PolarityInversion(p=p),
            augment.Babble(bank_of(), p=p),
            augment.MixUp(p=p),
            augment.SimulateRoom(p=p),
        ],
        seed=3,
    )


def one_after_the_other(chain: ofs.Compose, batch: PaddedBatch, table: dict[str, Any]) -> PaddedBatch:
    for place, step in enumerate(chain.steps):
        batch = step.replay(batch, table[str(place)])  # type: ignore[operator]
    return batch


def agrees(chain: ofs.Compose, batch: PaddedBatch) -> None:
    table = chain.draw(batch.ids)  # type: ignore[arg-type]
    wanted, found = one_after_the_other(chain, batch, table), chain.replay(batch, table)
    assert torch.equal(found.data, wanted.data)
    assert torch.equal(found.lengths, wanted.lengths)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Sets the number of threads, and lets even these small batches be shared out."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "SHARE", 1)
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@pytest.fixture(params=[1, 2])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with on_threads(request.param):
        yield request.param


@pytest.fixture
def meetings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects how many tasks were shared out each time that threads meet."""
    made: list[int] = []
    original = threads.each

    def each(task: Any, count: int, work: float) -> None:
        made.append(count)
        original(task, count, work)

    monkeypatch.setattr(threads, "each", each)
    return made


@pytest.mark.usefixtures("n_threads")
@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("channels", [None, 2])
def test_same_bits_as_step_by_step(channels: int | None, tail: bool) -> None:
    chain, batch = chain_of(tail=tail), batch_of(channels)
    given = batch.data.clone()
    for first in range(0, 30, 6):
        agrees(chain, batch._replace(ids=torch.arange(first, first + len(LENGTHS))))
    assert torch.equal(batch.data.nan_to_num(9.0), given.nan_to_num(9.0))


@pytest.mark.parametrize("case", STEPS, ids=lambda case: case.name)
@pytest.mark.parametrize(("channels", "count"), [(None, 2), (2, 1)])
def test_every_augmentation_among_neighbours(case: Case, channels: int | None, count: int) -> None:
    """With memory that holds NaN before anything is written to it."""
    batch = Example((900, 0, 1, 15, 300, 700), channels, spare=3).batch(case)
    before, after = augment.Gain(p=0.6), augment.PolarityInversion(p=0.6)
    if case.rank == 2:
        before, after = augment.FrequencyShift(p=0.6, fill="zero"), augment.SpecCutout(p=0.6)
    chain = ofs.Compose([before, build(case), after], seed=4)
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with on_threads(count):
            agrees(chain, batch)
    finally:
        torch.use_deterministic_algorithms(deterministic)


def test_most_augmentations_go_by_rows() -> None:
    """Half of the cases at least, so that the test before is one of rows."""
    by_rows = 0
    for case in STEPS:
        batch, module = Example((900, 15)).batch(case), build(case)
        by_rows += "rows" in planned(module, Info.of(batch, case.name), module.draw(batch.ids)).op.kernels
    assert by_rows > len(STEPS) / 2


def test_threads_meet_once_for_neighbours(meetings: list[int]) -> None:
    """Once for all neighbours that have kernels by rows; where items meet, or there is no kernel, a run ends."""
    steps = [augment.Gain(), augment.AddColoredNoise(), augment.PolarityInversion(), augment.Gain()]
    for others, expected in (([], 1), ([augment.MixUp()], 2), ([augment.MixUp(), augment.CutMix()], 3)):
        meetings.clear()
        ofs.Compose([*steps, *others, *steps])(batch_of(None))
        assert len(meetings) == expected
    meetings.clear()
    Step(halve_and_clip)(batch_of(None))
    alone = len(meetings)
    meetings.clear()
    ofs.Compose([*steps, Step(halve_and_clip), *steps])(batch_of(None))
    assert len(meetings) == alone + 2


def test_steps_really_go_together(meetings: list[int]) -> None:
    chain, batch = chain_of(), batch_of(None)
    chain(batch)
    together = len(meetings)
    meetings.clear()
    one_after_the_other(chain, batch, chain.draw(batch.ids))  # type: ignore[arg-type]
    assert together <= len(meetings) - 8


@pytest.mark.parametrize("dtype", [torch.int16, torch.float16, torch.float64])
def test_types(dtype: torch.dtype) -> None:
    batch = ofs.pad([(torch.randn(n) * 100).to(dtype) for n in LENGTHS], rate=RATE, ids=range(len(LENGTHS)))
    agrees(chain_of(), batch)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_results_are_the_callers_own(count: int, p: float) -> None:
    """What one call returned does not change when the chain is called again, and nothing is written to what came in."""
    chain, batch = ofs.Compose([augment.Gain(p=p) for _ in range(count)]), batch_of(None)
    given = batch.data.clone()
    one = chain(batch).data
    kept = one.clone()
    one_more = chain(batch._replace(ids=batch.ids + 100)).data  # type: ignore[operator]
    assert torch.equal(one, kept)
    assert torch.equal(one_more, kept) == (p == 0)
    assert one.data_ptr() not in (batch.data.data_ptr(), one_more.data_ptr())
    assert torch.equal(batch.data.nan_to_num(9.0), given.nan_to_num(9.0))


def test_gradients() -> None:
    chain, batch = ofs.Compose([augment.Gain(), augment.LowPass(cutoff_hz=900.0), augment.Gain()]), batch_of(None)
    data = batch.data.nan_to_num(0.0).requires_grad_()
    table = chain.draw(batch.ids)  # type: ignore[arg-type]
    out = chain.replay(batch._replace(data=data), table).data
    assert torch.allclose(out, chain.replay(batch, table).data, atol=1e-6)
    out.square().sum().backward()
    assert data.grad is not None
    assert data.grad.isfinite().all()


@pytest.mark.usefixtures("n_threads")
@pytest.mark.parametrize(("early", "said"), [(True, "no kernel"), (False, "no rows")])
def test_errors_name_their_step(early: bool, said: str) -> None:
    """Raised while a kernel prepares or, on whatever thread, writes; and what follows goes on as before."""
    batch, steps = batch_of(None), [augment.Gain(), augment.Gain(), Step(fail, early=early), augment.Gain()]
    with pytest.raises(ValueError, match=rf"^Compose step 2 \(Step\): {said}$"):
        ofs.Compose(steps)(batch)
    with pytest.raises(ValueError, match=rf"^Compose step 1: Compose step 2 \(Step\): {said}$"):
        ofs.Compose([augment.Gain(), ofs.Compose(steps)])(batch)
    with pytest.raises(ValueError, match=rf"^{said}$"):
        Step(fail, early=early)(batch)
    data = batch.data.nan_to_num(0.0).requires_grad_()
    with pytest.raises(ValueError, match=r"^Compose step 2 \(Step\): no reference$"):
        ofs.Compose(steps)(batch._replace(data=data))
    found = augment.Gain(gain_db=20.0)(batch).data
    assert torch.allclose(found[2, :3_000], 10 * batch.data[2, :3_000])


def test_errors_of_plans_name_their_step() -> None:
    bad = augment.AddBackgroundNoise(ofs.WaveformBank([torch.randn(50)], rate=16_000))
    with pytest.raises(ValueError, match=r"^Compose step 2: AddBackgroundNoise"):
        ofs.Compose([augment.Gain(), augment.Gain(), bad])(batch_of(None))


class Clipped(augment.Gain):
    """Derived from a step that goes by rows, with a plan of its own."""

    def plan(self, info: Info, params: Params) -> Edit:
        return super().plan(info, params)._replace(op=scale_and_clip)


@Op
def scale_and_clip(data: Tensor, lengths: Tensor, *, factors: Tensor) -> Tensor:
    return scale_items(data, lengths, factors=factors).clamp(-0.5, 0.5)


def test_derived_steps_see_what_came_before() -> None:
    chain = ofs.Compose([augment.PolarityInversion(), Clipped(gain_db=6.0), augment.PolarityInversion()])
    batch = batch_of(None)
    agrees(chain, batch)
    wanted = (-(10**0.3) * batch.data[2, :3_000]).clamp(-0.5, 0.5)
    assert torch.allclose(chain(batch).data[2, :3_000], -wanted, atol=1e-6)


def test_who_asks_for_gradients_sees_what_came_before() -> None:
    """A step of which an option asks for gradients does not go by rows, nor does what follows it."""
    factors = torch.linspace(0.5, 2.0, len(LENGTHS)).requires_grad_()
    steps = [augment.Gain(), augment.Gain(), Step(scale_items, factors=factors), augment.Gain()]
    chain, batch = ofs.Compose(steps), batch_of(None)
    agrees(chain, batch)
    out = chain(batch).data
    out[:, :999].sum().backward()
    assert factors.grad is not None
    plain = ofs.Compose([*steps[:2], Step(scale_items, factors=torch.ones(len(LENGTHS))), steps[3]])(batch).data
    assert torch.allclose(factors.grad, plain[:, :999].sum(1), rtol=1e-4, atol=1e-4)


def test_a_bank_that_asks_for_gradients_sees_what_came_before() -> None:
    bank = bank_of()
    chain = ofs.Compose([augment.Gain(), augment.Gain(), augment.AddBackgroundNoise(bank), augment.Gain()])
    bank.samples.requires_grad_()
    agrees(chain, batch_of(None))


def test_tables_of_other_batches_are_refused() -> None:
    batch = batch_of(None)
    chain = ofs.Compose([augment.Gain(), augment.PolarityInversion()])
    with pytest.raises(ValueError, match=r"^Compose step 0: Gain: expected a table for 6 items, got 2 in active"):
        chain.replay(batch, chain.draw(torch.arange(2)))
    table = chain.draw(batch.ids)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Compose step 1: PolarityInversion: expected a table with active, got \[\]"):
        chain.replay(batch, {**table, "1": {}})
