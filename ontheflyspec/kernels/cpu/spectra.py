"""Spectra of windowed frames on a CPU, as rows, in the forms that pipelines take."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import List, Tuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.cpu.products import TILE, most_frames, numbers, rows_agree
from ontheflyspec.pipeline import Pipeline

Shape = tuple[int, int, int]
"""Rows, columns, and first bin of a run."""


@compiled()
def power_spectra(frames: Tensor, rows: int) -> Tensor:
    """Returns squared magnitudes ``[rows, bins]`` of windowed frames ``[n, n_fft]``, whatever comes past n."""
    parts = torch.view_as_real(torch._fft_r2c(frames, [1], 0, True))
    parts.mul_(parts)
    power = frames.new_empty([rows, parts.size(1)])
    torch.add(parts.select(2, 0), parts.select(2, 1), out=power.narrow(0, 0, frames.size(0)))
    return power


@compiled()
def between_bins(spectra: Tensor, runs: List[Tuple[Tensor, int]]) -> Tensor:
    """Returns spectra at frequencies between the bins, real and imaginary parts in turn, ``[m, 2 * F]``.

    Args:
        spectra: ``[m, 2 * bins]``, real and imaginary parts in turn.
        runs: of `nonuniform.runs`.
    """
    made: List[Tensor] = []
    for block, low in runs:
        made.append(torch.mm(spectra.narrow(1, low, block.size(0)), block))
    return torch.cat(made, 1)


def sources(frames: Tensor, pipelines: Sequence[Pipeline]) -> list[Tensor]:
    """Returns what each pipeline takes of windowed frames ``[n, n_fft]``: rows of which the first n count.

    That is power ``[m, bins]`` for power and magnitudes, complex spectra for others; spectra of twice the frame where
    there are frequencies between the bins; or the frames themselves.
    """
    if pipelines[0].source == "frames":
        return [frames]
    (n, n_fft), kinds = frames.shape, [_kind(pipeline) for pipeline in pipelines]
    rows = -(-n // TILE) * TILE
    if set(kinds) == {"power"}:
        return [power_spectra(frames, rows)] * len(pipelines)
    made: dict[str, Tensor] = {}
    if "between" in kinds:
        made["between"] = torch.fft.rfft(pad(frames, (0, n_fft, 0, rows - n)))
    made["bins"] = made["between"][:, ::2] if "between" in kinds else torch.fft.rfft(frames)
    if "power" in kinds:
        squares = torch.view_as_real(made["bins"]).square()
        made["power"] = pad(squares[..., 0] + squares[..., 1], (0, 0, 0, rows - len(squares)))
    return [made[kind] for kind in kinds]


def _kind(pipeline: Pipeline) -> str:
    if pipeline.between is not None:
        return "between"
    return "power" if pipeline.source in ("power", "magnitude") else "bins"


def present(source: Tensor, n: int, pipeline: Pipeline) -> Tensor:
    """Returns the first n rows of a source in the form that a pipeline asks for, ``[bins, n]``."""
    output, rows = pipeline.source, source[:n]
    if pipeline.between is not None:
        values = between_bins(torch.view_as_real(source).flatten(1), pipeline.between)[:n]
        if output in ("power", "magnitude"):
            values.mul_(values)
            rows = values[:, 0::2] + values[:, 1::2]
        else:
            rows = torch.view_as_complex(values.view(n, -1, 2))
    if output == "magnitude":
        rows = rows.sqrt()
    return (rows.angle() if output == "phase" else rows).t()


def like(pipeline: Pipeline, taper: Tensor) -> Tensor:
    """Returns ``[bins]`` of the type and number of what `present` gives for such a window."""
    kind = taper.dtype.to_complex() if pipeline.source == "complex" else taper.dtype
    between = pipeline.between
    bins = taper.shape[0] // 2 + 1 if between is None else sum(one.shape[1] for one, _ in between) // 2
    return taper.new_empty(bins, dtype=kind)


def invariant(pipeline: Pipeline) -> bool:
    """Returns whether the form of a frame's spectrum has the same bits whatever frames stand beside it."""
    if pipeline.source == "phase" or pipeline.between is None or pipeline.taper is None:
        return pipeline.source != "phase"
    shapes = tuple((*block.shape, low) for block, low in pipeline.between)
    n_fft, dtype = pipeline.taper.shape[0], pipeline.between[0][0].dtype
    return _between_agrees(shapes, 2 * n_fft + 2, most_frames(n_fft), dtype, torch.get_num_threads())


@functools.lru_cache(maxsize=256)
def _between_agrees(
    shapes: tuple[tuple[int, int, int], ...], columns: int, rows: int, dtype: torch.dtype, _: int
) -> bool:
    """Returns whether `between_bins` have the same bits in any row, by so many threads."""
    runs = [(numbers(height, width, dtype), low) for height, width, low in shapes]
    return rows_agree(lambda spectra: between_bins(spectra, runs), columns, rows, dtype)
