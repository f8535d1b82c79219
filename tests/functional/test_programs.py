"""Programs for TorchScript: the same bits as the Python they are written in, which agrees with torch's operations."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from case import build
from laws import Example
from ontheflyspec.kernels import compiled
from ontheflyspec.kernels.compiled import PROGRAMS
from ontheflyspec.kernels.cpu import frames, pipeline
from ontheflyspec.op import OPS
from registry import CASES

SIZES = [50, 9, 31]
KINDS = (torch.float32, torch.float64, torch.int16)
SPARE = {"kernels.cpu.frames.power_spectra": lambda made, frames, rows: made[: len(frames)]}
"""What counts of results in memory of which a part may be anything."""


wanted = pytest.mark.skipif(not compiled.WANTED, reason="ONTHEFLYSPEC_COMPILE=0 asks for no programs")


@wanted
def test_they_are_compiled_here():
    """A mistake in a program would leave it as it stands, only slower."""
    assert PROGRAMS
    assert [name for name, program in PROGRAMS.items() if program.fast is None] == []
    assert compiled.summary() == f"{len(PROGRAMS)} of {len(PROGRAMS)} compiled"


def parts(value):
    """Returns all that stands in nested lists and tuples."""
    return [each for part in value for each in parts(part)] if isinstance(value, list | tuple) else [value]


def as_bytes(*values):
    """Returns types and bits of tensors, and the states of generators, anywhere in values."""
    found = [one.get_state() if isinstance(one, Generator) else one for one in parts(values)]
    kept = [one.contiguous().view(-1) for one in found if isinstance(one, Tensor)]
    return [(one.dtype, one.view(torch.uint8).numpy().tobytes()) for one in kept]


class Compared:
    """A program that does its work, and counts where the function as it stands does it otherwise."""

    def __init__(self, name):
        self.name, (self.written, self.fast) = name, PROGRAMS[name]
        self.counts = Counter()

    def __call__(self, *args, **options):
        given = [*args, *options.values()]
        memo = {id(one): one.clone_state() for one in parts(given) if isinstance(one, Generator)}
        others, other_options = copy.deepcopy((args, options), memo)
        made, again = self.fast(*args, **options), self.written(*others, **other_options)
        counts = SPARE.get(self.name, lambda made, *_: made)
        one, other = (
            as_bytes(counts(made, *given), given),
            as_bytes(counts(again, *given), *others, *other_options.values()),
        )
        self.counts["same" if one == other else "other"] += 1
        return made


@pytest.fixture
def one_thread():
    """Lets nobody write into memory that is being compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@wanted
def test_programs_have_the_bits_of_their_text(monkeypatch, one_thread):
    """In all that the steps of the registry do on a CPU; what a program overwrites is compared, too."""
    spies = {name: Compared(name) for name in PROGRAMS}
    for path, module in [*sys.modules.items()]:
        for attribute, value in [*vars(module).items()] if path.startswith("ontheflyspec") else ():
            for spy in spies.values():
                if value is spy.fast:
                    monkeypatch.setattr(module, attribute, spy)
    for op in OPS:
        for backend, kernel in [*op.kernels.items()]:
            for spy in spies.values():
                if kernel is spy.fast:
                    monkeypatch.setitem(op.kernels, backend, spy)
    for place, case in enumerate(CASES):
        batch = Example((900, 0, 1, 300, 40), channels=2, spare=3).batch(case)
        others = (KINDS[0], KINDS[1 + place % 2]) if case.rank == 1 else (KINDS[place % 2],)
        for kind in (torch.complex64,) if case.takes == "complex" else others:
            data = batch.data * 20_000 if kind == torch.int16 else batch.data
            build(case)(batch._replace(data=data.to(kind)))
    assert {name: spy.counts["other"] for name, spy in spies.items() if spy.counts["other"]} == {}
    assert [name for name, spy in spies.items() if not spy.counts["same"]] == [], "programs that no case calls"


LOG_MEL = """
import hashlib, torch, ontheflyspec as ofs
from ontheflyspec.kernels.compiled import PROGRAMS
waves = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (3_000, 1, 900)]
mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=256, hop_length=80, n_mels=20)
made = ofs.Compose([mel, ofs.AmplitudeToDB()])(ofs.pad(waves, rate=8_000)).data
count = sum(program.fast is not None for program in PROGRAMS.values())
print(len(PROGRAMS), count, hashlib.sha256(made.numpy().tobytes()).hexdigest())
"""


