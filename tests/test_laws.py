"""The five laws for every case of the registry, over lengths, levels, channels and what stands in the padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import laws
import ontheflyspec as ofs
from case import RATE, Case, build
from laws import Example
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.transforms.base import Transform
from registry import CASES, RANDOM, TRANSFORMS, public_steps

EDGES = [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 127, 128, 160]
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
# What lets items meet on purpose is not the same alone; tests/augment/test_mixing.py has what holds instead.
APART = [case for case in CASES if not (case.random and getattr(build(case), "mixes_items", False))]
apart = pytest.mark.parametrize("case", APART, ids=lambda case: case.name)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    return Example(
        lengths=tuple(draw(st.lists(st.sampled_from(EDGES) | st.integers(0, 300), min_size=1, max_size=4))),
        channels=draw(st.sampled_from([None, 1, 2])),
        levels=tuple(draw(st.permutations([0.0, -60.0, -30.0]))),
        seed=draw(st.integers(0, 1000)),
        spare=draw(st.sampled_from([0, 0, 5])),
    )


# Each law sees some of these in any profile: edges, two channels, clips shorter than a window, nothing at all, and
# every edge there is.
EDGE = Example((160, 0, 1, 33, 128), spare=3)
PAIR = Example((65, 200), channels=2, levels=(-60.0, 0.0))
SHORT = Example((2, 17, 3, 16, 31, 64), levels=(0.0, -60.0))
WIDE = Example((160, 0, 1, 33, 128), channels=2, spare=3)
BRIEF = Example((65, 200, 2, 17, 3), channels=2, levels=(-60.0, 0.0))
NONE = Example((0,))
MANY = Example(tuple(EDGES), spare=1)


def explored(*specs: Example) -> Callable[[Any], Any]:
    """Runs a test on these examples, and where hypothesis draws at random on many others."""

    def wrap(test: Any) -> Any:
        if settings.default.derandomize:  # nothing is drawn: without the books that hypothesis keeps

            def each(case: Case) -> None:
                for spec in specs:
                    test(case, spec)

            each.__doc__ = test.__doc__
            return each
        for spec in specs:
            test = example(spec=spec)(test)
        return given(spec=examples())(test)

    return wrap


@apart
@explored(EDGE, PAIR, SHORT)
def test_alone(case: Case, spec: Example) -> None:
    laws.alone(case, build(case), spec.batch(case))


@apart
def test_alone_in_blocks(case: Case) -> None:
    """Long enough for the CPU path to cut its work into blocks."""
    spec = Example((70_000, 700, 40_000) if case.rank == 1 else (5_000, 700, 1_100))
    laws.alone(case, build(case), spec.batch(case))


@every
@explored(EDGE, PAIR, SHORT)
def test_padding(case: Case, spec: Example) -> None:
    laws.padding(case, build(case), spec.batch(case))


@every
@explored(EDGE, PAIR)
def test_gradients(case: Case, spec: Example) -> None:
    laws.gradients(case, build(case), spec.batch(case))


@every
def test_gradients_of_faint_sounds(case: Case) -> None:
    laws.faint_gradients(case, build(case), Example((160, 90, 1)).batch(case))


@every
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch compiles its own formulas with it
def test_forward_mode(case: Case) -> None:
    laws.forward_mode(case, build(case), Example((160, 33)).batch(case))


@every
@explored(MANY, PAIR, NONE)
def test_lengths(case: Case, spec: Example) -> None:
    laws.lengths(case, build(case), spec.batch(case))


@every
def test_axes(case: Case) -> None:
    """Bands and frames are where ``frequencies`` and ``frame_times`` say, and the rate is that of the frames."""
    module, batch = build(case), Example((200, 70)).batch(case)
    out = module(batch)
    if hasattr(module, "n_features"):
        assert out.data.shape[-2] == module.n_features
    elif case.takes == "wave":
        assert out.data.dim() == batch.data.dim(), "features of a number that is not told"
    if isinstance(module, Transform) and out.data.dim() > 2:
        assert out.data.shape[-2] == module.output_features(batch.data.shape[-2])
    if hasattr(module, "frequencies"):
        hertz = module.frequencies
        assert hertz.dtype == torch.float64
        assert hertz.shape == (out.data.shape[-2],)
        assert (hertz.diff() > 0).all()
        assert 0 <= hertz[0] < hertz[-1] <= RATE / 2
    if hasattr(module, "frame_times") and (hasattr(module, "n_features") or not isinstance(module, ofs.Compose)):
        times = module.frame_times(out.data.shape[-1])
        assert times.dtype == torch.float64
        assert torch.allclose(times.diff(), torch.full_like(times[1:], 1 / out.rate))
        assert times[-1] <= 200 / RATE
    if (
        case.lengths == "formula"
        and case.steps(1) != case.steps(9_000)
        and (case.rank == 2 or not hasattr(module, "frequencies"))
    ):
        old, new = case.steps(80_000), 80_000
        assert out.rate == pytest.approx(batch.rate * old / new, rel=1e-3)


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: case.name)
@explored(EDGE, PAIR)
def test_draw(case: Case, spec: Example) -> None:
    laws.draw(case, build(case), spec.batch(case))


@pytest.mark.parametrize("case", [case for case in RANDOM if not case.constant], ids=lambda case: case.name)
def test_variety(case: Case) -> None:
    laws.variety(case, build(case))


@every
def test_purity(case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    laws.purity(case, build(case), EDGE.batch(case))
    assert capfd.readouterr() == ("", ""), "written past Python's own streams"


@pytest.mark.parametrize("case", RANDOM, ids=lambda case: case.name)
def test_eval_is_plain(case: Case) -> None:
    laws.quiet(build(case), Example((40, 0, 90)).batch(case))


@every
def test_layouts(case: Case) -> None:
    laws.layouts(case, build(case), WIDE.batch(case))


@every
def test_types(case: Case) -> None:
    laws.types(case, build(case), WIDE)


@every
@pytest.mark.parametrize("spec", [EDGE, BRIEF], ids=["edge", "brief"])
def test_silence(case: Case, spec: Example) -> None:
    laws.silence(case, build(case), spec.batch(case))


@pytest.mark.parametrize("case", [case for case in CASES if case.smooth], ids=lambda case: case.name)
def test_gradcheck(case: Case) -> None:
    module = build(case)
    spec = Example((90, 9) if case.rank == 1 else (7, 3), seed=1, levels=(0.0, -6.0))
    batch = spec.batch(case, torch.float64)
    if case.takes == "power":
        batch = batch._replace(data=batch.data + 0.05 * laws.valid(batch))
    names = [name for name, _ in module.named_parameters()]
    weights = [value.detach().double().requires_grad_() for _, value in module.named_parameters()]

    def call(data: Tensor, *values: Tensor) -> Tensor:
        held = dict(zip(names, values, strict=True))
        out: Tensor = torch.func.functional_call(module, held, (batch._replace(data=data),)).data
        return out

    assert torch.autograd.gradcheck(call, (batch.data.requires_grad_(), *weights), fast_mode=True, atol=1e-4)


def test_registry_is_complete() -> None:
    covered = {type(build(case)) for case in CASES}
    assert public_steps() - covered == set(), "public classes without a case in tests/registry.py"
    assert len({case.name for case in CASES}) == len(CASES)


# That the laws find what breaks them: each of these wrong steps must fail the law it breaks.


class Wrong(ofs.Log):
    """A step that lies in one way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.calls = 0

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        if self.way == "batch peak":
            return data / data.abs().amax().clamp(min=1e-3)
        if self.way == "reads padding":
            return data - data.mean(-1, keepdim=True) * (lengths is not None)
        if self.way == "marks nothing":
            return data + 1.0
        if self.way == "writes":
            return data.mul_(0.5)
        if self.way == "prints":
            print("working")
        if self.way == "rolls dice":
            return data * torch.rand(())
        if self.way == "keeps state":
            self.calls += 1
            return data * self.calls
        if self.way == "root":
            return data.abs().sqrt()
        if self.way == "drops a frame":
            return data[..., 1:]
        return data.float()


