"""Overlap-add on a CPU, item by item in blocks of frames that stay in the cache."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.framing import Framing
from ontheflyspec.functional.istft import overlap_add, overlaps
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.cpu.pipeline import COST, most_frames


@overlap_add.kernel("cpu")
def overlap_add_items(
    spectra: Tensor,
    lengths: Tensor | None,
    *,
    sizes: Tensor | None,
    size: int,
    window: Tensor,
    inverse: Tensor,
    framing: Framing,
) -> Tensor:
    """Returns signals, each of its own frames."""
    n_fft, hop_length, count = framing.n_fft, framing.hop_length, spectra.shape[-1]
    parts, block, left = -(-n_fft // hop_length), most_frames(n_fft), framing.before
    rows = spectra if spectra.dim() == 3 else spectra.flatten(0, 1)
    channels = rows.shape[0] // max(spectra.shape[0], 1)
    counts = [count] * rows.shape[0] if lengths is None else lengths.repeat_interleave(channels).tolist()
    ends = [size] * rows.shape[0] if sizes is None else sizes.repeat_interleave(channels).tolist()
    out = window.new_zeros(rows.shape[0], size)

    def job(row: int) -> None:
        n = counts[row]
        if n == 0:
            return
        added = window.new_zeros(n + parts - 1, hop_length)
        for first in range(0, n, block):
            piece = rows[row, :, first : min(first + block, n)].t().contiguous()
            frames = torch.fft.irfft(piece, n=n_fft).mul_(window)
            for part in range(parts):
                columns = frames[:, part * hop_length : (part + 1) * hop_length]
                added[first + part : first + part + len(columns), : columns.shape[1]] += columns
        added *= inverse[overlaps(torch.tensor(n, device=window.device), n + parts - 1, parts)]
        made = added.view(-1)[left : left + ends[row]]
        out[row, : made.shape[0]] = made

    threads.each(job, rows.shape[0], COST * sum(counts) * n_fft)
    return out.view(*spectra.shape[:-2], size)
