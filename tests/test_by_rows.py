"""Neighbouring steps that a chain does item by item give the bits that they give one after the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
from laws import build
from ontheflyspec import augment, threads
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional import blocks
from registry import CASES

RATE = 8_000.0
LENGTHS = (0, 1, 3_000, 64, 2_100, 999)


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
    """Returns a chain of all kinds of steps that go by rows, and one among them that does not."""
    return ofs.Compose(
        [
            augment.Gain(p=p),
            augment.AddColoredNoise(p=p),
            augment.AddBackgroundNoise(bank_of(), p=p),
            augment.ApplyImpulseResponse(bank_of(), tail=tail, p=p),
            augment.LowPass(cutoff_hz=(200.0, 3_000.0), p=p),
            augment.Fade(p=p),
            augment.TimeShift(shift_s=(-0.1, 0.1), p=p),
            augment.SevenBandEQ(p=p),
            augment.PolarityInversion(p=p),
            augment.Babble(bank_of(), p=p),
            augment.SimulateRoom(p=p),
        ],
        seed=3,
    )


def one_after_the_other(chain: ofs.Compose, batch: PaddedBatch, table: dict[str, Any]) -> PaddedBatch:
    for place, step in enumerate(chain.steps):
        batch = step.apply(batch, table[str(place)])  # type: ignore[operator]
    return batch


@pytest.fixture(params=[1, 2])
def n_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the number of threads, and lets even these small batches be shared out."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "SHARE", 1)
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("n_threads")
@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("channels", [None, 2])
def test_same_bits_as_step_by_step(channels: int | None, tail: bool) -> None:
    chain, batch = chain_of(tail=tail), batch_of(channels)
    given = batch.data.clone()
    for first in range(0, 30, 6):
        batch = batch._replace(ids=torch.arange(first, first + len(LENGTHS)))
        table = chain.sample(batch.ids)  # type: ignore[arg-type]
        wanted, found = one_after_the_other(chain, batch, table), chain.apply(batch, table)
        assert torch.equal(found.data, wanted.data)
        assert torch.equal(found.lengths, wanted.lengths)
    assert torch.equal(batch.data.nan_to_num(9.0), given.nan_to_num(9.0))


def test_steps_really_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads meet once for the steps before the fade, once for those after it, and at least once for it."""
    meetings: list[int] = []
    original = threads.each

    def each(task: Any, count: int, values: int) -> None:
        meetings.append(count)
        original(task, count, values)

    monkeypatch.setattr(threads, "each", each)
    chain, batch = chain_of(), batch_of(None)
    chain(batch)
    together = len(meetings)
    meetings.clear()
    one_after_the_other(chain, batch, chain.sample(batch.ids))  # type: ignore[arg-type]
    assert together <= len(meetings) - 8


@pytest.mark.parametrize("dtype", [torch.int16, torch.float16, torch.float64])
def test_types(dtype: torch.dtype) -> None:
    batch = ofs.pad([(torch.randn(n) * 100).to(dtype) for n in LENGTHS], rate=RATE, ids=range(len(LENGTHS)))
    chain = chain_of()
    table = chain.sample(batch.ids)  # type: ignore[arg-type]
    assert torch.equal(chain.apply(batch, table).data, one_after_the_other(chain, batch, table).data)


def test_results_are_the_callers_own() -> None:
    """What one call returned does not change when the chain is called again."""
    chain = ofs.Compose([augment.Gain(), augment.Gain(), augment.Gain()])
    batch = batch_of(None)
    one = chain(batch).data
    kept = one.clone()
    other = chain(batch._replace(ids=batch.ids + 100)).data  # type: ignore[operator]
    assert torch.equal(one, kept)
    assert not torch.equal(other, kept)


def test_gradients() -> None:
    chain, batch = ofs.Compose([augment.Gain(), augment.LowPass(cutoff_hz=900.0), augment.Gain()]), batch_of(None)
    data = batch.data.nan_to_num(0.0).requires_grad_()
    table = chain.sample(batch.ids)  # type: ignore[arg-type]
    out = chain.apply(batch._replace(data=data), table).data
    assert torch.allclose(out, chain.apply(batch, table).data, atol=1e-6)
    out.square().sum().backward()
    assert data.grad is not None
    assert data.grad.isfinite().all()


def test_errors_name_their_step_and_leave_nothing_behind() -> None:
    bad = augment.AddBackgroundNoise(ofs.WaveformBank([torch.randn(50)], rate=16_000))
    chain, batch = ofs.Compose([augment.Gain(), augment.Gain(), bad]), batch_of(None)
    with pytest.raises(ValueError, match="Compose step 2: AddBackgroundNoise"):
        chain(batch)
    found = augment.Gain(gain_db=20.0)(batch).data
    assert torch.allclose(found[2, :3_000], 10 * batch.data[2, :3_000])


def test_what_goes_by_rows_reads_its_data_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every augmentation that says so makes the same of data that come only after it was called."""
    checked = 0
    for case in CASES:
        module = build(case)
        if not getattr(module, "by_rows", False):
            continue
        checked += 1
        batch = batch_of(None)
        table = module.sample(batch.ids)
        wanted = module.apply(batch, table).data
        late = torch.zeros_like(batch.data)
        with blocks.row_by_row():
            found = module.apply(batch._replace(data=late), table).data
            late.copy_(batch.data)
        assert torch.equal(found, wanted), case.name
    assert checked >= 16


def test_dropped_when_a_step_raises() -> None:
    def broken(data: Tensor) -> None:
        with blocks.row_by_row():
            augment.Gain()(data)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        broken(torch.randn(3, 50))
    assert blocks._THREAD.later is None


class Clipped(augment.Gain):
    """Derived from a step that goes by rows, but reads its result."""

    def change(self, batch: PaddedBatch, params: Any) -> PaddedBatch:
        out = super().change(batch, params)
        return out._replace(data=out.data.clamp(-0.5, 0.5))


def test_derived_steps_see_what_came_before() -> None:
    chain = ofs.Compose([augment.PolarityInversion(), Clipped(gain_db=6.0), augment.PolarityInversion()])
    batch = batch_of(None)
    table = chain.sample(batch.ids)  # type: ignore[arg-type]
    assert torch.equal(chain.apply(batch, table).data, one_after_the_other(chain, batch, table).data)


def test_who_goes_another_way_sees_what_came_before() -> None:
    """A step that cannot go by rows after all, here as its bank asks for gradients, finds its input done."""
    bank = bank_of()
    chain = ofs.Compose([augment.Gain(), augment.Gain(), augment.AddBackgroundNoise(bank), augment.Gain()])
    batch = batch_of(None)
    bank.samples.requires_grad_()
    table = chain.sample(batch.ids)  # type: ignore[arg-type]
    assert torch.equal(chain.apply(batch, table).data, one_after_the_other(chain, batch, table).data)


def test_tables_of_other_batches_are_refused() -> None:
    batch = batch_of(None)
    chain = ofs.Compose([augment.Gain(), augment.PolarityInversion()])
    with pytest.raises(ValueError, match=r"Compose step 0: Gain: expected a table for 6 items, got 2 in active"):
        chain.apply(batch, chain.sample(torch.arange(2)))
