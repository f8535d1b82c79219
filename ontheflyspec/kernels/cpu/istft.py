"""Inverse short-time Fourier transform (overlap-add) on a CPU, signal by signal in blocks that stay in the cache."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.framing import Framing
from ontheflyspec.functional.istft import inverse_sum_index, overlap_add
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.cpu.pipeline import COST, most_frames, single_channels


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
    """Returns signals, each from its own frames."""
    n_fft, hop_length = framing.n_fft, framing.hop_length
    parts, block, left = -(-n_fft // hop_length), most_frames(n_fft), framing.before
    out = window.new_zeros(*spectra.shape[:-2], size)
    (rows, counts), (outs, ends) = single_channels(spectra, lengths, 2), single_channels(out, sizes)

    def job(row: int) -> None:
        n = counts[row]
        added = window.new_zeros(n + parts - 1, hop_length)
        for first in range(0, n, block):
            piece = rows[row, :, first : min(first + block, n)].t().contiguous()
            frames = torch.fft.irfft(piece, n=n_fft).mul_(window)
            for part in range(parts):
                columns = frames[:, part * hop_length : (part + 1) * hop_length]
                added[first + part : first + part + len(columns), : columns.shape[1]] += columns
        added *= inverse[inverse_sum_index(torch.tensor(n, device=window.device), n + parts - 1, parts)]
        made = added.view(-1)[left : left + ends[row]]
        outs[row, : made.shape[0]] = made

    threads.each(job, len(rows), COST * sum(counts) * n_fft)
    return out
