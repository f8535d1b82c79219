"""Pipelines: what a transform makes of the frames of a signal, node by node, with shared Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ontheflyspec.batch import as_float
from ontheflyspec.framing import Framing
from ontheflyspec.functional import nufft, stft
from ontheflyspec.functional.filterbanks import FilterBlock, Run
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.op import Op
from ontheflyspec.precision import without_autocast

Source = Literal["frames", "complex", "magnitude", "power", "phase"]
"""What the first node takes: windowed frames, or their spectra in one of the forms of `stft.OUTPUTS`."""


Filters = tuple[Tensor, list[FilterBlock], list[float]]
"""Weights of filters, their blocks, and the scale of logarithms of their outputs, empty for none."""


class Node(NamedTuple):
    """One step on features ``[B, ..., F, N]``.

    An op with a kernel ``"block"`` needs no more than a few frames of one item: the kernel takes the options and
    returns a `Block`, or None if these options need all frames.

    Args:
        op: the step.
        options: of the op.
        like: ``[F]``, for type and number of features; None if they stay.
    """

    op: Op[..., Tensor]
    options: Mapping[str, Any]
    like: Tensor | None = None

    def block(self) -> Block | None:
        """Returns the form for a few frames, None if there is none."""
        kernel = self.op.kernels.get("block")
        return None if kernel is None else kernel(**self.options)


class Block(NamedTuple):
    """A step on a few frames of one item.

    Args:
        compute: makes features ``[F, n]`` of features ``[K, n]``, which it may overwrite; or of the rows ``[m, bins]``
            of the source and n, of which the first n count, if it ``reads_rows``.
        reads_rows: whether it takes the source of its pipeline, of which it is the first node.
        invariant: tells whether a frame gets the same bits whatever frames stand beside it.
        filters: if it is nothing but filters over power.
        scale: if it is a logarithm or decibels, the numbers that make it; see `kernels.cpu.frames.to_logarithms`.
    """

    compute: Callable[..., Tensor]
    reads_rows: bool = False
    invariant: Callable[[], bool] = lambda: True
    filters: Filters | None = None
    scale: list[float] | None = None


class Pipeline(NamedTuple):
    """What a transform makes of a signal: frames, their spectra, and nodes one after the other.

    Args:
        nodes: in their order.
        framing: where frames lie; None if the nodes take what comes in.
        source: what the first node takes.
        taper: window ``[n_fft]`` of the frames.
        kernels: Fourier kernels ``[2 * bins, n_fft]`` for a convolution in place of the Fourier transform.
        between: what interpolates between the bins of spectra of twice the frame, for other frequencies than theirs.
    """

    nodes: tuple[Node, ...]
    framing: Framing | None = None
    source: Source = "power"
    taper: Tensor | None = None
    kernels: Tensor | None = None
    between: list[Run] | None = None

    def then(self, nodes: Sequence[Node]) -> Pipeline:
        """Returns the pipeline with more nodes at its end."""
        return Pipeline((*self.nodes, *nodes), *self[1:])


def run(
    pipelines: Sequence[Pipeline], data: Tensor, lengths: Tensor | None, frames: Tensor | None = None
) -> list[Tensor]:
    """Runs pipelines on the same data, exactly 0 past each item's end; equal framings share a Fourier transform.

    Args:
        pipelines: all with a framing, or one without.
        data: ``[B, T]`` or ``[B, C, T]`` samples, or features ``[B, ..., F, N]``.
        lengths: int64 ``[B]``, None if all items are full.
        frames: of each item, if the pipelines have one framing and they are known already.
    """
    made: dict[int, Tensor] = {}
    with without_autocast(data.device):
        for places in _sharing(pipelines):
            some = [pipelines[place] for place in places]
            framing = some[0].framing
            if framing is None:
                made[places[0]] = _finish(data, lengths, some[0].nodes)
                continue
            valid = framing.count(lengths) if frames is None and lengths is not None else frames
            found = frame_features(data, lengths, valid, some)
            for place, one, (features, done) in zip(places, some, found, strict=True):
                made[place] = _finish(features, valid, one.nodes[done:])
    return [made[place] for place in range(len(pipelines))]


def _sharing(pipelines: Sequence[Pipeline]) -> list[list[int]]:
    """Returns the places of those that share a Fourier transform, together."""
    if len(pipelines) == 1:
        return [[0]]
    shared: dict[Any, list[int]] = {}
    for place, one in enumerate(pipelines):
        alone = one.framing is None or one.kernels is not None or one.source == "frames"
        shared.setdefault(place if alone else one.framing, []).append(place)
    return list(shared.values())


def _finish(data: Tensor, lengths: Tensor | None, nodes: Sequence[Node]) -> Tensor:
    for node in nodes:
        data = node.op(data, lengths, **node.options)
    return data


@Op
def frame_features(
    data: Tensor, lengths: Tensor | None, valid: Tensor | None, pipelines: Sequence[Pipeline]
) -> list[tuple[Tensor, int]]:
    """Returns features of frames for each pipeline, 0 past each item's own, and how many of its nodes they are after.

    Args:
        data: samples ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]``, None if all items are full.
        valid: frames of each item, likewise.
        pipelines: of equal framings.
    """
    first = pipelines[0]
    framing, taper = first.framing, first.taper
    assert framing is not None
    if first.kernels is not None:
        parts = stft.conv_parts(as_float(data), lengths, first.kernels, framing)
        return [(zero_padding(stft.present(parts, first.source), valid), 0)]
    assert taper is not None
    if first.source == "frames":
        pieces, count = stft.windowed(as_float(data, taper.dtype), lengths, taper, framing)
        made = first.nodes[0].op(pieces, None, **first.nodes[0].options)[..., :count]
        return [(zero_padding(made, valid), 1)]
    pieces, count = stft.windowed(as_float(data), lengths, taper, framing)
    twice = any(one.between is not None for one in pipelines)
    spectra = torch.fft.rfft(pieces, n=2 * framing.n_fft if twice else framing.n_fft)[..., :count, :]
    made_once: dict[str, Tensor] = {}
    found = []
    for one in pipelines:
        if one.between is not None:
            parts = nufft.interpolate(spectra, one.between)
            found.append((zero_padding(stft.present(parts, one.source), valid), 0))
            continue
        if one.source not in made_once or not one.nodes:
            own = (spectra[..., ::2] if twice else spectra).transpose(-1, -2)
            own = own.clone() if one.source == "complex" and len(pipelines) > 1 else own
            made_once[one.source] = zero_padding(stft.present(own, one.source), valid)
        found.append((made_once[one.source], 0))
    return found
