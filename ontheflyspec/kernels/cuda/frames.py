"""Features of frames on CUDA in three launches: frames, Fourier transform, and all the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ontheflyspec.functional.filterbanks import filtered
from ontheflyspec.kept import full, kept
from ontheflyspec.kernels.cuda import launches
from ontheflyspec.kernels.cuda.launches import MOST_SIGNALS, Cost, on_cuda
from ontheflyspec.pipeline import Pipeline, frame_features

FRAMES, BANDS, COLUMNS = 64, 16, 32
"""Frames, filters and bins of one tile."""
FORMS = {"complex": 0, "magnitude": 1, "power": 2}
TYPES = (torch.int16, torch.float16, torch.bfloat16, torch.float32)
LEAST_ROWS = 256
"""Rows of the smallest Fourier transform."""


def rounded(rows: int) -> int:
    """Returns rows rounded up by at most a sixteenth, so that Fourier transforms of few different sizes are planned."""
    step = max(1 << max(rows.bit_length() - 5, 0), LEAST_ROWS)
    return -(-rows // step) * step


@on_cuda(frame_features)
def features_in_three_launches(
    data: Tensor, lengths: Tensor | None, valid: Tensor | None, pipelines: Sequence[Pipeline]
) -> list[tuple[Tensor, int]]:
    """Returns features of frames after filters and logarithms, in true float32."""
    first = pipelines[0]
    framing, taper = first.framing, first.taper
    handled = data.dtype in TYPES and taper is not None and taper.dtype == torch.float32 and first.kernels is None
    signals = math.prod(data.shape[:-1])
    if framing is None or taper is None or not handled or signals > MOST_SIGNALS or any(map(_needs_more, pipelines)):
        return frame_features.reference(data, lengths, valid, pipelines)
    items, size = data.shape[0], data.shape[-1]
    count, channels = framing.count(size), math.prod(data.shape[1:-1])
    ends = full(data.device, items, size)[0] if lengths is None else lengths.to(data.device, non_blocking=True)
    frames = full(data.device, items, count)[0] if valid is None else valid.to(data.device, non_blocking=True)
    spectra = _spectra(data.contiguous(), ends, taper, pipelines[0], count)
    return [_presented(spectra, frames, one, (*data.shape[:-1], count), channels) for one in pipelines]


def _needs_more(pipeline: Pipeline) -> bool:
    return pipeline.between is not None or (not _filters(pipeline) and pipeline.source not in FORMS)


def _filters(pipeline: Pipeline) -> bool:
    return bool(pipeline.nodes) and pipeline.nodes[0].op is filtered and pipeline.source == "power"


def _spectra(data: Tensor, lengths: Tensor, taper: Tensor, pipeline: Pipeline, count: int) -> Tensor:
    """Returns the spectra of all frames in a row, complex ``[rows, bins]``; more rows than frames."""
    framing = pipeline.framing
    assert framing is not None
    n_fft, size = framing.n_fft, data.shape[-1]
    channels = math.prod(data.shape[1:-1])
    signals = data.shape[0] * channels
    rows = data.new_empty(rounded(max(signals * count, 1)), n_fft, dtype=torch.float32)
    launches.launch(
        "frames", "cut_frames", (count, signals),
        Cost(1, data.nbytes + 4 * signals * count * n_fft),
        data, lengths, taper, rows, size, channels, count, framing.hop_length, framing.before,
        N_FFT=n_fft, BLOCK=1 << (n_fft - 1).bit_length(),
        REFLECT=bool(framing.center) and framing.pad_mode == "reflect", INT16=data.dtype == torch.int16,
    )  # fmt: skip
    spectra: Tensor = torch.fft.rfft(rows)
    return spectra


def _presented(
    spectra: Tensor, valid: Tensor, pipeline: Pipeline, shape: tuple[int, ...], channels: int
) -> tuple[Tensor, int]:
    """Returns the features of a pipeline, and how many of its nodes they are after."""
    if _filters(pipeline):
        return _filtered(spectra, valid, pipeline, shape, channels)
    bins, count, signals = spectra.shape[1], shape[-1], math.prod(shape[:-1])
    kind = torch.complex64 if pipeline.source == "complex" else torch.float32
    out = spectra.new_empty((*shape[:-1], bins, count), dtype=kind)
    launches.launch(
        "frames", "present", (-(-count // FRAMES), signals, -(-bins // COLUMNS)),
        Cost(1, 8 * signals * count * bins + out.nbytes),
        torch.view_as_real(spectra), valid, torch.view_as_real(out) if kind == torch.complex64 else out, channels,
        count, bins, FRAMES=FRAMES, COLUMNS=COLUMNS, FORM=FORMS[pipeline.source],
    )  # fmt: skip
    return out, 0


def _filtered(
    spectra: Tensor, valid: Tensor, pipeline: Pipeline, shape: tuple[int, ...], channels: int
) -> tuple[Tensor, int]:
    """Returns outputs of filters, or their logarithms where these follow, and 1 or 2 nodes."""
    options = pipeline.nodes[0].options
    weights, exponent = options["weights"], float(options["exponent"])
    follows = pipeline.nodes[1].block() if len(pipeline.nodes) > 1 else None
    scale = None if follows is None else follows.scale
    bands, bins = weights.shape
    count, signals, groups = shape[-1], math.prod(shape[:-1]), -(-bands // BANDS)
    spans = _spans(spectra.device, tuple(options["bands"]), bands)[0]
    least, factor, offset = _logarithm(scale)
    out = spectra.new_empty((*shape[:-1], bands, count), dtype=torch.float32)
    launches.launch(
        "frames", "filter_power", (-(-count // FRAMES), signals, groups),
        Cost(1, 8 * signals * count * bins + out.nbytes),
        torch.view_as_real(spectra), weights, spans, valid, out, channels, count, bins, bands, exponent, least, factor,
        offset, FRAMES=FRAMES, BANDS=BANDS, COLUMNS=COLUMNS, FORM={2.0: 0, 1.0: 1}.get(exponent, 2),
        LOGARITHM=scale is not None,
    )  # fmt: skip
    return out, 1 if scale is None else 2


def _logarithm(scale: list[float] | None) -> tuple[float, float, float]:
    """Returns the least value, the factor of logarithms to base 2, and the offset, of the numbers of a `Block`."""
    if scale is None:
        return 0.0, 0.0, 0.0
    if len(scale) == 1:
        return scale[0], math.log(2), 0.0
    return scale[0], scale[1] * math.log10(2), scale[2]


@kept(64)
def _spans(device: torch.device, blocks: tuple[tuple[int, int, int, int], ...], bands: int) -> tuple[Tensor, ...]:
    """Returns the first bin and the last + 1 that each group of filters needs, int32 ``[groups, 2]``."""
    spans = []
    for first in range(0, bands, BANDS):
        own = [(low, high) for start, end, low, high in blocks if start < first + BANDS and end > first]
        spans.append((min(low for low, _ in own), max(high for _, high in own)))
    return (torch.tensor(spans, dtype=torch.int32, device="cpu").to(device, non_blocking=True),)
