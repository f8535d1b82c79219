"""The Fourier stage of transforms, done once for all that have the same frames and windows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import as_float
from ontheflyspec.functional import blocks, fourier, nonuniform
from ontheflyspec.functional.filterbanks import TILE, Run
from ontheflyspec.functional.framing import cut, frame_count

Steps = Sequence[Callable[[Tensor], object]]


class Stage(NamedTuple):
    """What a transform makes of the spectra of its windowed frames.

    Args:
        key: equal for transforms with equal frames and windows.
        window: ``[n_fft]``.
        framing: arguments that say where frames lie.
        like: ``[F]``, for the type and number of features.
        together: says whether features of a frame keep their bits whatever frames stand beside it.
        of_power: whether it needs squared magnitudes only.
        make: features ``[F, n]`` of the first n rows of power or spectra ``[m, bins]``, which it must not overwrite.
        finish: features ``[..., F, N]`` of power, or of real and imaginary parts, ``[..., bins, N]``.
        between: what interpolates between the bins of spectra of twice the frame; None for the bins themselves.
    """

    key: Hashable
    window: Tensor
    framing: dict[str, Any]
    like: Tensor
    together: Callable[[], bool]
    of_power: bool
    make: Callable[[Tensor, int], Tensor]
    finish: Callable[..., Tensor]
    between: list[Run] | None = None


def features(data: Tensor, lengths: Tensor | None, stages: Sequence[Stage], after: Sequence[Steps]) -> list[Tensor]:
    """Returns what each stage makes of ``[B, T]`` or ``[B, C, T]`` samples, 0 past each item's frames.

    Args:
        data: samples.
        lengths: int64 ``[B]``, None if all items are full.
        stages: with equal keys.
        after: for each stage, further steps as in `blocks.map_frames`; none where that does not apply.
    """
    window, framing = stages[0].window, stages[0].framing
    if blocks.applicable(data, window):
        compute = partial(_in_block, stages=stages, after=after)
        likes, together = [stage.like for stage in stages], all(stage.together() for stage in stages)
        return blocks.map_all(data, lengths, compute, together=together, likes=likes, window=window, **framing)
    with fourier.full_precision(data.device):
        return _at_once(as_float(data), lengths, stages)


def _in_block(frames: Tensor, *, stages: Sequence[Stage], after: Sequence[Steps]) -> list[Tensor]:
    """Returns each stage's features ``[F, n]`` of windowed frames ``[n, n_fft]``."""
    n, n_fft = frames.shape
    rows = -(-n // TILE) * TILE
    double = spectra = power = None
    if all(stage.of_power for stage in stages):
        power = fourier.SPECTRA(frames, rows)
    else:
        if any(stage.between is not None for stage in stages):
            double = torch.fft.rfft(pad(frames, (0, n_fft, 0, rows - n)))
        spectra = torch.fft.rfft(frames) if double is None else double[:, ::2]
        if any(stage.of_power for stage in stages):
            squares = torch.view_as_real(spectra).square()
            power = squares.new_zeros(rows, squares.shape[1])
            torch.add(squares[..., 0], squares[..., 1], out=power[: len(squares)])
    made = []
    for stage, steps in zip(stages, after, strict=True):
        source = power if stage.of_power else spectra if stage.between is None else double
        assert source is not None
        out = stage.make(source, n)
        if steps and len(stages) > 1:
            out = out.clone()  # the source is for others too
        for step in steps:
            step(out)
        made.append(out)
    return made


def _at_once(data: Tensor, lengths: Tensor | None, stages: Sequence[Stage]) -> list[Tensor]:
    """Returns each stage's features of float samples, in the form that every device and autograd take."""
    window, framing = stages[0].window, stages[0].framing
    pieces, count = fourier.windowed(data, lengths, window, **framing)
    twice = any(stage.between is not None for stage in stages)
    spectra = torch.fft.rfft(pieces, n=2 * window.shape[0] if twice else window.shape[0])[..., :count, :]
    valid = None if lengths is None else frame_count(lengths, window.shape[0], framing["hop_length"], framing["center"])

    def parts(stage: Stage) -> tuple[Tensor, Tensor]:
        if stage.between is not None:
            real, imaginary = nonuniform.interpolate(spectra, stage.between)
        else:
            own = spectra[..., ::2] if twice else spectra
            real, imaginary = torch.view_as_real(own.transpose(-1, -2)).unbind(-1)
        return (real, imaginary) if valid is None else (cut(real, valid), cut(imaginary, valid))

    power: Tensor | None = None
    made = []
    for stage in stages:
        if not stage.of_power:
            made.append(stage.finish(*parts(stage)))
            continue
        power = fourier.present(*parts(stage), "power") if power is None else power
        made.append(stage.finish(power))
    return made
