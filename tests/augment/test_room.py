"""Rooms: convolution against scipy, tails, delay and level; reverberation times by Schroeder's integration."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
from scipy import signal, stats

import laws
import ontheflyspec as ofs
import pretend
from case import Case, needs_compiler
from families.noise import bank
from laws import Example
from ontheflyspec.augment import ApplyImpulseResponse, SimulateRoom
from ontheflyspec.functional import rooms
from ontheflyspec.functional.convolution import convolve

RATE = 8_000
SIZES = (1, 2, 30, 700, 4_097, 20_000)
BOTH = pytest.mark.parametrize("requires_grad", [False, True])
RINGING = Case("tail", functools.partial(ApplyImpulseResponse, bank(1, 7, 300, 5_000), tail=True, p=0.8), random=True)


def decaying(channels: int | None = None) -> ofs.WaveformBank:
    """Responses of 1 to 9 000 samples, each with its peak at another place."""
    draws = np.random.default_rng(1)
    waves = []
    for size, peak in ((1, 0), (40, 39), (900, 25), (5_000, 1_200), (9_000, 0)):
        wave = 0.3 * draws.uniform(-1, 1, (channels or 1, size)) * np.exp(-np.arange(size) / 400)
        wave[..., peak] = 1.0
        waves.append(wave if channels else wave[0])
    return ofs.WaveformBank(waves, rate=RATE)


def speech(channels: int | None = None) -> tuple[list[np.ndarray], Any]:
    """Returns waves 10 dB apart and their batch, NaN in the padding."""
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((*lead, size)) * 10 ** (-place / 2) for place, size in enumerate(SIZES)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(len(SIZES)) * 31)
    mask = batch.mask().unflatten(0, (len(SIZES), *[1] * len(lead)))
    return waves, batch._replace(data=torch.where(mask, batch.data, float("nan")))


@BOTH
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("tail", [False, True])
def test_against_scipy(channels: int | None, many: bool, tail: bool, requires_grad: bool) -> None:
    """Each item alone, its response of energy 1 with the peak at time 0, cut at its end or with its own tail."""
    waves, batch = speech(channels)
    recorded = decaying(channels if many else None)
    seen = set()
    for seed in range(4):
        step = ApplyImpulseResponse(recorded, tail=tail, seed=seed, p=0.8)
        data = batch.data.clone().requires_grad_(requires_grad)
        out = step(batch._replace(data=data))
        table = step.draw(batch.ids)
        assert torch.equal(step.output_lengths(batch.lengths, table), out.lengths)
        assert out.data.shape[-1] == out.lengths.max()
        rows = zip(waves, out.unpad(), table["file"].tolist(), table["active"].tolist(), strict=True)
        for wave, found, file, active in rows:
            response = np.atleast_2d(recorded[file].double().numpy())
            response = response / np.sqrt((response**2).sum(1).mean())
            peak = int(np.abs(response).max(0).argmax())
            whole = np.stack(
                [
                    signal.fftconvolve(one, response[place % len(response)])[peak:]
                    for place, one in enumerate(np.atleast_2d(wave))
                ]
            )
            expected = whole if tail else whole[:, : wave.shape[-1]]
            expected = expected if active else np.atleast_2d(wave)
            found = np.atleast_2d(found.detach().numpy())
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
            seen.add(file)
    assert seen == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("size", [1, 2, 700, 5_000, 30_000])
@pytest.mark.parametrize("taps", [1, 2, 900, 1_024, 1_025, 3_000, 4_096, 8_192, 9_000, 20_000])
def test_convolution_of_any_sizes(size: int, taps: int) -> None:
    draws = np.random.default_rng(size + taps)
    wave, response = draws.standard_normal(size), draws.standard_normal(taps)
    full = signal.fftconvolve(wave, response)
    for first, count in ((0, size), (0, size + taps - 1), (taps // 2, size), (taps - 1, size + 3), (0, 1)):
        expected = np.pad(full, (0, size + taps + 3))[first : first + count]
        found = convolve(torch.from_numpy(wave), torch.from_numpy(response), first, count)
        np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(full).max())


@BOTH
def test_level_is_kept(requires_grad: bool) -> None:
    """White noise has the power that it had, whatever the response; recordings that are soft count as much as loud."""
    data = torch.randn(4, 100_000, generator=torch.Generator().manual_seed(1)).requires_grad_(requires_grad)
    batch = ofs.PaddedBatch(data, torch.full((4,), 100_000), float(RATE), torch.arange(4))
    for step in (
        ApplyImpulseResponse(ofs.WaveformBank([1e-3 * wave for wave in decaying()], rate=RATE)),
        SimulateRoom(),
    ):
        power = step(batch).data.square().mean(1)
        assert (power - 1).abs().max() < 0.05


def test_delay_is_taken_out() -> None:
    """A click stays where it is, though the response's direct path is late."""
    click = torch.zeros(2_000)
    click[700] = 1.0
    late = 0.02 * torch.randn(1_500, generator=torch.Generator().manual_seed(2))
    late[400] = 1.0
    out = ApplyImpulseResponse(ofs.WaveformBank([late], rate=RATE))(click)
    assert int(out.abs().argmax()) == 700
    assert out[650:690].abs().sum() > 0


