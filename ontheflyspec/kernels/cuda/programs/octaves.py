"""Triton programs of constant-Q transforms: the extended signal, then one level after the other."""

import triton
import triton.language as tl

from ontheflyspec.kernels.cuda.programs.shared import read_samples, write_spectra


@triton.jit(do_not_specialize=["size", "total", "left", "right"])
def extend_waves(
    waves, lengths, out, size, channels, total, left, right,
    REFLECT: tl.constexpr, INT16: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes a part of a signal in float32, reflected at the item's own ends or with zeros around it."""
    row = tl.program_id(1).to(tl.int64)
    step = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    length = tl.load(lengths + row // channels).to(tl.int32)
    value = read_samples(waves + row * size, step - left, step < total, length, right, REFLECT, INT16)
    tl.store(out + row * total + step, value, mask=step < total)


@triton.jit(do_not_specialize=["total", "lower_total", "start", "tiles", "count", "first", "hop", "stride", "bin"])
def level(
    signal, taps, lower, kernels, valid, out, total, lower_total, start, tiles, channels, count, first, hop, step,
    stride, bin, bins_in_all,
    FACTOR: tl.constexpr, N_TAPS: tl.constexpr, ROW: tl.constexpr, BINS: tl.constexpr, WIDE: tl.constexpr,
    WIDTH: tl.constexpr, PERIOD: tl.constexpr, FRAMES: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
    FORM: tl.constexpr,
):  # fmt: skip
    """Writes a tile of a group's spectra (0 complex, 1 magnitude, 2 power), or a part of the decimated signal."""
    number, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    own = signal + row * total
    if number < tiles:
        turn = number % PERIOD
        place = (number // PERIOD) * FRAMES + tl.arange(0, FRAMES)
        frame, band = place * PERIOD + turn, tl.arange(0, WIDE)
        known = frame < tl.load(valid + row // channels)
        begin = first + turn * hop // step + place * stride
        real, imaginary = tl.zeros([FRAMES, WIDE], tl.float32), tl.zeros([FRAMES, WIDE], tl.float32)
        weights = kernels + turn * (2 * BINS * WIDTH)
        for low in range(0, WIDTH, COLUMNS):
            column = low + tl.arange(0, COLUMNS)
            inside = (column < WIDTH)[None, :] & known[:, None]
            part = tl.load(own + begin[:, None] + column[None, :], mask=inside, other=0.0)
            at = weights + band[None, :] * WIDTH + column[:, None]
            used = (column < WIDTH)[:, None] & (band < BINS)[None, :]
            real = tl.dot(part, tl.load(at, mask=used, other=0.0), real, input_precision="ieee")
            weight = tl.load(at + BINS * WIDTH, mask=used, other=0.0)
            imaginary = tl.dot(part, weight, imaginary, input_precision="ieee")
        to = (row * bins_in_all + bin + band[None, :]) * count + frame[:, None]
        written = (frame < count)[:, None] & (band < BINS)[None, :]
        write_spectra(out, to, real, imaginary, written, FORM)
    else:  # with names of its own, as a name keeps its type
        sample = (number - tiles) * BLOCK + tl.arange(0, BLOCK)
        value = tl.zeros([BLOCK], tl.float32)
        for tap in range(N_TAPS):
            read = tl.load(own + start + FACTOR * sample + tap, mask=sample < lower_total, other=0.0)
            value += read * tl.load(taps + tap * ROW)
        tl.store(lower + row * lower_total + sample, value, mask=sample < lower_total)
