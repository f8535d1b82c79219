"""Scores of windows back on the time of their recordings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.data.source import Source
from ontheflyspec.data.table import Ints


class Recording(NamedTuple):
    """Scores of one recording.

    Args:
        path: its file.
        start_s: where each row of scores of windows begins in it, or where each frame does, in seconds, float64.
        scores: ``[windows, ...]`` in the order of time, or ``[..., frames]``, NaN where no window was.
    """

    path: str
    start_s: Tensor
    scores: Tensor


def merge(where: str, source: Source, clips: Ints, scores: Tensor, rate: float | None) -> list[Recording]:
    """Returns the scores of each recording, see `AudioDataset.merge_windows`.

    Args:
        where: name for errors.
        source: of the windows.
        clips: window of each row.
        scores: one row a window.
        rate: of frames in Hz, None for one row a window.
    """
    windows = source.windows
    if windows is None:
        remedy = "Build the data set with window_seconds."
        raise ValueError(checks.message(where, "windows of recordings", "whole files", remedy))
    if not isinstance(scores, Tensor) or not scores.is_floating_point() or scores.shape[:1] != clips.shape:
        kind = f"{scores.dtype} {list(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(checks.message(where, f"floats [{len(clips)}, ...], a row an id", kind, "Pass a row an id."))
    known = None if rate is None else checks.positive(where, "rate", rate)
    found = []
    recordings = source.recordings(clips)
    for recording in np.unique(recordings).tolist():
        rows = np.flatnonzero(recordings == recording)
        file = int(windows.files[clips[rows[0]]])
        starts, own = windows.starts[clips[rows]], scores[torch.from_numpy(rows).to(scores.device)]
        begin = source.begin(file) / int(source.table.headers["rate"][file])
        if known is None:
            times, made = _by_window(starts, own)
            start_s = begin + times / source.sample_rate
        else:
            seconds = int(source.file_lengths(file)) / source.sample_rate
            made = _by_frame(starts / source.sample_rate, own, seconds, known)
            start_s = begin + np.arange(made.shape[-1]) / known
        found.append(Recording(source.table.paths[file], torch.from_numpy(start_s), made))
    return found


def _by_window(starts: Ints, scores: Tensor) -> tuple[Any, Tensor]:
    """Returns starts in rising order, and the mean of the scores that begin there."""
    times, turn, counts = np.unique(starts, return_inverse=True, return_counts=True)
    index = torch.from_numpy(turn).to(scores.device)
    total = scores.new_zeros(len(times), *scores.shape[1:]).index_add(0, index, scores)
    shares = torch.from_numpy(counts).to(scores).reshape(-1, *[1] * (scores.dim() - 1))
    return times, total / shares


def _by_frame(starts_s: Any, scores: Tensor, seconds: float, rate: float) -> Tensor:
    """Returns the mean over all windows of the scores of each frame that begins in the recording, NaN without any."""
    size = max(int(np.ceil(seconds * rate - 1e-6)), 1)
    total, counts = scores.new_zeros(*scores.shape[1:-1], size), scores.new_zeros(size)
    for first, row in zip(np.round(starts_s * rate).astype(int).tolist(), scores, strict=True):
        part = row[..., : max(size - first, 0)]
        span = slice(first, first + part.shape[-1])
        total = total.index_add(-1, torch.arange(span.start, span.stop, device=row.device), part)
        counts[span] += 1
    return total / counts.masked_fill(counts == 0, float("nan"))