def test_one_sample_is_the_identity() -> None:
    """A response of one sample, whatever its level; of two channels, their balance stays."""
    _, batch = speech()
    out = ApplyImpulseResponse(ofs.WaveformBank([torch.tensor([0.01])], rate=RATE))(batch)
    for one, other in zip(out.unpad(), batch.unpad(), strict=True):
        assert torch.allclose(one, other, atol=1e-6 * float(other.abs().max()))
    wave = torch.ones(2, 5)
    panned = ApplyImpulseResponse(ofs.WaveformBank([torch.tensor([[3.0], [1.0]])], rate=RATE))(wave[None])[0]
    assert torch.allclose(panned[0], 3 * panned[1])
    assert panned.square().mean() == pytest.approx(1.0)


@pytest.mark.parametrize("law", [laws.alone, laws.padding, laws.gradients, laws.draw, laws.purity, laws.silence])
@pytest.mark.parametrize("spec", [Example((160, 0, 1, 33, 128), spare=3), Example((65, 200), channels=2)])
def test_laws_hold_with_a_tail(law: Any, spec: Example) -> None:
    """All but the law of lengths, which here are drawn."""
    module = RINGING.make()
    law(RINGING, module, spec.batch(RINGING))


def test_laws_of_types_hold_with_a_tail() -> None:
    laws.types(RINGING, RINGING.make(), Example((160, 0, 33)))
    laws.quiet(RINGING.make(), Example((40, 0, 90)).batch(RINGING))


@pytest.mark.parametrize("where", ["host", "device"])
def test_tail_on_a_device(where: str) -> None:
    """Where lengths are not on the host the last axis is a bound."""
    batch = Example((160, 0, 1, 33, 128)).batch(RINGING)
    expected = RINGING.make()(batch)
    sent = batch._replace(data=pretend.send(batch.data))
    if where == "device":
        sent = sent._replace(lengths=pretend.send(batch.lengths))
    module = pretend.send(copy.deepcopy(RINGING.make()))
    with pretend.session():
        out = module(sent)
    assert out.lengths.device == sent.lengths.device
    assert torch.equal(pretend.fetch(out.lengths), expected.lengths)
    data, size = pretend.fetch(out.data), expected.data.shape[-1]
    assert data.shape[-1] == size if where == "host" else data.shape[-1] >= size
    assert not data[..., size:].any()
    assert torch.allclose(data[..., :size], expected.data, atol=1e-5)


