"""Segments of signals rearranged, shifted or silenced, with fades at the seams, and silence trimmed at the ends."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import PaddedBatch, expand_mask
from ontheflyspec.functional.masks import Spans, zero_past
from ontheflyspec.functional.noises import colored_noise
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.stft import safe_sqrt
from ontheflyspec.kept import count_up, where
from ontheflyspec.labels import TimeMap
from ontheflyspec.op import Edit, Op, execute
from ontheflyspec.precision import wide

QUIET = 1e-5
"""Root mean square below which frames count as equally silent, as in librosa."""


class SampleMap(NamedTuple):
    """Segments of items and their places in the result, in steps, int64 ``[B, P]`` each on one device.

    Args:
        start: first step of each segment.
        end: last step + 1; not above ``start`` for an empty segment.
        place: step of the result to which its first step goes; segments follow each other there without overlap.
        slope: 1, or -1 for a segment that runs backwards.
    """

    start: Tensor
    end: Tensor
    place: Tensor
    slope: Tensor

    def time_map(self, rate: float) -> TimeMap:
        """Returns the segments and their places in seconds."""
        start, end, place, slope = (one.to(wide(one.device)) for one in self)
        return TimeMap(start / rate, end / rate, place / rate, slope)


class Silence(NamedTuple):
    """What counts as silence at both ends of an item, as in ``librosa.effects.trim``.

    Args:
        top_db: dB below the item's loudest frame from which on frames are silent.
        frame_length: samples of a frame, centred every ``hop_length`` samples, on zeros beyond the ends.
        hop_length: samples between frames.
    """

    top_db: float
    frame_length: int
    hop_length: int


@Op
def rearrange(data: Tensor, lengths: Tensor, *, sample_map: SampleMap, size: int) -> Tensor:  # noqa: ARG001
    """Moves segments of each item to their places, 0 elsewhere: ``[B, ..., size]``.

    Args:
        data: ``[B, ..., T]``.
        lengths: int64 ``[B]`` on any device.
        sample_map: within each item.
        size: steps of the result.
    """
    if data.shape[-1] == 0:
        data = pad(data, (0, 1))
    table = [part.to(data.device, non_blocking=True).unsqueeze(-1).unbind(1) for part in sample_map]
    steps = count_up(size, data.device)
    source: Any = -1  # for all
    for start, end, place, slope in zip(*table, strict=True):
        read = start + (steps - place) * slope
        source = where((read >= start) & (read < end), read, source)
    index = expand_mask(source.clamp(min=0), data).expand(*data.shape[:-1], size)
    return where(expand_mask(source >= 0, data), data.gather(-1, index), 0)


@Op
def shift_samples(data: Tensor, lengths: Tensor, *, shift: Tensor, circular: bool, fade: int) -> Tensor:
    """Shifts each item in time within its own valid part, faded at the seam, exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        shift: int64 ``[B]`` on any device, samples; above 0 moves to later times.
        circular: whether samples that leave on one side come in on the other; else zeros come in.
        fade: samples on each side of the seam over which the gain falls to 0 and rises again; 0 for none.
    """
    n, shift = (one.to(data.device, non_blocking=True).unsqueeze(-1) for one in (lengths, shift))
    later, period = count_up(data.shape[-1], data.device), n.clamp(min=1)
    source = (later - shift) % period if circular else later - shift
    valid = (later < n) & (source >= 0) & (source < n)
    index = expand_mask(where(valid, source, 0), data).expand(data.shape)
    moved = where(expand_mask(valid, data), data.gather(-1, index), 0)
    if fade == 0:
        return moved
    seam = shift % period
    return moved * expand_mask(where(seam == 0, 1, seam_gain(later - seam, fade, data.dtype)), data)


def seam_gain(away: Tensor, fade: int, dtype: torch.dtype) -> Tensor:
    """Returns gains that fall to 0 and rise again over ``fade`` samples on each side of a seam.

    Args:
        away: samples after the first sample behind the seam, int64.
        fade: samples, at least 1.
        dtype: of the gains.
    """
    return ((away.to(dtype) + 0.5).abs() / fade).clamp(max=1)


@Op
def hide_spans(
    data: Tensor, lengths: Tensor, *, active: Tensor, spans: Spans, fade: int, keys: Tensor | None
) -> Tensor:
    """Masks spans of waveforms by silence or by white noise of the item's power, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items, whose spans are empty, keep their valid part bit for bit.
        spans: first and last + 1 samples, within each item.
        fade: samples over which the sound fades out and in inside a span; 0 for none.
        keys: of the noise of each item, see `colored_noise`; None for silence.
    """
    start, end = (one.to(data.device, non_blocking=True) for one in spans)
    gain = span_gain(data.shape[-1], start, end, fade, data.dtype)
    noise = None if keys is None else white_noise(data, lengths, keys, active)
    return zero_past(blend(zero_padding(data, lengths), gain, noise), lengths)


def span_gain(size: int, start: Tensor, end: Tensor, fade: int, dtype: torch.dtype) -> Tensor:
    """Returns gains ``[B, size]``, 0 inside spans ``[B, k]`` from ``fade`` samples after their ends on, 1 outside."""
    steps = count_up(size, start.device)
    depth = torch.minimum(steps - start.unsqueeze(-1), end.unsqueeze(-1) - 1 - steps).to(dtype) + 0.5
    hidden = (depth / fade).clamp(0, 1) if fade else (depth > 0).to(dtype)
    return (1 - hidden).amin(1)


def white_noise(data: Tensor, lengths: Tensor, keys: Tensor, active: Tensor) -> Tensor:
    """Returns white noise of the power of each active item's valid part, 0 for silent and inactive items."""
    white = torch.zeros(active.shape, device=active.device)
    noise = colored_noise(data, lengths, white, keys, active)
    return noise * safe_sqrt(valid_power(data, lengths))