@wanted
def test_none_are_compiled_where_nobody_wants_them(capsys):
    """How many programs there should be, how many there are, and a hash of log-mel: here, and in another process."""
    environment = {**os.environ, "ONTHEFLYSPEC_COMPILE": "0"}
    done = subprocess.run([sys.executable, "-c", LOG_MEL], env=environment, capture_output=True, text=True, check=True)
    exec(LOG_MEL, {})
    here, there = capsys.readouterr().out.split(), done.stdout.split()
    assert here[0] == here[1] == there[0] != "0"
    assert there[1] == "0"
    assert here[2] == there[2]


def test_without_torchscript_the_functions_run_as_they_stand(monkeypatch):
    def broken(text):
        raise RuntimeError("gone")

    monkeypatch.setattr(torch.jit, "CompilationUnit", broken)
    monkeypatch.setattr(compiled, "PROGRAMS", {})
    written = PROGRAMS["kernels.cpu.frames.cut_frames"].written
    assert compiled.compiled(frames.extended)(written) is written
    assert compiled.PROGRAMS["kernels.cpu.frames.cut_frames"] == (written, None)


def test_text_that_torchscript_does_not_take_is_left_alone(monkeypatch):
    def strange(x):
        yield x

    monkeypatch.setattr(compiled, "PROGRAMS", {})
    assert compiled.compiled()(strange) is strange


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("mode", ["reflect", "constant"])
def test_cut_frames_are_those_of_the_signal_with_its_surroundings(kind, mode):
    torch.manual_seed(0)
    waves, floats = (torch.randn(3, 50) * 3000).to(kind), torch.float32 if kind == torch.int16 else kind
    window, pieces = torch.rand(16, dtype=floats), [(1, 0, 2), (0, 0, 4), (0, 4, 7), (2, 2, 5)]
    plain = waves.double() / (32768 if kind == torch.int16 else 1)
    wanted = []
    for row, first, count in pieces:
        whole = torch.from_numpy(np.pad(plain[row, : SIZES[row]].numpy(), 8, mode=mode))
        wanted.append(whole.unfold(0, 16, 5)[first : first + count] * window)
    made = pipeline.cut_frames(waves, SIZES, window, 5, 8, mode == "reflect", pieces)
    assert made.dtype == floats
    torch.testing.assert_close(made.double(), torch.cat(wanted).double(), rtol=1e-6, atol=1e-6)


def test_deal_frames_puts_each_stretch_in_its_place():
    features, out = torch.randn(2, 9), torch.full((3, 2, 7), 9.0)
    pipeline.deal_frames(features, out, [4, 0, 6], [(0, 0, 3 + 1), (2, 0, 3), (2, 3, 2)])
    assert torch.equal(out[0], torch.cat([features[:, :4], torch.zeros(2, 3)], 1))
    assert bool((out[1] == 9).all())
    assert torch.equal(out[2], torch.cat([features[:, 4:], torch.full((2, 2), 9.0)], 1))
    pipeline.deal_frames(features, out, [4, 0, 5], [(2, 3, 2)])
    assert torch.equal(out[2, :, 3:], torch.cat([features[:, :2], torch.zeros(2, 2)], 1))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_spectra_and_products(kind):
    torch.manual_seed(0)
    frames, tolerance = torch.randn(5, 16, dtype=kind), {"rtol": 1e-5, "atol": 1e-5}
    energy = pipeline.power_spectra(frames, 8)
    assert energy.shape == (8, 9)
    torch.testing.assert_close(energy[:5], torch.fft.rfft(frames).abs().square(), **tolerance)
    bank = torch.zeros(4, 9, dtype=kind)
    bank[:2, 1:4], bank[2:, 3:9] = torch.rand(2, 3), torch.rand(2, 6)
    made = pipeline.filter_products(energy, bank, [(0, 2, 1, 4), (2, 4, 3, 9)], 5)
    torch.testing.assert_close(made, bank @ energy[:5].t(), **tolerance)
