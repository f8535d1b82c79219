"""CUDA's kernels without CUDA: their launches counted, run by Triton's interpreter, or compiled ahead of time."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.torch_version import TorchVersion

import ontheflyspec as ofs
import pretend
from ontheflyspec import op as module
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.kernels.cuda import launches
from ontheflyspec.op import OPS
from pretend import Pretend

THERE = importlib.util.find_spec("triton") is not None and TorchVersion(version("triton")) >= (3, 9)
Launch = Callable[..., None]


def needs_triton(test: Any) -> Any:
    """Marks a test that runs or compiles programs."""
    reason = "no triton 3.9 or newer: pip install -e '.[triton-interpreter]'"
    return pytest.mark.triton(pytest.mark.skipif(not THERE, reason=reason)(test))


if THERE and "triton" not in sys.modules:  # its own functions are interpreted or compiled by what stands there now
    os.environ.setdefault("TRITON_INTERPRET", "1")
    importlib.import_module("triton")


def interpret(file: str, program: str, grid: tuple[int, ...], _: Any, *args: Any, **constants: Any) -> None:
    """Runs a program on tensors of the host, or those within pretended ones."""
    inner = [arg.inner if isinstance(arg, Pretend) else arg for arg in args]
    constants.pop("num_warps", None)
    if all(grid):
        getattr(launches._programs(file), program)[grid](*inner, **constants)


def only_count(*_: Any, **__: Any) -> None:
    """Runs nothing."""


@contextmanager
def launched_by(launch: Launch) -> Iterator[None]:
    """Sends launches there, counted where counts are open."""
    before = launches.launch

    def counted(file: str, program: str, grid: Any, cost: launches.Cost, *args: Any, **constants: Any) -> None:
        for counts in pretend._COUNTS:
            counts.kernels, counts.bytes = counts.kernels + cost.launches, counts.bytes + cost.bytes
        launch(file, program, grid, cost, *args, **constants)

    launches.launch = counted
    try:
        yield
    finally:
        launches.launch = before


@contextmanager
def kernels_of_cuda(launch: Launch = only_count) -> Iterator[None]:
    """Makes the pretend accelerator take CUDA's kernels."""
    kernels = {op: op.kernels["cuda"] for op in OPS if "cuda" in op.kernels}
    known = {op: kernel for op, kernel in kernels.items() if hasattr(kernel, "__wrapped__")}  # not those of a page
    for op, kernel in known.items():
        op.kernels["lazy"] = kernel.__wrapped__  # type: ignore[attr-defined]
    module.PLAIN.add(Pretend)
    try:
        with launched_by(launch):
            yield
    finally:
        module.PLAIN.discard(Pretend)
        for op in known:
            del op.kernels["lazy"]


TYPES = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.int16: "*i16",
    torch.int8: "*i8",
    torch.uint8: "*u8",
    torch.bool: "*i1",
}


def compile_ahead(file: str, program: str, _: Any, __: Any, *args: Any, **constants: Any) -> None:
    """Compiles a program for the types of a launch, for A100 (sm_80) and H100 (sm_90)."""
    from triton import compile as compile_program
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(launches._programs(file), program)
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages") if name in constants}
    signature = {}
    for name, arg in zip(function.arg_names, args, strict=False):
        if isinstance(arg, Tensor):
            signature[name] = TYPES[arg.dtype]
        else:
            signature[name] = "fp32" if isinstance(arg, float) else "i32"
    signature |= dict.fromkeys(constants, "constexpr")
    for architecture in (80, 90):
        source = ASTSource(fn=function, signature=signature, constexprs=constants)
        made = compile_program(source, target=GPUTarget("cuda", architecture, 32), options=options)
        assert "cubin" in made.asm


# What is compared.

RATE = 8_000
SIZES = (700, 0, 1, 15, 300)


def waves(channels: int | None = None, *, int16: bool = False) -> PaddedBatch:
    """Items of unlike length, with NaN in the padding of floats."""
    draws = torch.Generator().manual_seed(3)
    shape = [] if channels is None else [channels]
    made = [0.3 * torch.randn(*shape, size, generator=draws) for size in SIZES]
    made[0][..., 350:] *= 1e-4
    if int16:
        return ofs.pad([(one * 8_000).round().to(torch.int16) for one in made], rate=RATE)
    batch = ofs.pad(made, rate=RATE)
    for row, size in zip(batch.data, SIZES, strict=True):
        row[..., size:] = torch.nan
    return batch


def by_kernels(step: Any, batch: PaddedBatch) -> Tensor:
    """Returns what the pretend accelerator makes with CUDA's kernels, in Triton's interpreter."""
    with torch.no_grad(), pretend.session(), kernels_of_cuda(interpret):
        out = pretend.send(copy.deepcopy(step))(batch._replace(data=pretend.send(batch.data))).data
    result: Tensor = pretend.fetch(out)
    return result


def reference(step: Any, batch: PaddedBatch) -> Tensor:
    """Returns what plain operations make in float64."""
    data = batch.data.double() / 32768 if batch.data.dtype == torch.int16 else batch.data.double()
    result: Tensor = step(batch._replace(data=data.requires_grad_())).data.detach()
    return result


def close(found: Tensor, expected: Tensor, lengths: Tensor, most: float = 1e-5, least: float = 0.0) -> None:
    """Within a share of each item's peak or a least difference, exactly 0 past its end."""
    for one, other, size in zip(found, expected, lengths.tolist(), strict=True):
        assert not one[..., size:].any()
        if size:
            assert (one - other)[..., :size].abs().max() <= max(most * other[..., :size].abs().max(), least)
