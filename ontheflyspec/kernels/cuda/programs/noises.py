"""Triton programs of coloured noise by counter, added at a signal-to-noise ratio."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["streams"])
def noise_spectra(keys, f_decay, out, streams, BINS: tl.constexpr, BLOCK: tl.constexpr):
    """Writes the random spectrum of one block of noise, of unit power: odd bytes times the shape of the spectrum."""
    stream, item = tl.program_id(0), tl.program_id(1).to(tl.int64)
    call = tl.arange(0, BLOCK)
    decay = tl.load(f_decay + item).to(tl.float32)
    nothing = tl.zeros([BLOCK], tl.uint32)
    words = tl.philox(tl.load(keys + item), call.to(tl.uint32), nothing + stream.to(tl.uint32), nothing, nothing + 1)
    total = 0.0
    for part in tl.static_range(8):
        number = call * 8 + part
        shape = tl.exp2(tl.log2(tl.maximum(number, 1).to(tl.float32)) * (decay / -2))
        total += tl.sum(tl.where((number > 0) & (number < BINS), shape * shape, 0.0))
    scale = 1 / tl.sqrt(total * (4.0 * (128 * 128 - 1) / 3))  # of an odd byte's power, real and imaginary
    rows = out + (item * streams + stream) * (2 * BINS)
    for part in tl.static_range(8):
        number = call * 8 + part
        shape = tl.exp2(tl.log2(tl.maximum(number, 1).to(tl.float32)) * (decay / -2)) * scale
        pair = words[part // 2] >> (16 * (part % 2))
        real, imaginary = ((pair & 255) | 1).to(tl.int32), (((pair >> 8) & 255) | 1).to(tl.int32)
        real = tl.where(real > 127, real - 256, real).to(tl.float32) * tl.where(number > 0, shape, 0.0)
        imaginary = tl.where(imaginary > 127, imaginary - 256, imaginary).to(tl.float32)
        imaginary = imaginary * tl.where((number > 0) & (number < BINS - 1), shape, 0.0)
        tl.store(rows + 2 * number, real, mask=number < BINS)
        tl.store(rows + 2 * number + 1, imaginary, mask=number < BINS)


@triton.jit
def _noise_at(noise, place, used, channels, FADE: tl.constexpr, POINTS: tl.constexpr):
    """Returns noise at places of one channel: each block fades into the next at constant power."""
    new: tl.constexpr = POINTS - FADE
    block = place // new
    inner = place - block * new
    now = tl.load(noise + block * (channels * POINTS) + inner, mask=used, other=0.0)
    fading = used & (inner < FADE) & (block > 0)
    old = tl.load(noise + (block - 1) * (channels * POINTS) + inner + new, mask=fading, other=0.0)
    phase = (inner.to(tl.float32) + 0.5) * (1.5707963267948966 / FADE)
    return tl.where(fading, now * tl.sin(phase) + old * tl.cos(phase), now)


@triton.jit(do_not_specialize=["size", "blocks", "span"])
def noise_powers(
    waves, lengths, noise, sums, size, channels, blocks, span,
    FADE: tl.constexpr, POINTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes sums of squares of a part of one channel and of its noise."""
    part, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    item, channel = row // channels, row % channels
    length = tl.load(lengths + item).to(tl.int32)
    own = noise + (item * blocks * channels + channel) * POINTS
    signal, other = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for first in range(0, span, BLOCK):
        place = part * span + first + tl.arange(0, BLOCK)
        used = place < length
        value = tl.load(waves + row * size + place, mask=used, other=0.0)
        added = _noise_at(own, place, used, channels, FADE, POINTS)
        signal += value * value
        other += added * added
    place = sums + (row * tl.num_programs(0) + part) * 2
    tl.store(place, tl.sum(signal))
    tl.store(place + 1, tl.sum(other))


@triton.jit(do_not_specialize=["size", "blocks", "span", "parts"])
def add_noise(
    waves, lengths, active, snr_db, noise, sums, out, size, channels, blocks, span, parts,
    FADE: tl.constexpr, POINTS: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes a part of one channel plus its noise at the ratio to the item's power; 0 past the item's end."""
    part, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    item, channel = row // channels, row % channels
    length = tl.load(lengths + item).to(tl.int32)
    number = tl.arange(0, PARTS)
    places = sums + (item * parts + number) * 2
    signal = tl.sum(tl.load(places, mask=number < parts, other=0.0))
    other = tl.sum(tl.load(places + 1, mask=number < parts, other=0.0))
    heard = (tl.minimum(signal, other) > 0) & (tl.load(active + item) != 0)
    ratio = tl.exp2(tl.load(snr_db + item).to(tl.float32) * -0.16609640474436813)
    scale = tl.where(heard, tl.sqrt(signal) / tl.sqrt(tl.where(heard, other, 1.0)) * ratio, 0.0)
    own = noise + (item * blocks * channels + channel) * POINTS
    for first in range(0, span, BLOCK):
        place = part * span + first + tl.arange(0, BLOCK)
        used = place < length
        value = tl.load(waves + row * size + place, mask=used, other=0.0)
        added = _noise_at(own, place, used, channels, FADE, POINTS)
        tl.store(out + row * size + place, value + added * scale, mask=place < size)
