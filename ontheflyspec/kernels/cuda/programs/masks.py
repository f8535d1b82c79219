"""Triton programs of masks in spectrograms, filled with a number or the mean of the item."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["bands", "count", "span"])
def feature_sums(data, lengths, sums, bands, count, channels, span, BLOCK: tl.constexpr):
    """Writes the sum of the valid values in a part of one channel."""
    part, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    length = tl.load(lengths + row // channels).to(tl.int32)
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, span, BLOCK):
        place = part * span + first + tl.arange(0, BLOCK)
        used = (place < bands * count) & (place % count < length)
        total += tl.load(data + row * bands * count + place, mask=used, other=0.0)
    tl.store(sums + row * tl.num_programs(0) + part, tl.sum(total))


@triton.jit(do_not_specialize=["bands", "count", "parts"])
def mask_features(
    data, lengths, frame_starts, frame_ends, band_starts, band_ends, sums, out, fill, bands, count, channels, parts,
    WIDE: tl.constexpr, HIGH: tl.constexpr, PARTS: tl.constexpr, MEAN: tl.constexpr, HOLES: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Writes a part of one channel with spans of frames and of bands, or where both meet, filled; 0 past the end."""
    row, place = tl.program_id(1).to(tl.int64), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    item = row // channels
    length = tl.load(lengths + item).to(tl.int32)
    band, frame = place // count, place % count
    hidden = place < 0
    for number in tl.static_range(WIDE):
        at = item * WIDE + number
        inside = (frame >= tl.load(frame_starts + at)) & (frame < tl.load(frame_ends + at))
        if HOLES:
            inside = inside & (band >= tl.load(band_starts + at)) & (band < tl.load(band_ends + at))
        hidden = hidden | inside
    if not HOLES:
        for number in tl.static_range(HIGH):
            at = item * HIGH + number
            hidden = hidden | ((band >= tl.load(band_starts + at)) & (band < tl.load(band_ends + at)))
    if MEAN:
        number = tl.arange(0, PARTS)
        total = tl.sum(tl.load(sums + item * parts + number, mask=number < parts, other=0.0))
        fill = total / tl.maximum(length * bands * channels, 1).to(tl.float32)
    used = (place < bands * count) & (frame < length)
    value = tl.load(data + row * bands * count + place, mask=used, other=0.0)
    value = tl.where(hidden, fill, value)
    tl.store(out + row * bands * count + place, tl.where(frame < length, value, 0.0), mask=place < bands * count)