@pytest.mark.parametrize(
    ("law", "way"),
    [
        (laws.alone, "batch peak"),
        (laws.padding, "reads padding"),
        (laws.padding, "marks nothing"),
        (laws.gradients, "reads padding"),
        (laws.lengths, "drops a frame"),
        (laws.purity, "writes"),
        (laws.purity, "prints"),
        (laws.purity, "rolls dice"),
        (laws.purity, "keeps state"),
        (laws.silence, "root"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_laws_find_what_breaks_them(law: laws.Law, way: str) -> None:
    case = Case("Wrong", lambda: nn.Identity(), "power")
    batch = Example((20, 7, 31)).batch(case)
    law(case, Wrong("nothing"), batch) if way not in ("reads padding", "marks nothing") else None
    with pytest.raises(AssertionError):
        law(case, Wrong(way), batch)


@every
def test_no_items(case: Case) -> None:
    """A batch of nothing gives nothing, whether or not gradients are asked for."""
    module, batch = build(case), Example((160, 33)).batch(case)
    none = PaddedBatch(batch.data[:0], batch.lengths[:0], batch.rate, batch.ids[:0])
    expected = module(batch).data
    for data in (none.data, none.data.clone().requires_grad_()):
        out = module(none._replace(data=data))
        assert out.data.shape[0] == len(out.lengths) == 0
        assert out.data.shape[1:-1] == expected.shape[1:-1]


@pytest.mark.parametrize("case", TRANSFORMS, ids=lambda case: case.name)
def test_faults_stay_visible(case: Case) -> None:
    """NaN in a valid part never becomes a number that looks like silence, on either path; mates do not see it."""
    module, batch = build(case), Example((200, 90), levels=(0.0,)).batch(case)
    clean, data = module(batch).data, batch.data.clone()
    data[0, ..., 100] = float("nan")
    for faulty in (data, data.clone().requires_grad_()):
        out = module(batch._replace(data=faulty))
        found, steps = out.data.detach(), int(out.lengths[1])
        reached = torch.isnan(torch.view_as_real(found) if found.is_complex() else found)
        assert reached[0].any()
        laws.close(case, found[1:, ..., :steps], clean[1:, ..., :steps].detach(), laws.only(batch, 1))