def test_lengths_of_tails() -> None:
    """For a table; without one where all responses ring alike; in eval mode nothing rings."""
    step = ApplyImpulseResponse(decaying(), tail=True)
    with pytest.raises(ValueError, match=r"ApplyImpulseResponse: expected the table of a draw.*params=step\.draw"):
        step.output_lengths(torch.tensor([5]))
    table = {"active": [True, False, True, True], "file": [2, 2, 4, 9]}
    assert step.output_lengths(torch.tensor([5, 5, 0, 7]), table).tolist() == [5 + 874, 5, 0, 7 + 8_999]
    assert step.output_lengths(10, table).tolist() == [10 + 874, 10, 10 + 8_999, 10 + 8_999]
    assert step.eval().output_lengths(7) == 7
    alike = ApplyImpulseResponse(ofs.WaveformBank([torch.tensor([0.1, 2.0, 1.0])] * 3, rate=RATE), tail=True)
    assert (alike.output_lengths(7), alike.output_lengths(0)) == (8, 0)
    assert alike.output_lengths(torch.tensor([7, 0])).tolist() == [8, 0]
    assert ApplyImpulseResponse(decaying()).output_lengths(7, table).tolist() == [7] * 4
    assert ApplyImpulseResponse(decaying()).output_lengths(7) == 7


def test_lengths_of_tails_come_from_the_table_of_the_bank() -> None:
    """No sample of a large bank is read for them, in chains neither."""
    step = ApplyImpulseResponse(ofs.WaveformBank([torch.ones(1 + n % 50) for n in range(3_000)], rate=RATE), tail=True)
    assert step.bank.samples.numel() > 70_000
    step.bank.samples = torch.zeros(0)
    files = torch.arange(3_000)
    assert torch.equal(step.output_lengths(9, {"active": files >= 0, "file": files}), 9 + files % 50)
    with pytest.raises(ValueError, match=r"ApplyImpulseResponse: expected the table of a draw"):
        step.output_lengths(9)
    table = {"0": {"active": [True, False], "file": [2_999, 7]}}
    assert ofs.Compose([step]).output_lengths(torch.tensor([5, 6]), table).tolist() == [54, 6]
    with pytest.raises(RuntimeError, match="invalid for input of size 0"):
        step(torch.ones(1, 9))


def test_chains_take_tails() -> None:
    """Items that ring on beside items that do not."""
    step = ApplyImpulseResponse(decaying(), tail=True)
    chain = ofs.OneOf([step, ofs.augment.Gain()], seed=3)
    batch = ofs.pad([torch.randn(500) for _ in range(16)], rate=RATE, ids=torch.arange(16))
    out, table = chain(batch), chain.draw(batch.ids)
    assert torch.equal(out.lengths, chain.output_lengths(batch.lengths, table))
    assert len(set(out.lengths.tolist())) > 2


# Made-up rooms.


def responses(step: SimulateRoom, count: int, seconds: float, rate: int) -> np.ndarray:
    """Returns what clicks become, float64."""
    data = torch.zeros(count, int(seconds * rate), dtype=torch.float64)
    data[:, 0] = 1.0
    batch = ofs.PaddedBatch(data, torch.full((count,), data.shape[1]), float(rate), torch.arange(count) * 7)
    return step(batch).data.numpy()


def measured_rt60(response: np.ndarray, rate: int) -> float:
    """By Schroeder: the slope of the energy left, between -5 and -35 dB, times 60 dB."""
    left = response[::-1].__pow__(2).cumsum()[::-1]
    level = 10 * np.log10(left / left[0] + 1e-30)
    part = np.flatnonzero((level <= -5) & (level >= -35))
    return -60 / (np.polyfit(part / rate, level[part], 1)[0])


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("drr_db", [-6.0, 0.0, 12.0])
def test_reverberation_time_is_the_drawn_one(rate: int, drr_db: float) -> None:
    step = SimulateRoom(drr_db=drr_db)
    drawn = step.draw(torch.arange(20) * 7)["rt60_s"].tolist()
    assert max(drawn) > 3 * min(drawn)
    for response, rt60 in zip(responses(step, 20, 1.0, rate), drawn, strict=True):
        assert measured_rt60(response, rate) == pytest.approx(rt60, rel=0.02)


def test_direct_to_reverberant_ratio_is_the_drawn_one() -> None:
    step = SimulateRoom(drr_db=(-20.0, 30.0))
    drawn = step.draw(torch.arange(30) * 7)["drr_db"].tolist()
    for response, drr_db in zip(responses(step, 30, 1.0, RATE), drawn, strict=True):
        energy = response**2
        assert energy.sum() == pytest.approx(1.0, abs=1e-6)
        assert 10 * np.log10(energy[0] / energy[1:].sum()) == pytest.approx(drr_db, abs=0.01)


