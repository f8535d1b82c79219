"""Gammatone filters in the time domain on a CPU: each signal filtered and pooled segment by segment."""

from __future__ import annotations

from torch import Tensor

from ontheflyspec.framing import Framing
from ontheflyspec.functional.gammatone import Segments, magnitudes
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.cpu.pipeline import frame_spans, single_channels


@magnitudes.kernel("cpu")
def magnitudes_of_items(
    x: Tensor, lengths: Tensor | None, *, responses: Tensor, window: Tensor, framing: Framing, power: float
) -> Tensor:
    """Returns ``[B, ..., F, N]`` magnitudes, each signal's own frames in segments."""
    segments, (waves, sizes) = Segments(responses, window, framing, power), single_channels(x, lengths)
    signals = [segments.widened(waves[row : row + 1, :n], None) for row, n in enumerate(sizes)]
    jobs = frame_spans([framing.count(n) for n in sizes], segments.frames)
    out = x.new_zeros(*x.shape[:-1], responses.shape[0], framing.count(x.shape[-1]))
    outs = out.view(len(waves), *out.shape[-2:])

    def job(number: int) -> None:
        row, first, count = jobs[number]
        outs[row, :, first : first + count] = segments.magnitudes(signals[row], first)[0, :, :count]

    threads.each(job, len(jobs), len(jobs) * threads.SHARE)
    return out