def blend(data: Tensor, gain: Tensor, other: Tensor | None) -> Tensor:
    """Returns ``data * gain + other * (1 - gain)``, data bit for bit where the gain is 1.

    Args:
        data: ``[B, ..., T]``.
        gain: ``[B, T]``.
        other: of the shape of ``data``, None for zeros.
    """
    gain = expand_mask(gain, data)
    return where(gain == 1, data, data * gain if other is None else data * gain + other * (1 - gain))


@Op
def trim_silence(
    data: Tensor, lengths: Tensor, *, active: Tensor, silence: Silence, rate: float | None
) -> tuple[Tensor, Tensor, TimeMap]:
    """Trims silence at the ends of items; returns the items, their lengths on the data's device, and the kept segments.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        silence: what counts as silence.
        rate: samples per second, None if unknown.
    """
    n, active = (one.to(data.device, non_blocking=True) for one in (lengths, active))
    first, last = loud_part(data.detach(), n, silence=silence)
    start, end = where(active, first, 0).unsqueeze(-1), where(active, last, n).unsqueeze(-1)
    sizes = (end - start).squeeze(-1)
    size: Any = sizes.max().item() if sizes.device.type == "cpu" and sizes.shape[0] else data.shape[-1]
    sample_map = SampleMap(start, end, torch.zeros_like(start), torch.ones_like(start))
    edit = Edit(rearrange, {"sample_map": sample_map, "size": size}, None, sizes, size)
    # Labels in time ask for the rate themselves, so that without a rate this time map is never read.
    return execute({0: edit}, PaddedBatch(data, n, rate))[0].data, sizes, sample_map.time_map(rate or 1.0)


@Op
def loud_part(data: Tensor, lengths: Tensor, *, silence: Silence) -> tuple[Tensor, Tensor]:
    """Returns the start of each item's first loud frame and the end of its last loud frame, int64 ``[B]`` each.

    A frame is loud if its root mean square in any channel lies less than ``top_db`` below the item's loudest frame.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on the same device.
        silence: what counts as silence.
    """
    top_db, frame_length, hop_length = silence
    wave = zero_padding(data if data.dim() == 3 else data.unsqueeze(1), lengths)
    frames = pad(wave, (frame_length // 2, frame_length)).unfold(-1, frame_length, hop_length)
    level = torch.linalg.vector_norm(frames, dim=-1).amax(1).clamp(min=QUIET * frame_length**0.5)
    number = count_up(level.shape[-1], wave.device)
    known = number <= lengths.unsqueeze(-1) // hop_length
    level = where(known, level, 0)
    share = 10 ** (-top_db / 20) * frame_length**0.5
    quiet = level <= level.amax(-1, keepdim=True) / frame_length**0.5 * share  # nothing is, beside a NaN
    loud = known > quiet
    first = where(loud, number, level.shape[-1]).amin(-1) * hop_length
    last = (where(loud, number, -1).amax(-1) + 1) * hop_length
    end = torch.minimum(last, lengths)
    return torch.minimum(first, end), end
