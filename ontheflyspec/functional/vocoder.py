"""Phase vocoder: frames of a signal put down at another pace, or read off at another pitch, in step with each other.

Frame k of the result turns each bin of the signal's frame there by a phase. How far a bin turns on from the frame
before is measured between the signal's frame at that place and the one a hop earlier, so no phase is unwrapped. Bins
turn with their neighbours, each counted by its power: what belongs to one partial stays together (loose phase locking,
after Puckette). No decision is taken on the way.
"""
# ruff: noqa: UP006, UP035, UP045

from __future__ import annotations

from typing import List, Optional

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec import threads
from ontheflyspec.batch import expand_mask
from ontheflyspec.functional.blocks import KEEP, applicable
from ontheflyspec.functional.framing import cut
from ontheflyspec.functional.programs import compiled
from ontheflyspec.functional.vocoder_tables import HOPS, chirps, prepared

CHUNK = 64
"""Frames that are worked on at a time on a CPU, so that they stay in the cache."""
WIDE = 256
"""Frames that are worked on at a time elsewhere."""
MOST = 16
"""Items that turn side by side on one thread of a CPU."""


def turns(real: Tensor, imag: Tensor, state: Tensor) -> Tensor:
    """Returns how far bins have turned, cosines and sines, ``[k + 1, 2, B, F]``, the state first.

    Each step is an operation of its own, rounded as such: an item gets the same bits beside any others.

    Args:
        real: of the products that say how far they turn on in each frame, ``[k, B, F]``.
        imag: likewise.
        state: how far they had turned before, ``[2, B, F]``.
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


def steps_between(now: Tensor, old: Tensor) -> Tensor:
    """Returns products that say how far bins turn between spectra ``[C, ...]``, over all channels.

    Args:
        now: spectra.
        old: likewise, which are overwritten.
    """
    both = old.conj_physical_().mul_(now)
    total = both[0]
    for channel in range(1, both.size(0)):
        total = total + both[channel]
    return total


def read_middle(spectra: Tensor, points: int, n_fft: int, width: int) -> Tensor:
    """Returns the middle samples of the frames of spectra ``[..., F]``, which lie at the start for given points.

    Args:
        spectra: of frames.
        points: of the inverse transform; 0 for ``n_fft`` and frames with their middle in the middle.
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


def turned_items(
    signal: Tensor,
    starts: Tensor,
    shapes: Tensor,
    rest: Optional[Tensor],
    signs: Tensor,
    fades: Tensor,
    points: List[int],
    chunk: int,
) -> Tensor:
    """Returns items turned side by side, ``[B, C, frames + parts - 1, hop]``.

    What might depend on the shape of its operands sees one item and ``chunk`` frames at a time, always.

    Args:
        signal: ``[B, C, T]``.
        starts: see `Tables`, for signals of an item in a row, ``[2, B, C, frames]``.
        shapes: see `Tables`.
        rest: likewise.
        signs: likewise.
        fades: windows of the parts of a frame that was read off, ``[parts, hop]``.
        points: of the inverse transforms of each item; 0 for those read off as they are.
        chunk: frames at a time, which divides their number.
    """
    items, channels, n_fft, frames = signal.size(0), signal.size(1), shapes.size(-1), starts.size(3)
    bins, parts, hop = n_fft // 2 + 1, fades.size(0), fades.size(1)
    state = signal.new_zeros([2, items, bins])
    state[0].fill_(1.0)
    spectra = torch.view_as_complex(signal.new_zeros([items, channels, chunk + 1, bins, 2]))
    products = signal.new_empty([2, chunk, items, bins])
    out = signal.new_zeros([items, channels, frames + parts - 1, hop])
    for first in range(0, frames, chunk):
        for row in range(items):
            own, cuts = spectra[row], signal[row].view(-1).unfold(0, n_fft, 1)
            which = row if shapes.size(1) > 1 else 0
            here = starts[0, row].narrow(1, first, chunk).reshape(-1)
            before = starts[1, row].narrow(1, first, chunk).reshape(-1)
            new = cuts.index_select(0, here).view([channels, chunk, n_fft]).mul_(shapes[0, which])
            old = cuts.index_select(0, before).view([channels, chunk, n_fft]).mul_(shapes[1, which])
            own.select(1, 0).copy_(own.select(1, chunk))
            own.narrow(1, 1, chunk).copy_(torch.fft.rfft(new))
            step = steps_between(own.narrow(1, 0, chunk), torch.fft.rfft(old))
            if rest is not None:
                step = step * rest[row]
            products.select(2, row).copy_(torch.view_as_real(step).permute(2, 0, 1))
        run = turns(products[0], products[1], state)
        state = run[chunk]
        for row in range(items):
            turn = run.narrow(0, 1, chunk).select(2, row)
            if points[row] > 0:
                turn = turn * signs
            new = spectra[row].narrow(1, 1, chunk) * torch.complex(turn.select(1, 0), turn.select(1, 1))
            read = read_middle(new, points[row], n_fft, parts * hop)
            for part in range(parts):
                target = out[row].narrow(1, first + part, chunk)
                target.addcmul_(read.narrow(2, part * hop, hop), fades[part])
    return out


