"""Features stay float32 under autocast and for half-precision input, and constants are never rounded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ontheflyspec as ofs
from case import FOURIER, MEL, Case, build
from laws import Example
from ontheflyspec import precision
from ontheflyspec.batch import PaddedBatch
from registry import TRANSFORMS

HALVES = (torch.bfloat16, torch.float16)
SPEC = Example((200, 33), levels=(0.0, -20.0), spare=3)
every = pytest.mark.parametrize("case", TRANSFORMS, ids=lambda case: case.name)
halves = pytest.mark.parametrize("half", HALVES, ids=lambda half: str(half).removeprefix("torch."))
HALF = {case: HALVES[place % 2] for place, case in enumerate(TRANSFORMS)}
"""One of the two types for each case, in turn."""


def features(module: nn.Module, batch: PaddedBatch) -> Tensor:
    data: Tensor = module(batch).data
    return data.detach()


def agree(one: Tensor, other: Tensor) -> None:
    """float32 both, and within a millionth of each item's peak."""
    assert one.dtype == other.dtype
    assert one.dtype in (torch.float32, torch.complex64)
    for left, right in zip(one, other, strict=True):
        assert (left - right).abs().max() <= 1e-6 * right.abs().max()


def asked(batch: PaddedBatch) -> PaddedBatch:
    """The batch, with gradients required, which takes the general path."""
    return batch._replace(data=batch.data.clone().requires_grad_())


@every
def test_autocast_changes_nothing(case: Case) -> None:
    """On one thread, where blocks are the work of the thread that autocast is on for, on two, and with gradients."""
    module, batch, threads = build(case), SPEC.batch(case), torch.get_num_threads()
    wanted = features(module, batch), features(module, asked(batch))
    try:
        for count, given, expected in ((1, batch, wanted[0]), (2, batch, wanted[0]), (1, asked(batch), wanted[1])):
            torch.set_num_threads(count)
            with torch.autocast("cpu", dtype=HALF[case]):
                found = features(module, given)
            agree(found, expected)
    finally:
        torch.set_num_threads(threads)


@halves
def test_autocast_changes_nothing_of_several_features_at_once(half: torch.dtype) -> None:
    together = ofs.Parallel(mel=ofs.MelSpectrogram(**MEL), mfcc=ofs.MFCC(**MEL, n_mfcc=4), stft=ofs.STFT(**FOURIER))
    batch = SPEC.batch(Case("wave", ofs.Log))
    for given in (batch, asked(batch)):
        wanted = together(given)
        with torch.autocast("cpu", dtype=half):
            found = together(given)
        for name, made in found.items():
            agree(made.data.detach(), wanted[name].data.detach())


@every
def test_autocast_leaves_gradients_in_full_precision(case: Case) -> None:
    """The same weights get the same gradients, whether a model around the features runs in bfloat16 or not."""
    module, made = build(case), []
    for on in (False, True):
        batch = asked(SPEC.batch(case))
        weights = [batch.data, *module.parameters()]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=on):
            out = module(batch).data
        loss = (torch.view_as_real(out) if out.is_complex() else out).sum()
        if loss.requires_grad:
            made.append(torch.autograd.grad(loss, weights, allow_unused=True))
    for one, other in zip(*made, strict=True) if made else ():
        assert (one is None) == (other is None)
        if one is not None:
            assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("case", [case for case in TRANSFORMS if case.takes != "complex"], ids=lambda case: case.name)
def test_half_precision_input_gives_the_features_of_its_values(case: Case) -> None:
    module, batch, half = build(case), SPEC.batch(case), HALF[case]
    rounded = batch._replace(data=batch.data.to(half))
    for given in (rounded, asked(rounded)):
        wanted = features(module, given._replace(data=given.data.float()))
        with torch.autocast("cpu", dtype=half, enabled=given is not rounded):
            agree(features(module, given), wanted)


