"""Steps on features on a CPU: by rows, each item alone, and on blocks of frames where each frame counts by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ontheflyspec.functional.cfp import Bank, combine
from ontheflyspec.functional.chroma import unit
from ontheflyspec.functional.dct import project
from ontheflyspec.functional.decibels import decibels, log, log_above
from ontheflyspec.functional.descriptors import contrast, frame_rows
from ontheflyspec.functional.hpss import hpss
from ontheflyspec.functional.pcen import pcen
from ontheflyspec.kernels.cpu.frames import filter_products
from ontheflyspec.kernels.rows import Layout, Rows, by_item, items_kernel
from ontheflyspec.op import Op
from ontheflyspec.pipeline import Block

for _op in (decibels, log, log_above):
    _op.kernel("rows")(items_kernel(_op.reference))


@project.kernel("rows")
def project_rows(_: Layout, lengths: Tensor, *, matrix: Tensor) -> Rows:
    """Writes a matrix times the frames of items, one product for each channel."""

    def products(part: Tensor) -> Tensor:
        return torch.stack([matrix @ channel for channel in part.flatten(0, -3)])

    return _one_by_one(products, lengths)._replace(like=matrix[:, 0])


@pcen.kernel("rows")
def pcen_rows(_: Layout, lengths: Tensor, **options: Any) -> Rows:
    """Writes the normalised energies of items."""
    return _one_by_one(lambda part: pcen.reference(part, None, **options), lengths)


def _one_by_one(compute: Callable[[Tensor], Tensor], lengths: Tensor) -> Rows:
    """Adapts a function of one item to `Rows`, item by item: the bits of products depend on their shape."""
    return by_item(lambda out, data, _: out.copy_(compute(data.contiguous())), lengths, cost=8)


@hpss.kernel("rows")
def hpss_rows(like: Layout, lengths: Tensor, *, output: str, mask: bool, **options: Any) -> Rows:
    """Writes the harmonic and percussive parts of items, or their masks."""
    bands, kind = like.shape[-2], like.dtype.to_real() if mask else like.dtype
    made = torch.empty(2 * bands if output == "both" else bands, dtype=kind, device="cpu")
    rows = items_kernel(hpss.reference)(like, lengths, output=output, mask=mask, **options)
    return rows._replace(cost=8, like=made)


@contrast.kernel("rows")
def contrast_rows(like: Layout, lengths: Tensor) -> Rows:
    """Writes the contrasts of items."""
    bands = torch.empty(like.shape[-2] // 2, dtype=like.dtype, device="cpu")
    return items_kernel(contrast.reference)(like, lengths)._replace(cost=4, like=bands)


@unit.kernel("block")
def unit_block(*, norm: float | None) -> Block:
    """Returns frames of unit norm."""
    return Block(lambda x: unit.reference(x, None, norm=norm))


@frame_rows.kernel("block")
def frame_rows_block(**options: Any) -> Block:
    """Returns descriptors of frames."""
    return _whole(frame_rows, options)


@combine.kernel("block")
def combine_block(**options: Any) -> Block:
    """Returns frequency and periodicity of windowed frames, filtered run by run."""

    def times(bank: Bank, values: Tensor) -> Tensor:
        weights, bands = bank
        return filter_products(values.to(weights.dtype), weights, bands, values.shape[0])

    return _whole(combine, {**options, "times": times})


def _whole(op: Op[..., Tensor], options: dict[str, Any]) -> Block:
    """Adapts a reference to blocks of frames, where rounding depends on the number of frames in the block."""

    def compute(frames: Tensor, _: int) -> Tensor:
        return op.reference(frames, None, **options)

    return Block(compute, reads_rows=True, invariant=lambda: False)
