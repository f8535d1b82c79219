"""Triton programs from waves to features of frames: windowed frames, forms of spectra, filters over power.

Values are float32 throughout, products included. What comes out past an item's frames is 0, whatever the input holds.
"""

import triton
import triton.language as tl

from ontheflyspec.kernels.cuda.programs.shared import read_samples, write_spectra


@triton.jit(do_not_specialize=["size", "count", "hop", "left"])
def cut_frames(
    waves, lengths, taper, out, size, channels, count, hop, left, N_FFT: tl.constexpr, BLOCK: tl.constexpr,
    REFLECT: tl.constexpr, INT16: tl.constexpr,
):  # fmt: skip
    """Writes one windowed frame: reflected at the item's own ends, or 0 beyond them."""
    frame, row, step = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.arange(0, BLOCK)
    length = tl.load(lengths + row // channels).to(tl.int32)
    wanted, after = step < N_FFT, N_FFT - left
    value = read_samples(waves + row * size, frame * hop - left + step, wanted, length, after, REFLECT, INT16)
    weight = tl.load(taper + step, mask=wanted, other=0.0)
    tl.store(out + (row * count + frame) * N_FFT + step, value * weight, mask=wanted)


@triton.jit(do_not_specialize=["count", "bins", "bands"])
def filter_power(
    spectra, weights, spans, valid, out, channels, count, bins, bands, exponent, least, factor, offset,
    FRAMES: tl.constexpr, BANDS: tl.constexpr, COLUMNS: tl.constexpr, FORM: tl.constexpr, LOGARITHM: tl.constexpr,
):  # fmt: skip
    """Writes outputs of some filters over some frames, or their logarithms times a factor, less an offset."""
    row, group = tl.program_id(1).to(tl.int64), tl.program_id(2)
    frame, band = tl.program_id(0) * FRAMES + tl.arange(0, FRAMES), group * BANDS + tl.arange(0, BANDS)
    known = frame < tl.load(valid + row // channels)
    rows = spectra + (row * count + frame)[:, None] * (2 * bins)
    total = tl.zeros([FRAMES, BANDS], tl.float32)
    for first in range(tl.load(spans + 2 * group), tl.load(spans + 2 * group + 1), COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        inside = known[:, None] & (column < bins)[None, :]
        real = tl.load(rows + 2 * column[None, :], mask=inside, other=0.0)
        imaginary = tl.load(rows + 2 * column[None, :] + 1, mask=inside, other=0.0)
        power = real * real + imaginary * imaginary
        if FORM == 1:
            power = tl.sqrt(power)
        if FORM == 2:
            power = tl.where(power > 0, tl.exp2(tl.log2(tl.where(power > 0, power, 1)) * (exponent / 2)), power)
        used = (column < bins)[:, None] & (band < bands)[None, :]
        weight = tl.load(weights + band[None, :] * bins + column[:, None], mask=used, other=0.0)
        total = tl.dot(power, weight, total, input_precision="ieee")
    if LOGARITHM:
        total = tl.log2(tl.maximum(total, least, propagate_nan=tl.PropagateNan.ALL)) * factor - offset
    total = tl.where(known[:, None], total, 0.0)
    place = out + (row * bands + band[None, :]) * count + frame[:, None]
    tl.store(place, total, mask=(frame < count)[:, None] & (band < bands)[None, :])


@triton.jit(do_not_specialize=["count", "bins"])
def present(
    spectra, valid, out, channels, count, bins, FRAMES: tl.constexpr, COLUMNS: tl.constexpr, FORM: tl.constexpr
):
    """Writes a tile of spectra, bins before frames: 0 complex, 1 magnitude, 2 power."""
    row = tl.program_id(1).to(tl.int64)
    frame = tl.program_id(0) * FRAMES + tl.arange(0, FRAMES)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    known = (frame < tl.load(valid + row // channels))[:, None] & (column < bins)[None, :]
    place = spectra + ((row * count + frame)[:, None] * bins + column[None, :]) * 2
    real, imaginary = tl.load(place, mask=known, other=0.0), tl.load(place + 1, mask=known, other=0.0)
    written = (frame < count)[:, None] & (column < bins)[None, :]
    to = (row * bins + column[None, :]) * count + frame[:, None]
    write_spectra(out, to, real, imaginary, written, FORM)
