"""torch.compile takes every transform whole, with both backends; torch.export takes a front end."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from torch import Tensor, nn

import laws
import ontheflyspec as ofs
from case import MEL, RATE, Case, build, needs_compiler
from laws import Example
from ontheflyspec.batch import PaddedBatch
from registry import RANDOM, TRANSFORMS

pytestmark = needs_compiler

FIRST = {case.name.split("-")[0]: case for case in reversed(TRANSFORMS)}
if torch.__version__ < (2, 10):
    del FIRST["TrimSilence"]  # whose sizes that compiler cannot read
"""One case of each class."""
OTHERS = """
STFT-phase-fft STFT-uncentred-conv STFT-complex-trainable STFT-log MelSpectrogram-conv MelSpectrogram-power-3
AmplitudeToDB-max-top Normalize-feature Normalize-global Compose-log-normalized CQT-direct HPSS-masks PCEN-first
PCEN-trainable Chroma-cqt Chroma-cens Tonnetz-cqt CFP-logarithm Gammatonegram-impulse SpectralDescriptors-uncentred
LearnableFilterbank-sinc InverseSTFT-uncentred
"""
"""Cases that take another way through the code."""
TENSORS = """
STFT-complex-fft MelSpectrogram-fft CQT-octaves InverseSTFT-centred Resample-8000-4000 HPSS-harmonic PCEN-root Deltas
AmplitudeToDB-power Normalize-item Compose-log-mel LearnableFilterbank-leaf
"""
"""Cases that are compiled for Tensors, too: without lengths they differ by the operations at their ends."""
GRAPHS = [case for case in TRANSFORMS if case in FIRST.values() or case.name in OTHERS.split()]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


def test_names_of_cases() -> None:
    assert {*OTHERS.split(), *TENSORS.split()} <= {case.name for case in TRANSFORMS}


@pytest.mark.parametrize("case", GRAPHS, ids=lambda case: case.name)
def test_whole_graph(case: Case) -> None:
    """A PaddedBatch in one graph equals eager; for one case of each class it is lowered, and for some a Tensor too."""
    module, first = build(case), case in FIRST.values()
    if case.name in TENSORS.split():
        full = Example((128, 128)).batch(case)
        laws.close(case, torch.compile(module, fullgraph=True, backend="eager")(full.data), module(full.data), full)
    batch = Example((150, 33, 0)).batch(case)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager" if first else "eager")
    out, expected = compiled(batch), module(batch)
    assert torch.equal(out.lengths, expected.lengths)
    assert torch.equal(out.ids, expected.ids)
    assert out.rate == expected.rate
    for place, steps in enumerate(expected.lengths.tolist()):
        one, other = out.data[place : place + 1], expected.data[place : place + 1]
        assert not one[..., steps:].any()
        laws.close(case, one[..., :steps], other[..., :steps], laws.only(batch, place))


ANY_LENGTH = [*FIRST.values(), *(case for case in GRAPHS if case.name in ("Gammatonegram-impulse", "CQT-direct"))]


class Exported(nn.Module):
    """A front end as export and ONNX take it: data and lengths in, data and lengths out."""

    def __init__(self, front_end: nn.Module, rate: float | None = RATE) -> None:
        super().__init__()
        self.front_end, self.rate = front_end, rate

    def forward(self, data: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        out = self.front_end(PaddedBatch(data, lengths, self.rate))
        return out.data, out.lengths


@pytest.mark.parametrize("case", ANY_LENGTH, ids=lambda case: case.name)
def test_any_length(case: Case) -> None:
    """One whole graph serves Tensors of any length, and one exported program batches of any size and length."""
    module, first = build(case), Example((200, 170, 90)).batch(case)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    front_end, free = Exported(module, first.rate), torch.export.Dim.DYNAMIC
    shapes = ({0: free, first.data.dim() - 1: free}, {0: free})
    exported = torch.export.export(front_end, (first.data, first.lengths), dynamic_shapes=shapes, strict=False).module()
    for lengths in ((160, 77), (201,), (97, 80, 0, 3), (333, 33, 64)):
        given = Example(lengths).batch(case)
        laws.close(case, compiled(given.data), module(given.data), given)
        (data, steps), expected = exported(given.data, given.lengths), module(given)
        assert torch.equal(steps, expected.lengths)
        laws.close(case, data, expected.data, given)


LEFT_OUT = """
PitchShift TimeStretch Speed
Compose OneOf SomeOf RandomOrder Sometimes HighPass BandPass BandStop PeakingEQ HighShelf
"""
"""Steps whose draws decide sizes of filters and tables, where graphs break; chains, which tests of their own compile,
and filters that differ from others by their formulas alone."""
FIRST_RANDOM = {case.name.split("-")[0]: case for case in reversed(RANDOM)}
FIRST_RANDOM = {name: case for name, case in FIRST_RANDOM.items() if name not in LEFT_OUT.split()}


@pytest.mark.parametrize("case", FIRST_RANDOM.values(), ids=lambda case: case.name)
def test_random_steps_of_any_length(case: Case) -> None:
    """One whole graph draws what the step draws, for batches of any size and length."""
    module = build(case)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    for lengths in ((150, 33, 0), (200, 77)):
        batch = Example(lengths).batch(case)
        out, expected = compiled(batch), module(batch)
        assert torch.equal(out.lengths, expected.lengths)
        torch.testing.assert_close(out.data, expected.data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["fft", "conv"])
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler here")
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex:UserWarning")
def test_default_compiler(backend: str) -> None:
    chain = ofs.Compose([ofs.MelSpectrogram(**MEL, backend=backend), ofs.AmplitudeToDB(), ofs.Normalize()])
    case = Case("chain", lambda: chain)
    batch = Example((150, 33, 90)).batch(case)
    out, expected = torch.compile(chain, fullgraph=True)(batch), chain(batch)
    assert torch.equal(out.lengths, expected.lengths)
    assert (out.data - expected.data).abs().max() <= 1e-4 * expected.data.abs().max()


@pytest.mark.parametrize(("backend", "strict"), [("fft", False), ("conv", True)], ids=["traced", "strict"])
def test_export(backend: str, strict: bool) -> None:
    """Any number of items and samples, from one exported program."""
    mel = ofs.MelSpectrogram(**MEL, backend=backend)
    front_end = Exported(ofs.Compose([mel, ofs.AmplitudeToDB(ref="max", top_db=60.0)]))
    case = Case("export", lambda: front_end)
    first = Example((150, 33, 90)).batch(case)
    batch, time = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("time", min=64, max=1_000_000)
    shapes = ({0: batch, 1: time}, {0: batch})
    program = torch.export.export(front_end, (first.data, first.lengths), dynamic_shapes=shapes, strict=strict)
    for lengths in ((150, 33, 90), (400, 1), (64, 70, 80, 0, 1_000)):
        given = Example(lengths).batch(case)
        data, steps = program.module()(given.data, given.lengths)
        expected, known = front_end(given.data, given.lengths)
        assert torch.equal(steps, known)
        assert data.shape == expected.shape
        assert math.isclose(0.0, float((data - expected).abs().max()), abs_tol=0.01)