_TURNED = compiled([turns, steps_between, read_middle, turned_items])(turned_items)


def vocode(
    x: Tensor,
    lengths: Tensor,
    sizes: Tensor,
    size: int,
    active: Tensor,
    tempo: Tensor,
    points: Tensor | None,
    *,
    hop: int,
    n_fft: int,
) -> Tensor:
    """Returns each item at its own pace or pitch, exactly 0 past its new end; gradients take turns as constants.

    Args:
        x: ``[B, T]`` or ``[B, C, T]`` floats; all channels of an item turn together.
        lengths: int64 ``[B]`` on any device.
        sizes: samples of the result, likewise.
        size: samples of the longest.
        active: bool ``[B]`` on the host; other items come back bit for bit.
        tempo: samples in for one out, float64 ``[B]`` on the host.
        points: of the inverse transforms, int64 ``[B]`` on the host: frequencies rise by ``n_fft / points``; None
            where they stay.
        hop: samples between frames of the result.
        n_fft: points of the transforms.
    """
    wave = x.unsqueeze(1) if x.dim() == 2 else x
    if applicable(x, lengths, sizes):
        out = _by_groups(wave, lengths, sizes, size, active, tempo, points, hop, n_fft)
    else:
        wave = cut(wave, lengths)
        made = cut(_together(wave, size, tempo, points, hop, n_fft), sizes) if size and len(wave) else wave
        kept = pad(wave, (0, max(size - wave.shape[-1], 0)))[..., :size]
        chosen = active.to(x.device, non_blocking=True).unsqueeze(-1)
        out = torch.where(expand_mask(chosen, made), made, kept)
    return out.squeeze(1) if x.dim() == 2 else out


