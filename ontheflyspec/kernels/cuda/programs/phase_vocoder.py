"""Triton program of the phase vocoder's recursion over frames."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["count", "items", "bins"])
def turns(real, imag, state, out, count, items, bins, BLOCK: tl.constexpr):
    """Writes the phases of one item after every frame: turned, joined with both neighbours, of length 1."""
    item, bin = tl.program_id(0), tl.arange(0, BLOCK)
    used, plane = bin < bins, items * bins
    own = item * bins + bin
    now_real = tl.load(state + own, mask=used, other=0.0)
    now_imag = tl.load(state + plane + own, mask=used, other=0.0)
    tl.store(out + own, now_real, mask=used)
    tl.store(out + plane + own, now_imag, mask=used)
    below, above = tl.maximum(bin - 1, 0), tl.minimum(bin + 1, BLOCK - 1)
    real, imag, out = real + own, imag + own, out + own
    for _ in range(count):
        by_real, by_imag = tl.load(real, mask=used, other=0.0), tl.load(imag, mask=used, other=0.0)
        inner_real, inner_imag = now_real * by_real - now_imag * by_imag, now_imag * by_real + now_real * by_imag
        left_real, left_imag = tl.gather(inner_real, below, 0), tl.gather(inner_imag, below, 0)
        right_real, right_imag = tl.gather(inner_real, above, 0), tl.gather(inner_imag, above, 0)
        total_real = tl.where(bin > 0, left_real, 0.0) + inner_real + tl.where(bin < BLOCK - 1, right_real, 0.0) + 1e-18
        total_imag = tl.where(bin > 0, left_imag, 0.0) + inner_imag + tl.where(bin < BLOCK - 1, right_imag, 0.0)
        scale = tl.rsqrt(total_real * total_real + total_imag * total_imag)
        now_real = tl.where(used, total_real * scale, 0.0)
        now_imag = tl.where(used, total_imag * scale, 0.0)
        real, imag, out = real + plane, imag + plane, out + 2 * plane
        tl.store(out, now_real, mask=used)
        tl.store(out + plane, now_imag, mask=used)