def test_reverberation_is_white_and_of_its_own_in_each_room() -> None:
    found = responses(SimulateRoom(rt60_s=0.5, drr_db=0.0), 60, 0.6, RATE)[:, 1:3_001]
    found = found * np.exp(np.arange(3_000) * 3 * np.log(10) / (0.5 * RATE))
    bands = (np.abs(np.fft.rfft(found)) ** 2).mean(0)[1:].reshape(10, 150).mean(1)
    assert bands.max() / bands.min() < 1 + 6 * (2 / (60 * 150)) ** 0.5
    assert np.abs(np.corrcoef(found) - np.eye(60)).max() < 6 / 3_000**0.5
    assert np.abs(found.sum(1)).max() < 6 * np.sqrt((found**2).sum(1).max())


def test_rooms_follow_their_keys() -> None:
    """The same room for every item that gets the same table, whatever stands beside it."""
    step = SimulateRoom()
    batch = ofs.pad([torch.randn(3_000)] * 3, rate=RATE, ids=[4, 5, 4])
    out = step(batch).data
    assert torch.equal(out[0], out[2])
    assert not torch.equal(out[0], out[1])


def test_draws_are_even() -> None:
    table = SimulateRoom(rt60_s=(0.1, 0.8), drr_db=(-6.0, 12.0)).draw(torch.arange(5_000))
    assert stats.kstest(table["rt60_s"].numpy(), stats.uniform(0.1, 0.7).cdf).pvalue > 1e-4
    assert stats.kstest(table["drr_db"].numpy(), stats.uniform(-6.0, 18.0).cdf).pvalue > 1e-4
    files = ApplyImpulseResponse(bank(*range(1, 11))).draw(torch.arange(5_000))["file"]
    assert stats.chisquare(np.bincount(files.numpy(), minlength=10)).pvalue > 1e-4


def test_options_change_the_output() -> None:
    batch = ofs.pad([torch.randn(900), torch.randn(300)], rate=RATE, ids=[1, 2])
    for make, options in (
        (functools.partial(ApplyImpulseResponse, bank=bank(50, 700)), {"bank": bank(50, 700, 90), "tail": True}),
        (SimulateRoom, {"rt60_s": 0.4, "drr_db": 0.0}),
    ):
        base = make()(batch).data
        for name, value in {**options, "p": 0.0, "seed": 5}.items():
            other = make(**{name: value})(batch).data
            assert other.shape != base.shape or (base - other).abs().max() > 1e-3, name


@needs_compiler
def test_compile_whole() -> None:
    batch = ofs.pad([torch.randn(300), torch.randn(90)], rate=RATE, ids=[3, 4])
    step = ofs.Compose([ApplyImpulseResponse(decaying()), SimulateRoom(rt60_s=(0.02, 0.2))])
    torch._dynamo.reset()
    out = torch.compile(step, fullgraph=True, backend="aot_eager")(batch)
    assert torch.allclose(out.data, step(batch).data, atol=1e-5)


def test_node_of_a_compiled_graph() -> None:
    """torch's own check of the operator that stands in for the responses while tracing."""
    args = (torch.zeros(2, 300), torch.tensor([30.5, 20.0]).double(), torch.zeros(2).double())
    keys, active = torch.tensor([1, 2]), torch.tensor([True, False])
    torch.library.opcheck(rooms._traced_responses, (*args, keys, active, 32))


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"SimulateRoom: expected rt60_s to be a finite number between 0\.001 and inf"):
        SimulateRoom(rt60_s=(0.0, 1.0))
    with pytest.raises(ValueError, match=r"SimulateRoom: expected a batch that knows its rate, for a reverberation"):
        SimulateRoom()(torch.ones(9))
    with pytest.raises(TypeError, match=r"ApplyImpulseResponse: expected a WaveformBank, got str\."):
        ApplyImpulseResponse("rooms/")
    with pytest.raises(ValueError, match=r"ApplyImpulseResponse: expected a batch of 8000 Hz, the rate of its bank"):
        ApplyImpulseResponse(bank(9))(ofs.pad([torch.ones(5)], rate=16_000))
