"""Triton programs' common parts: samples read around an item's ends, spectra written as numbers or as their size."""

import triton
import triton.language as tl


@triton.jit
def read_samples(
    row_of_waves, place, wanted, length, after, REFLECT: tl.constexpr, INT16: tl.constexpr
):  # fmt: skip
    """Returns samples in float32, reflected at the item's own ends up to ``after`` past the last, or 0 beyond them."""
    if REFLECT:
        period = tl.maximum(2 * length - 2, 1)
        folded = place % period
        folded = tl.where(folded < 0, folded + period, folded)
        source = tl.minimum(folded, period - folded)
        used = wanted & (place < tl.where(length > 0, length + after, -(2**30)))  # no samples: nothing to reflect
    else:
        source = place
        used = wanted & (place >= 0) & (place < length)
    value = tl.load(row_of_waves + source, mask=used, other=0).to(tl.float32)
    if INT16:
        value = value / 32768.0
    return value


@triton.jit
def write_spectra(out, place, real, imaginary, written, FORM: tl.constexpr):
    """Writes spectra at places: 0 complex, 1 magnitude, 2 power."""
    if FORM == 0:
        tl.store(out + 2 * place, real, mask=written)
        tl.store(out + 2 * place + 1, imaginary, mask=written)
    else:
        power = real * real + imaginary * imaginary
        if FORM == 1:
            power = tl.sqrt(power)
        tl.store(out + place, power, mask=written)