def _by_groups(
    wave: Tensor,
    lengths: Tensor,
    sizes: Tensor,
    size: int,
    active: Tensor,
    tempo: Tensor,
    points: Tensor | None,
    hop: int,
    n_fft: int,
) -> Tensor:
    """Returns the same, a few items of about one length at a time."""
    out = wave.new_empty(*wave.shape[:-1], size)
    ends, news = lengths.tolist(), sizes.tolist()
    wanted = [on and n > 0 for on, n in zip(active.tolist(), ends, strict=True)]
    rows = sorted((row for row, on in enumerate(wanted) if on), key=lambda row: -news[row])
    share = min(max(-(-len(rows) // torch.get_num_threads()), 1), MOST)
    groups = [rows[first : first + share] for first in range(0, len(rows), share)]
    kept = [row for row, on in enumerate(wanted) if not on]
    stops = [new if on else end for on, new, end in zip(wanted, news, ends, strict=True)]

    def job(number: int) -> None:
        if number == len(groups):
            KEEP(out, wave, ends, stops, kept, [row for row, stop in enumerate(stops) if stop < size])
            return
        group = groups[number]
        signal = wave.new_zeros(len(group), wave.shape[1], max(ends[row] for row in group))
        for target, row in zip(signal, group, strict=True):
            target[:, : ends[row]] = wave[row, :, : ends[row]]
        read = None if points is None else points[group]
        made = _side_by_side(signal, news[group[0]], tempo[group], read, hop, n_fft)
        for source, row in zip(made, group, strict=True):
            out[row, :, : news[row]] = source[:, : news[row]]

    threads.each(job, len(groups) + 1, 16 * sum(news))
    return out


def _side_by_side(wave: Tensor, size: int, tempo: Tensor, points: Tensor | None, hop: int, n_fft: int) -> Tensor:
    """Returns what `_together` does, of a few items, where nothing asks for gradients."""
    scale = _scale(wave)
    signal, tables = prepared(wave * scale, size, tempo, points, hop, n_fft, CHUNK)
    starts = tables.starts + torch.arange(wave.shape[1], device=wave.device).unsqueeze(-1) * signal.shape[-1]
    read = [0] * wave.shape[0] if points is None else points.tolist()
    fades = tables.fade.view(HOPS, hop)
    out = _TURNED(signal, starts, tables.shapes, tables.rest, tables.signs, fades, read, CHUNK)
    first = hop + HOPS * hop // 2
    return out.flatten(2)[..., first : first + size] / scale


def _together(wave: Tensor, size: int, tempo: Tensor, points: Tensor | None, hop: int, n_fft: int) -> Tensor:
    """Returns ``size`` samples of every signal ``[B, C, T]``, 0 past its end."""
    items, channels, bins = wave.shape[0], wave.shape[1], n_fft // 2 + 1
    scale = _scale(wave)
    signal, tables = prepared(wave * scale, size, tempo, points, hop, n_fft, 1)
    rows = torch.arange(items * channels, device=wave.device).view(items, channels, 1) * signal.shape[-1]
    starts, flat = tables.starts + rows, signal.reshape(-1)
    read = None if points is None else _chirps(points.tolist(), n_fft, HOPS * hop, tables.signs)
    state = _unturned(wave, bins)
    past = wave.new_zeros(items, channels, 1, bins, dtype=wave.dtype.to_complex())
    carry, parts = wave.new_zeros(items, channels, HOPS - 1, hop), []
    for first in range(0, tables.n_frames, WIDE):
        here, before = starts[..., first : first + WIDE]
        spectra = torch.fft.rfft(_gathered(flat, here, tables.shapes[0]))
        with torch.no_grad():
            now = torch.cat([past, spectra], 2)
            old = torch.fft.rfft(_gathered(flat.detach(), before, tables.shapes[1]))
            step = steps_between(now[:, :, :-1].movedim(1, 0), old.movedim(1, 0))
            step = (step if tables.rest is None else step * tables.rest.unsqueeze(1)).transpose(0, 1)
            run = turns(step.real.contiguous(), step.imag.contiguous(), state)
            past, state = now[:, :, -1:], run[-1]
            turn = torch.complex(run[1:, 0], run[1:, 1]).transpose(0, 1).unsqueeze(1)
        turned = spectra * turn
        frames = read_middle(turned, 0, n_fft, HOPS * hop) if read is None else _read_chirped(turned, *read)
        faded = (frames * tables.fade).view(*frames.shape[:-1], HOPS, hop)
        added = sum(pad(faded[..., part, :], (0, 0, part, HOPS - 1 - part)) for part in range(HOPS))
        added = added + pad(carry, (0, 0, 0, frames.shape[-2]))
        parts.append(added[..., : 1 - HOPS, :])
        carry = added[..., 1 - HOPS :, :]
    first = hop + HOPS * hop // 2
    return torch.cat(parts, -2).flatten(-2)[..., first : first + size] / scale


def _scale(wave: Tensor) -> Tensor:
    """Returns powers of two that bring items to a peak of about 1, ``[B, 1, 1]``, so that no product vanishes."""
    if wave.shape[-1] == 0:
        return wave.new_ones(1, 1, 1)
    peak = wave.detach().abs().flatten(1).amax(1).clamp(min=1e-30)
    return (torch.frexp(peak).mantissa / peak)[:, None, None]


def _unturned(wave: Tensor, bins: int) -> Tensor:
    none = wave.new_zeros(2, wave.shape[0], bins)
    none[0] = 1
    return none


def _gathered(flat: Tensor, places: Tensor, shape: Tensor) -> Tensor:
    """Returns windowed frames ``[B, C, k, n_fft]`` that begin at ``[B, C, k]`` of all signals in a row."""
    if flat.requires_grad:
        return flat[places.unsqueeze(-1) + torch.arange(shape.shape[-1], device=flat.device)] * shape
    return flat.unfold(0, shape.shape[-1], 1)[places] * shape


def _chirps(points: list[int], n_fft: int, width: int, signs: Tensor) -> list[Tensor]:
    """Returns `chirps` of all items, ``[B, 1, 1, ...]`` each, with the signs of the bins, in double precision."""
    double = torch.complex64 if signs.device.type == "mps" else torch.complex128
    bins, chirp, samples = (
        torch.stack(one)[:, None, None].to(signs.device, double, non_blocking=True)
        for one in zip(*(chirps(n_fft, m, width) for m in points), strict=True)
    )
    return [bins * signs, chirp, samples]


def _read_chirped(spectra: Tensor, bins: Tensor, chirp: Tensor, samples: Tensor) -> Tensor:
    """Returns samples of spectra ``[B, C, k, F]``, each item's at its own points, all in one go."""
    met = torch.fft.ifft(torch.fft.fft(spectra * bins, n=chirp.shape[-1]) * chirp)
    found: Tensor = (met[..., : samples.shape[-1]] * samples).real
    return found.to(spectra.real.dtype)
