"""Phase vocoder: time stretching and pitch shifting with loose phase locking (after Puckette).

Frame k of the result is the signal's frame at its place with a phase added to each bin. How much this phase grows from
frame to frame is measured between the signal's frame at that place and the frame a hop earlier, so that no phase is
unwrapped. The phase of a bin is that of the sum of itself and its two neighbours, so that the bins of one partial stay
together. There are no decisions (peaks, transients) on the way.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import expand_mask
from ontheflyspec.functional.phase_vocoder_tables import HOPS, StretchSettings, chirps, prepared
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.functional.stft import real_ends_
from ontheflyspec.kept import count_up, kept, where, zeros
from ontheflyspec.op import Op
from ontheflyspec.precision import without_autocast

WIDE, ROOM = 256, 1 << 25
"""Frames that are computed at a time on a CPU, and samples of frames on a device: both bound the memory."""


def turns(real: Tensor, imag: Tensor, state: Tensor) -> Tensor:
    """Returns accumulated phases of bins as cosines and sines, ``[k + 1, 2, B, F]``, the initial state first.

    Each step is an operation of its own, with its own rounding: an item gets the same bits beside any others.

    Args:
        real: real parts of the products of `steps_between`, the phase advance in each frame, ``[k, B, F]``.
        imag: imaginary parts of the products, ``[k, B, F]``.
        state: phases before the first frame, ``[2, B, F]``.
    """
    bins = real.size(2)
    out = real.new_empty([real.size(0) + 1, 2, real.size(1), bins])
    out[0].copy_(state)
    wide = real.new_zeros([2, real.size(1), bins + 2])
    inner = wide.narrow(2, 1, bins)
    left, right = wide.narrow(2, 0, bins), wide.narrow(2, 2, bins)
    inner_real, inner_imag = inner[0], inner[1]
    total, square = torch.empty_like(state), torch.empty_like(state)
    total_real, square_real, square_imag = total[0], square[0], square[1]
    now = out[0]
    for k in range(real.size(0)):
        torch.mul(now, real[k], out=inner)
        torch.mul(now, imag[k], out=square)
        inner_real.sub_(square_imag)
        inner_imag.add_(square_real)
        torch.add(left, inner, out=total)
        total.add_(right)
        total_real.add_(1e-18)
        torch.mul(total, total, out=square)
        square_real.add_(square_imag).rsqrt_()
        now = out[k + 1]
        torch.mul(total, square_real, out=now)
    return out


accumulated = Op(turns)
"""`turns`, by a kernel where there is one: the frames of an item come one after the other."""


def steps_between(now: Tensor, old: Tensor) -> Tensor:
    """Returns cross spectra ``now * conj(old)`` summed over channels, whose phases are the bins' phase advances.

    Args:
        now: spectra ``[C, ...]``.
        old: spectra a hop earlier, ``[C, ...]``, which are overwritten.
    """
    both = old.conj_physical_().mul_(now)
    total = both[0]
    for channel in range(1, both.size(0)):
        total = total + both[channel]
    return total


def read_middle(spectra: Tensor, points: int, n_fft: int, width: int) -> Tensor:
    """Returns the middle samples of frames by inverse Fourier transform, ``[..., width]``.

    Args:
        spectra: of frames, ``[..., F]``; where points are given, of frames rotated so that their middle comes first.
        points: of the inverse transform, which shifts the pitch; 0 for ``n_fft``, without rotation.
        n_fft: points of the transforms.
        width: samples to return.
    """
    half = width // 2
    if points == 0:
        middle: Tensor = torch.fft.irfft(spectra, n_fft, -1, "forward").narrow(-1, n_fft // 2 - half, 2 * half)
        return middle
    below = spectra.narrow(-1, 0, min(points // 2 + 1, spectra.size(-1)))
    frames: Tensor = torch.fft.irfft(below, points, -1, "forward")
    return torch.cat([frames.narrow(-1, points - half, half), frames.narrow(-1, 0, half)], -1)


@partial(Op, on_host=("settings",))
def vocode(
    data: Tensor,
    lengths: Tensor,
    *,
    active: Tensor,
    sizes: Tensor,
    size: int,
    settings: StretchSettings,
    pace: Tensor,
) -> Tensor:
    """Stretches items in time, or shifts their pitch, by a phase vocoder; exactly 0 past each new end.

    Gradients take the added phases as constants.

    Args:
        data: ``[B, T]`` or ``[B, C, T]`` floats; all channels of an item get the same phases.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items, whose lengths stay, come back bit for bit.
        sizes: samples of the result, int64 ``[B]`` on any device.
        size: samples of the longest.
        settings: pace and pitch, on the host.
        pace: of the settings.
    """
    wave = zero_padding(data.unsqueeze(1) if data.dim() == 2 else data, lengths)
    with without_autocast(data.device):
        there = pace.to(data.device, non_blocking=True)
        made = zero_padding(_together(wave, size, settings, there), sizes) if size and len(wave) else wave
    dry = pad(wave, (0, size - wave.shape[-1])) if size > wave.shape[-1] else wave[..., :size]
    chosen = active.to(data.device, non_blocking=True).unsqueeze(-1)
    out = where(expand_mask(chosen, made), made, dry)
    return out.squeeze(1) if data.dim() == 2 else out


def _together(wave: Tensor, size: int, settings: StretchSettings, pace: Tensor) -> Tensor:
    """Returns ``size`` samples of vocoded signals ``[B, C, T]``, all items at once."""
    hop, n_fft = settings.hop, settings.n_fft
    items, channels, bins = wave.shape[0], wave.shape[1], n_fft // 2 + 1
    scale = peak_scale(wave)
    signal, tables = prepared(wave * scale, size, settings, pace, 1)
    rows = count_up(items * channels, wave.device).view(items, channels, 1) * signal.shape[-1]
    starts, flat = tables.starts + rows, signal.reshape(-1)
    read = None if settings.points is None else _chirps(settings.points.tolist(), n_fft, HOPS * hop, flat.device)
    state = _upright(wave.device, wave.dtype)[0].expand(-1, items, bins)
    parts, past, carry = list[Tensor](), None, None
    wide = WIDE if wave.device.type == "cpu" else max(WIDE, ROOM // (items * channels * n_fft))
    for first in range(0, tables.n_frames, wide):
        here, before = starts[..., first : first + wide]
        spectra = torch.fft.rfft(_gathered(flat, here, tables.shapes[0]))
        with torch.no_grad():
            past = zeros(spectra).expand_as(spectra[:, :, :1]) if past is None else past
            now = torch.cat([past, spectra], 2)
            old = torch.fft.rfft(_gathered(flat.detach(), before, tables.shapes[1]))
            step = steps_between(now[:, :, :-1].movedim(1, 0), old.movedim(1, 0))
            step = (step if tables.rest is None else step * tables.rest.unsqueeze(1)).transpose(0, 1)
            run = accumulated(step.real.contiguous(), step.imag.contiguous(), state)
            past, state = now[:, :, -1:], run[-1]
            turn = torch.complex(run[1:, 0], run[1:, 1]).transpose(0, 1).unsqueeze(1)
        turned = spectra * turn
        if read is None:
            frames = read_middle(real_ends_(turned, n_fft), 0, n_fft, HOPS * hop)
        else:
            frames = _read_chirped(turned, *read)
        faded = (frames * tables.fade).view(*frames.shape[:-1], HOPS, hop)
        added = faded.new_zeros(*faded.shape[:2], faded.shape[2] + HOPS - 1, hop)
        for part in range(HOPS):
            added[..., part : part + faded.shape[2], :].add_(faded[..., part, :])
        if carry is not None:
            added[..., : HOPS - 1, :].add_(carry)
        parts.append(added[..., : 1 - HOPS, :])
        carry = added[..., 1 - HOPS :, :]
    first = hop + HOPS * hop // 2
    return torch.cat(parts, -2).flatten(-2)[..., first : first + size] / scale


@kept(8)
def _upright(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Returns the phase 0 as a cosine and a sine, ``[2, 1, 1]``."""
    return (torch.tensor([1.0, 0.0], dtype=dtype, device="cpu").to(device, non_blocking=True).reshape(2, 1, 1),)


