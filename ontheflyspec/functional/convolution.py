"""Convolution with impulse responses (reverberation): partitioned overlap-save with FFTs of short blocks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import items_mask
from ontheflyspec.functional.rooms import Rooms
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.kept import count_up, where
from ontheflyspec.op import Op
from ontheflyspec.recordings import Waves

BLOCK = 4096
"""Points of a transform: shorter ones have more overlap, longer ones leave the cache."""
MOST_PARTS = 8
"""Partitions of a response on a device, each of which is a kernel."""
_LONG = 8192
"""Samples of a response above which blocks are twice as long, so that there are fewer partitions."""


class Responses(NamedTuple):
    """Recorded impulse responses of items.

    Args:
        waves: one recording for each item.
        peaks: int64 ``[B]``, the sample of each response that counts as its time 0.
        gains: float64 ``[B]``, factors of the responses.
        before: most samples before the peak of any response.
        after: most samples after the peak of any response.
    """

    waves: Waves
    peaks: Tensor
    gains: Tensor
    before: int
    after: int

    def together(self, like: Tensor, _: Tensor) -> tuple[Tensor, int]:
        """Returns the responses of all items, ``[B, C, m]``, and the sample of their time 0."""
        columns = (self.waves.begins, self.waves.sizes, self.peaks, self.gains)
        begins, sizes, peaks, gains = (one.to(like.device, non_blocking=True).unsqueeze(-1) for one in columns)
        places = count_up(self.before + 1 + self.after, like.device) - self.before + peaks
        inside = (places >= 0) & (places < sizes)
        found = self.waves.read(begins, sizes, where(inside, places, 0)).to(like.dtype)
        return where(inside.unsqueeze(1), found * gains.unsqueeze(1).to(like.dtype), 0), self.before

    def alone(self, like: Tensor, row: int, most: int) -> tuple[Tensor, int]:
        """Returns the response of an item, ``[C, m]``, up to delay ``most``, and the sample of its time 0."""
        peak, waves = int(self.peaks[row]), self.waves
        response = waves.one(int(waves.begins[row]), int(waves.sizes[row]))[:, : peak + most]
        return response.to(like.dtype) * float(self.gains[row]), peak


@Op
def convolve_items(
    data: Tensor, lengths: Tensor, *, active: Tensor, responses: Responses | Rooms, ends: Tensor, size: int
) -> Tensor:
    """Returns each item convolved with its own impulse response, exactly 0 past its end: ``[B, ..., size]``.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        responses: recorded or synthetic impulse responses of the items.
        ends: int64 ``[B]`` on any device, samples of each result.
        size: samples of the last axis of the result.
    """
    waves = zero_padding(data if data.dim() == 3 else data.unsqueeze(1), lengths)
    wet = convolve(waves, *responses.together(data, active), size) if size else waves[..., :0]
    dry = pad(waves, (0, size - waves.shape[-1]))
    out = zero_padding(where(items_mask(active, waves), wet, dry), ends)
    return out if data.dim() == 3 else out.squeeze(1)


def convolve(waves: Tensor, responses: Tensor, first: int, size: int) -> Tensor:
    """Returns samples ``first`` to ``first + size`` of full convolutions.

    The response is cut into partitions, the wave into blocks; each is transformed once. Fourier transforms of some
    thousand points stay in the cache; a transform of the whole wave, planned anew at every call, takes several times as
    long on a CPU.

    Args:
        waves: ``[..., n]``, n at least 1.
        responses: ``[..., m]``, m at least 1, whose leading axes broadcast over those of ``waves``.
        first: samples of the full convolution to leave out.
        size: samples to return, at least 1, 0 beyond the convolution's end.

    Example:
        >>> import torch
        >>> convolve(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0]), 0, 3).round()
        tensor([ 1., 12., 20.])
    """
    responses = responses[..., : first + size]
    block, part = block_and_part(first + size, responses.shape[-1])
    while waves.device.type != "cpu" and responses.shape[-1] > MOST_PARTS * part:  # a device has room for long blocks
        block, part = 2 * block, 2 * part
    return overlapped(waves, responses, first + size, block, part).flatten(-2)[..., first : first + size]


def block_and_part(size: int, taps: int) -> list[int]:
    """Returns points of a Fourier transform and samples of a partition of the response."""
    most, whole = BLOCK if taps <= _LONG else 2 * BLOCK, 1 << (size + taps - 2).bit_length()
    if taps > most // 2 and whole > most:
        return [most, most // 2]
    return [min(whole, most), taps]


def overlapped(waves: Tensor, responses: Tensor, size: int, block: int, part: int) -> Tensor:
    """Returns the first ``size`` samples, at least, of full convolutions, in blocks ``[..., count, hop]``.

    Args:
        waves: ``[..., n]``.
        responses: ``[..., m]``, m at most ``size``.
        size: samples.
        block: points of a transform.
        part: samples of a partition of the response.
    """
    parts = (responses.size(-1) + part - 1) // part
    hop = part if parts > 1 else block - part + 1
    count = max((size + hop - 1) // hop, 1)
    responses = torch.nn.functional.pad(responses, [0, parts * part - responses.size(-1)])
    filters = torch.fft.rfft(responses.unfold(-1, part, part), block)
    waves = torch.nn.functional.pad(waves, [block - hop, count * hop - waves.size(-1)])
    spectra = torch.fft.rfft(waves.unfold(-1, block, hop), block)
    total = spectra * filters.narrow(-2, 0, 1) if parts > 1 else spectra.mul_(filters)
    for late in range(1, min(parts, count)):
        earlier = spectra.narrow(-2, 0, count - late)
        total.narrow(-2, late, count - late).addcmul_(earlier, filters.narrow(-2, late, 1))
    made: Tensor = torch.fft.irfft(total, block).narrow(-1, block - hop, hop)
    return made
