"""Window functions (Hann, Kaiser, Gaussian, ...) by the names of ``scipy.signal.get_window``, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ontheflyspec import checks

Window = str | tuple[Any, ...]
"""A name, ``(name, number, ...)``, or the samples of a window."""

COSINES = {
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
    "rectangular": (1.0,),
}
"""Coefficients of cosine-sum windows: the mean, then those of 1, 2, 3 periods, with alternating signs."""


def cosine_sum(share: Tensor, weights: Sequence[float]) -> Tensor:
    """Returns a sum of cosines with alternating signs at shares of its length."""
    values = torch.zeros_like(share)
    for order, weight in enumerate(weights):
        values += (-1) ** order * weight * torch.cos(2 * torch.pi * order * share)
    return values


def _kaiser(share: Tensor, beta: float) -> Tensor:
    inside = (1 - (2 * share - 1).square()).clamp(min=0)
    values: Tensor = torch.special.i0(beta * inside.sqrt()) / torch.special.i0(share.new_tensor(beta))
    return values


def _tukey(share: Tensor, alpha: float = 0.5) -> Tensor:
    if alpha <= 0:
        return torch.ones_like(share)
    edge = torch.minimum(share, 1 - share) * 2 / min(alpha, 1.0)
    return torch.where(edge < 1, 0.5 * (1 - torch.cos(torch.pi * edge)), 1.0)


def _bohman(share: Tensor) -> Tensor:
    away = (2 * share - 1).abs().clamp(max=1)
    inner = (1 - away) * torch.cos(torch.pi * away) + torch.sin(torch.pi * away) / torch.pi
    return torch.where(away == 1, 0.0, inner)


def _barthann(share: Tensor) -> Tensor:
    away = (share - 0.5).abs()
    return 0.62 - 0.48 * away + 0.38 * torch.cos(2 * torch.pi * away)


SHAPES: dict[str, Callable[..., Tensor]] = {
    **{name: lambda share, name=name: cosine_sum(share, COSINES[name]) for name in COSINES},
    "bartlett": lambda share: 1 - (2 * share - 1).abs(),
    "barthann": _barthann,
    "bohman": _bohman,
    "general_cosine": cosine_sum,
    "general_hamming": lambda share, alpha: cosine_sum(share, (alpha, 1 - alpha)),
    "kaiser": _kaiser,
    "lanczos": lambda share: torch.sinc(2 * share - 1),
    "povey": lambda share: cosine_sum(share, COSINES["hann"]).clamp(min=0) ** 0.85,
    "tukey": _tukey,
}
"""Windows that depend on shares of their length alone, 0 to 1: these serve filters of any length, too."""


def _centred(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.float64) - (count - 1) / 2


def _parzen(count: int) -> Tensor:
    place = _centred(count).abs()
    away = place / (count / 2)
    return torch.where(place <= (count - 1) / 4, 1 - 6 * away**2 + 6 * away**3, 2 * (1 - away) ** 3)


def _triangle(count: int) -> Tensor:
    return 1 - _centred(count).abs() * 2 / (count + count % 2)


def _exponential(count: int, center: float | None = None, tau: float = 1.0) -> Tensor:
    middle = (count - 1) / 2 if center is None else center
    return torch.exp(-(torch.arange(count, dtype=torch.float64) - middle).abs() / tau)


def _taylor(count: int, nbar: float = 4, sll: float = 30.0, norm: bool = True) -> Tensor:
    height = math.acosh(10 ** (sll / 20)) / math.pi
    stretch = nbar**2 / (height**2 + (nbar - 0.5) ** 2)
    orders = torch.arange(1, int(nbar), dtype=torch.float64)
    weights = torch.empty_like(orders)
    for place, order in enumerate(orders.tolist()):
        above = (-1) ** place * (1 - order**2 / stretch / (height**2 + (orders - 0.5) ** 2)).prod()
        others = torch.cat([orders[:place], orders[place + 1 :]])
        weights[place] = above / (2 * (1 - order**2 / others**2).prod())
    places = torch.cat([_centred(count), torch.zeros(1, dtype=torch.float64)])
    values = 1 + 2 * (weights @ torch.cos(2 * torch.pi * orders.unsqueeze(1) * places / count))
    return values[:-1] / values[-1] if norm else values[:-1]


def _chebyshev(count: int, at: float) -> Tensor:
    order = count - 1
    beta = math.cosh(math.acosh(10 ** (abs(at) / 20)) / order)
    x = beta * torch.cos(torch.pi * torch.arange(count, dtype=torch.float64) / count)
    outside = torch.cosh(order * torch.acosh(x.abs().clamp(min=1))) * torch.where(x < 0, 2 * (count % 2) - 1, 1)
    values = torch.where(x.abs() > 1, outside, torch.cos(order * torch.acos(x.clamp(-1, 1))))
    if count % 2:
        half = torch.fft.fft(values).real[: (count + 1) // 2]
        made = torch.cat([half[1:].flip(0), half])
    else:
        turned = torch.polar(values.abs(), torch.pi / count * torch.arange(count, dtype=torch.float64))
        half = torch.fft.fft(turned * values.sign()).real[1 : count // 2 + 1]
        made = torch.cat([half.flip(0), half])
    return made / made.max()


def _slepian(count: int, half_bandwidth: float) -> Tensor:
    """Returns the Slepian sequence (DPSS) of order 0: the symmetric one of an eigenproblem, of half the size then."""
    n, half = torch.arange(count, dtype=torch.float64), count // 2
    diagonal = ((count - 1 - 2 * n) / 2) ** 2 * math.cos(2 * math.pi * half_bandwidth / count)
    beside = (n * (count - n) / 2)[1:]
    size = half + count % 2
    first, second = diagonal[:size].clone(), beside[: size - 1].clone()
    if count % 2:
        second[-1] *= math.sqrt(2)
    else:
        first[-1] += beside[half - 1]
    matrix = torch.diag(first) + torch.diag(second, 1) + torch.diag(second, -1)
    vector = torch.linalg.eigh(matrix)[1][:, -1].clone()
    if count % 2:
        vector[-1] *= math.sqrt(2)
    vector = vector / vector[-1]
    if count % 2 == 0:  # as if it had a sample in the middle
        vector = vector * (count**2 / (count**2 + half_bandwidth))
    return torch.cat([vector, vector[:half].flip(0)])


def _kaiser_bessel_derived(count: int, beta: float) -> Tensor:
    if count % 2:
        rule = "an even win_length for the kaiser_bessel_derived window"
        raise ValueError(checks.message("window", rule, count, "Change win_length."))
    sums = _kaiser(torch.linspace(0, 1, count // 2 + 1, dtype=torch.float64), beta).cumsum(0)
    half = (sums[:-1] / sums[-1]).sqrt()
    return torch.cat([half, half.flip(0)])


POINTS: dict[str, Callable[..., Tensor]] = {
    "chebwin": _chebyshev,
    "cosine": lambda count: torch.cos(torch.pi / count * _centred(count)),
    "dpss": _slepian,
    "exponential": _exponential,
    "gaussian": lambda count, std: torch.exp(-0.5 * (_centred(count) / std).square()),
    "general_gaussian": lambda count, p, sig: torch.exp(-0.5 * (_centred(count) / sig).abs() ** (2 * p)),
    "kaiser_bessel_derived": _kaiser_bessel_derived,
    "parzen": _parzen,
    "taylor": _taylor,
    "triang": _triangle,
}
"""Windows that depend on the number of their samples, as symmetric ones of so many."""

PARAMETERS = {
    "chebwin": (1, 1),
    "dpss": (1, 1),
    "exponential": (0, 2),
    "gaussian": (1, 1),
    "general_cosine": (1, 1),
    "general_gaussian": (2, 2),
    "general_hamming": (1, 1),
    "kaiser": (1, 1),
    "kaiser_bessel_derived": (1, 1),
    "taylor": (0, 3),
    "tukey": (0, 1),
}
"""Fewest and most numbers of windows that take any."""

ALIASES = {
    "bart": "bartlett", "black": "blackman", "blackharr": "blackmanharris", "box": "rectangular",
    "boxcar": "rectangular", "cheb": "chebwin", "flat": "flattop", "gauss": "gaussian", "halfcosine": "cosine",
    "ham": "hamming", "hamm": "hamming", "han": "hann", "hanning": "hann", "kbd": "kaiser_bessel_derived",
    "ones": "rectangular", "parz": "parzen", "poisson": "exponential", "rect": "rectangular", "sinc": "lanczos",
    "taylorwin": "taylor", "tri": "triang", "triangle": "triang", "tuk": "tukey",
}  # fmt: skip
"""Other names that scipy, or users, have for them."""
NAMES = (*SHAPES, *POINTS)


def parse(where: str, window: Any) -> Window:
    """Returns a window as hashable data, or raises; samples as a tuple of numbers.

    Args:
        where: name that errors begin with.
        window: one of `NAMES` or `ALIASES`; a tuple of such a name and its numbers; or the samples, a 1-D tensor, an
            array or a sequence of numbers.
    """
    if isinstance(window, str):
        return _named(where, window, ())
    values = window.tolist() if isinstance(window, (Tensor, np.ndarray)) else window
    if not isinstance(values, (list, tuple)) or not values:
        rule = "window to be a name, a tuple (name, number, ...), or a tensor of samples"
        raise TypeError(checks.message(where, rule, repr(window), "Change window."))
    if isinstance(values[0], str):
        return _named(where, values[0], tuple(values[1:]))
    return tuple(checks.number(where, "window", value) for value in values)


def _named(where: str, name: str, numbers: tuple[Any, ...]) -> Window:
    """Returns a window of a name and numbers, or raises unless there is one."""
    name = name.replace(" ", "_")
    name = checks.choice(where, "window", ALIASES.get(name, name), NAMES)
    fewest, most = PARAMETERS.get(name, (0, 0))
    if not fewest <= len(numbers) <= most:
        rule = f"window {name!r} with {fewest if fewest == most else f'{fewest} to {most}'} numbers"
        remedy = f'Write window=("{name}", number).' if most else f'Write window="{name}".'
        raise ValueError(checks.message(where, rule, len(numbers), remedy))
    if name == "general_cosine":
        weights = checks.sequence(where, "window", numbers[0])
        return name, tuple(checks.number(where, "window", weight) for weight in weights)
    kept = tuple(
        one if one is None or isinstance(one, bool) else checks.number(where, "window", one) for one in numbers
    )
    return (name, *kept) if kept else name


def window(shape: Window, win_length: int, n_fft: int, *, symmetric: bool = False) -> Tensor:
    """Returns a window centred in ``n_fft`` samples, as ``scipy.signal.get_window`` has it, float64 ``[n_fft]``.

    Args:
        shape: of `parse`.
        win_length: samples of the window itself.
        n_fft: samples of the frame; zeros stand on both sides of the window.
        symmetric: whether the window is symmetric; else it is periodic, the first samples of a symmetric one with one
            more. ``"povey"`` and ``"kaiser_bessel_derived"`` are always symmetric.
    """
    values = _samples(shape, win_length, symmetric)
    left = (n_fft - win_length) // 2
    return torch.nn.functional.pad(values, (left, n_fft - win_length - left))


def _samples(shape: Window, count: int, symmetric: bool) -> Tensor:
    """Returns so many samples of a window."""
    name, *numbers = (shape,) if isinstance(shape, str) else shape
    if isinstance(name, Real):
        return torch.tensor(shape, dtype=torch.float64)
    if count == 1:
        return torch.ones(1, dtype=torch.float64)
    whole = symmetric or name in ("povey", "kaiser_bessel_derived")
    if name in SHAPES:
        share = torch.arange(count, dtype=torch.float64) / (count - 1 if whole else count)
        return SHAPES[name](share, *numbers)
    return POINTS[name](count if whole else count + 1, *numbers)[:count]


def at(shape: Window, phase: Tensor) -> Tensor:
    """Returns the values of a window of `SHAPES` at shares of its length, 0 to 1, in float64."""
    name, *numbers = (shape,) if isinstance(shape, str) else shape
    return SHAPES[name](phase, *numbers)