def peak_scale(wave: Tensor) -> Tensor:
    """Returns powers of two that bring items to a peak of about 1, ``[B, 1, 1]``, so that no product underflows."""
    if wave.shape[-1] == 0:
        return wave.new_ones(1, 1, 1)
    peak = wave.detach().abs().flatten(1).amax(1).clamp(min=1e-30)
    return (torch.frexp(peak).mantissa / peak)[:, None, None]


def _gathered(flat: Tensor, places: Tensor, shape: Tensor) -> Tensor:
    """Returns windowed frames ``[B, C, k, n_fft]`` that begin at places ``[B, C, k]`` of all signals in a row."""
    if flat.requires_grad:
        return flat[places.unsqueeze(-1) + count_up(shape.shape[-1], flat.device)] * shape
    return flat.unfold(0, shape.shape[-1], 1)[places] * shape


def _chirps(points: list[int], n_fft: int, width: int, device: torch.device) -> list[Tensor]:
    """Returns `chirps` of all items, ``[B, 1, 1, ...]`` each."""
    each = zip(*(chirps(device, n_fft, m, width) for m in points), strict=True)
    return [torch.stack(one)[:, None, None] for one in each]


def _read_chirped(spectra: Tensor, bins: Tensor, chirp: Tensor, samples: Tensor) -> Tensor:
    """Returns samples of spectra ``[B, C, k, F]`` by a chirp z-transform, each item's for its own points."""
    met = torch.fft.ifft(torch.fft.fft(spectra * bins, n=chirp.shape[-1]) * chirp)
    found: Tensor = (met[..., : samples.shape[-1]] * samples).real
    return found.to(spectra.real.dtype)
