"""Inverse short-time Fourier transform: windowed overlap-add, divided by the sum of squared windows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.framing import Framing
from ontheflyspec.functional.signal_frames import ends, zero_padding
from ontheflyspec.functional.stft import real_ends_
from ontheflyspec.kept import count_up
from ontheflyspec.op import Op

FLOOR = 1e-10
"""Share of the largest sum of squared windows up to which a sample counts as not covered by frames, and becomes 0."""


def sample_count(frames: Any, framing: Framing) -> Any:
    """Returns the number of samples for a number of frames, an int for an int, a tensor for a tensor.

    ``(n - 1) * hop_length`` if centred, ``n * hop_length`` for ``center="same"``, else
    ``n_fft + (n - 1) * hop_length``; 0 for 0 frames. Where the last frame was dropped, one frame more counts.
    """
    beyond = framing.hop_length if framing.center == "same" else 0 if framing.center else framing.n_fft
    beyond = beyond + (framing.hop_length if framing.drop_last and framing.center != "same" else 0)
    return ((frames - 1) * framing.hop_length + beyond) * (frames > 0)


def window_sums(window: Tensor, hop_length: int) -> Tensor:
    """Returns sums of squared windows over parts a to b of a frame, ``hop_length`` samples each, ``[a, b, hop]``."""
    parts = -(-window.shape[0] // hop_length)
    squares = pad(window.square(), (0, parts * hop_length - window.shape[0])).view(parts, -1)
    sums = squares.new_zeros(parts, parts, hop_length)
    for first in range(parts):
        sums[first, first:] = squares[first:].cumsum(0)
    return sums


def inverse_sums(window: Tensor, hop_length: int) -> Tensor:
    """Returns 1 over `window_sums`, 0 where these are almost 0, see `FLOOR`, ``[parts * parts, hop]``."""
    sums = window_sums(window, hop_length)
    known = sums > FLOOR * sums[0, -1].max()
    return torch.where(known, 1 / torch.where(known, sums, 1), 0).flatten(0, 1)


@Op
def overlap_add(
    spectra: Tensor,
    lengths: Tensor | None,
    *,
    sizes: Tensor | None,
    size: int,
    window: Tensor,
    inverse: Tensor,
    framing: Framing,
) -> Tensor:
    """Returns signals by inverse STFT (least squares, Griffin and Lim), each from its own frames alone.

    Args:
        spectra: complex ``[B, F, N]`` or ``[B, C, F, N]``.
        lengths: frames of each item, int64 ``[B]`` on any device, None if all items are full.
        sizes: samples of each item, likewise; None for ``size``.
        size: samples of the result.
        window: ``[n_fft]``.
        inverse: from `inverse_sums`.
        framing: where frames lie.

    Shape: ``[B, size]`` or ``[B, C, size]``, 0 past each item's samples.
    """
    spectra = spectra.clone() if lengths is None else zero_padding(spectra, lengths)
    if spectra.shape[-1] == 0:
        spectra = pad(spectra, (0, 1))
    n_fft, hop_length, count = framing.n_fft, framing.hop_length, spectra.shape[-1]
    parts = -(-n_fft // hop_length)
    frames = torch.fft.irfft(real_ends_(spectra.transpose(-1, -2), n_fft), n=n_fft) * window
    frames = pad(frames, (0, parts * hop_length - n_fft))
    added = frames.new_zeros(())
    for part, piece in enumerate(torch.split(frames, hop_length, -1)):
        added = added + pad(piece, (0, 0, part, parts - 1 - part))
    scale = inverse[inverse_sum_index(ends(spectra, lengths), count + parts - 1, parts)]
    if spectra.dim() == 4:
        scale = scale.unsqueeze(1)
    out = (added * scale).flatten(-2)[..., framing.before : framing.before + size]
    out = pad(out, (0, size - out.shape[-1]))
    return zero_padding(out, sizes)


def inverse_sum_index(n: Tensor, segments: int, parts: int) -> Tensor:
    """Returns the row of `inverse_sums` for each hop of the output of n frames, int64 ``[..., segments]``."""
    steps = count_up(segments, n.device)
    last = steps.clamp(max=parts - 1)
    first = (steps - n + 1).clamp(min=0, max=parts - 1)
    return first * parts + torch.maximum(first, last)
