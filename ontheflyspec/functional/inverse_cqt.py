"""Inverse constant-Q transform: signals from constant-Q spectra by least squares, with conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose1d, pad

from ontheflyspec.functional.cqt_filters import ROW, Group
from ontheflyspec.functional.cqt_octaves import FilterBank, analyse
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.kept import where
from ontheflyspec.op import Op
from ontheflyspec.precision import matmul
from ontheflyspec.torch_internals import without_derivatives


def synthesise(parts: Sequence[Tensor], bank: FilterBank, size: int) -> Tensor:
    """Returns signals ``[R, size]`` for spectra by the transpose (adjoint) of `cqt_octaves.analyse`.

    Args:
        parts: spectra of each group of bins, real parts above imaginary parts, ``[R, 2 * bins, frames]``.
        bank: filters.
        size: samples of the signals, from the margin of level 0 on.
    """
    plan, hop_length = bank.plan, bank.framing.hop_length
    sizes = [size, *plan.sizes((parts[0].shape[-1] - 1) * hop_length)[1:]]
    total: Tensor | None = None
    for level in range(len(sizes) - 1, -1, -1):
        made = [] if total is None else [_raise(total, plan.starts[level], sizes[level], bank.decimators[level])]
        for part, kernel, group in zip(parts, bank.kernels, plan.groups, strict=True):
            if group.level == level:
                made.append(_spread(part, kernel, group, plan.before[level], hop_length, sizes[level]))
        total = made[0] if made else parts[0].new_zeros(parts[0].shape[0], sizes[level])
        for other in made[1:]:
            total = total + other
    assert total is not None
    return total


def _raise(x: Tensor, start: int, size: int, filters: Tensor) -> Tensor:
    """Returns ``size`` samples of signals ``[R, n]`` at the higher rate, by the transpose of `cqt_octaves.decimate`."""
    rows = -(-x.shape[1] // ROW)
    blocks = pad(x, (0, rows * ROW - x.shape[1])).reshape(x.shape[0], rows, ROW)
    parts = [pad(matmul(blocks, filters[place].t()), (0, 0, place, 2 - place)) for place in range(3)]
    return _place((parts[0] + parts[1] + parts[2]).flatten(1), start, size)


def _spread(part: Tensor, kernel: Tensor, group: Group, before: int, hop_length: int, size: int) -> Tensor:
    """Returns the filters of a group, each weighted and laid around the centre of each frame, added up."""
    period, step = group.period, group.step
    stride = period * hop_length // step
    total: Tensor | None = None
    for j in range(min(period, part.shape[-1])):
        wave = conv_transpose1d(part[..., j::period], kernel[j].unsqueeze(1), stride=stride)[:, 0]
        made = _place(wave, before + j * hop_length // step + group.low, size)
        total = made if total is None else total + made
    assert total is not None
    return total


def _place(x: Tensor, start: int, size: int) -> Tensor:
    """Returns signals ``[R, n]`` that begin at ``start`` among ``size`` samples, all others 0."""
    return pad(x, (start, max(size - start - x.shape[1], 0)))[:, :size]


@Op
def resynthesise(
    spectra: Tensor,
    lengths: Tensor | None,
    *,
    sizes: Tensor | None,
    size: int,
    bank: FilterBank,
    gains: Tensor,
    n_iter: int,
) -> Tensor:
    """Returns the signals whose constant-Q spectra come closest, each from its own frames alone.

    Args:
        spectra: complex ``[B, K, N]`` or ``[B, C, K, N]``.
        lengths: frames of each item, int64 ``[B]`` on any device, None if all items are full.
        sizes: samples of each item, likewise; None for ``size``.
        size: samples of the result.
        bank: filters of gain 1.
        gains: that the spectra have, ``[K]``.
        n_iter: steps of conjugate gradients.

    Shape: ``[B, size]`` or ``[B, C, size]``, 0 past each item's samples.
    """
    if size == 0 or spectra.shape[-1] == 0:
        return pad(spectra.real[..., 0, :0], (0, size))
    before, after, count = bank.plan.before[0], bank.plan.after[0] + 1, spectra.shape[-1]
    channels = spectra.shape[1] if spectra.dim() == 4 else 1
    frames, samples = (  # on the device once, not in every step
        None if one is None else one.to(spectra.device, non_blocking=True).repeat_interleave(channels)
        for one in (lengths, sizes)
    )

    def back(parts: Sequence[Tensor]) -> Tensor:
        return zero_padding(synthesise(parts, bank, before + size + after)[:, before : before + size], samples)

    def there_and_back(x: Tensor) -> Tensor:
        return back([zero_padding(part, frames) for part in analyse(pad(x, (before, after)), bank, count)])

    flat = torch.view_as_real((zero_padding(spectra, lengths) / gains.unsqueeze(-1)).flatten(0, -3))
    rows = [flat[:, group.first : group.last] for group in bank.plan.groups]
    target = back([torch.cat([row[..., 0], row[..., 1]], 1) for row in rows])
    if torch.is_grad_enabled():  # whose products underflow sooner
        raised = _raised(target)
        found = solve(there_and_back, target * raised, n_iter) / raised
    else:
        found = solve(there_and_back, target, n_iter)
    return found.reshape(*spectra.shape[:-2], size)


def _raised(target: Tensor) -> Tensor:
    """Returns the power of 2 that brings faint signals, ``[R, n]``, to where energies do not vanish: 1 for others."""
    peak = without_derivatives(target).abs().amax(-1, keepdim=True)
    return where(peak < 2.0**-40, where(peak < 2.0**-90, torch.full_like(peak, 2.0**110), 2.0**60), 1.0)


def solve(apply: Callable[[Tensor], Tensor], target: Tensor, n_iter: int) -> Tensor:
    """Returns x with ``apply(x) = target`` by the conjugate gradient method from 0, each row by itself.

    Args:
        apply: a symmetric linear map without negative eigenvalues.
        target: ``[R, n]``.
        n_iter: steps.
    """
    x, residual, direction = torch.zeros_like(target), target, target
    energy = residual.square().sum(-1, keepdim=True)
    for _ in range(n_iter):
        image = apply(direction)
        step = _ratio(energy, (direction * image).sum(-1, keepdim=True))
        x, residual = x + step * direction, residual - step * image
        left = residual.square().sum(-1, keepdim=True)
        direction = residual + _ratio(left, energy) * direction
        energy = left
    return x


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """Returns a quotient, 0 where there is nothing to divide by."""
    some = below > 0
    return where(some, above / where(some, below, 1), 0)