@every
def test_double_input_gives_double_features(case: Case) -> None:
    """Under autocast too; their values are compared in test_laws.test_types."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = build(case)(SPEC.batch(case, torch.float64)).data
    assert out.dtype in (torch.float64, torch.complex128)


@every
def test_casting_the_module_rounds_no_constants(case: Case) -> None:
    module, batch, half = build(case), SPEC.batch(case), HALF[case]
    cast: Any = copy.deepcopy(module).to(half)
    known = dict(module.named_buffers())
    for name, value in cast.named_buffers():
        assert torch.equal(value, known[name]), name
    assert all(value.dtype == half for value in cast.parameters())
    out = features(cast, batch)
    if any(True for _ in module.parameters()):
        assert out.dtype in (torch.float32, torch.complex64)
        assert torch.isfinite(torch.view_as_real(out) if out.is_complex() else out).all()
    else:
        assert torch.equal(out, features(module, batch))


@every
def test_checkpoints_hold_parameters_only(case: Case) -> None:
    """And the statistics that `Normalize` was given or found; those of sinc filters in Hz."""
    module = build(case)
    wanted = {name.replace("_share", "_hz") for name, _ in module.named_parameters()}
    for prefix, part in module.named_modules():
        if isinstance(part, ofs.Normalize) and part.per == "global":
            wanted |= {f"{prefix}.{name}".removeprefix(".") for name in ("mean", "std")}
    assert set(module.state_dict()) == wanted


MATMUL, CUDNN = torch.backends.cuda.matmul, torch.backends.cudnn
SETTINGS: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
    "as torch comes": (lambda: None, lambda: None),
    "float32_matmul_precision high": (
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "float32_matmul_precision medium": (
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "allow_tf32": (lambda: setattr(MATMUL, "allow_tf32", True), lambda: setattr(MATMUL, "allow_tf32", False)),
    "allow_tf32 off in cudnn": (
        lambda: setattr(CUDNN, "allow_tf32", False),
        lambda: setattr(CUDNN, "allow_tf32", True),
    ),
}
if hasattr(CUDNN, "conv"):
    SETTINGS |= {
        "fp32_precision tf32": (
            lambda: setattr(MATMUL, "fp32_precision", "tf32"),
            lambda: setattr(MATMUL, "fp32_precision", "none"),
        ),
        "fp32_precision ieee": (
            lambda: setattr(MATMUL, "fp32_precision", "ieee"),
            lambda: setattr(MATMUL, "fp32_precision", "none"),
        ),
        "fp32_precision ieee in all": (
            lambda: setattr(torch.backends, "fp32_precision", "ieee"),
            lambda: setattr(torch.backends, "fp32_precision", "none"),
        ),
        "fp32_precision ieee in recurrent networks": (
            lambda: setattr(CUDNN.rnn, "fp32_precision", "ieee"),
            lambda: setattr(CUDNN.rnn, "fp32_precision", "tf32"),
        ),
    }


def switches() -> list[Any]:
    """All that torch says about TF32; an error where the user's two generations of switches contradict each other."""
    found: list[Any] = []
    for part, name in ((MATMUL, "allow_tf32"), (CUDNN, "allow_tf32"), (torch, "get_float32_matmul_precision")):
        try:
            value = getattr(part, name)
            found.append(value() if callable(value) else value)
        except RuntimeError:
            found.append("contradiction")
    parts = (MATMUL, CUDNN.conv, CUDNN.rnn) if hasattr(CUDNN, "conv") else ()
    return found + [part.fp32_precision for part in parts]


def rounded(calls: str) -> bool:
    """Whether products or convolutions are rounded to TF32, as torch asks itself."""
    try:
        return bool((MATMUL if calls == "matmul" else CUDNN).allow_tf32)
    except RuntimeError:
        return bool((MATMUL if calls == "matmul" else CUDNN.conv).fp32_precision == "tf32")


@pytest.mark.parametrize("calls", ["matmul", "conv"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_tf32_stays_out_until_the_last_one_leaves(setting: str, calls: Any) -> None:
    """Two threads inside at once: the first to leave lets nothing in, the last puts the user's setting back."""
    on, off = SETTINGS[setting]
    begin = switches()
    on()
    try:
        before, was_rounded = switches(), rounded(calls)
        first, second = precision.without_tf32(calls), precision.without_tf32(calls)
        first.__enter__()
        second.__enter__()
        assert not rounded(calls)
        first.__exit__(None, None, None)
        assert not rounded(calls)
        if not was_rounded:
            assert switches() == before  # nothing needed, nothing touched
        elif "fp32_precision" not in setting:
            assert "contradiction" not in switches()
        second.__exit__(None, None, None)
        assert switches() == before
    finally:
        off()
        if hasattr(CUDNN, "conv"):
            MATMUL.fp32_precision = "none"  # the older switch sets the newer one
    assert switches() == begin
