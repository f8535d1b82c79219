"""Speed perturbation, pitch shift and time stretch."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, uniform
from ontheflyspec.functional import phase_vocoder_tables as tables
from ontheflyspec.functional.phase_vocoder import vocode
from ontheflyspec.functional.resampling import change_speeds, fraction, step_table
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info, last_axis

FASTEST = 8.0
"""Largest factor of `Speed`, and 1 over the smallest."""

SEMITONES = 48.0
"""Largest shift of `PitchShift` in either direction."""

PACE = 16.0
"""Largest rate of `TimeStretch`, and 1 over the smallest."""


class Speed(Augment):
    """Speed perturbation: plays each item faster or slower by a drawn factor; pitch and pace change together.

    Resampling by the fraction of the smallest whole numbers within 0.1 % (1.7 cents) of the drawn factor: filters stay
    small, of numbers up to 501 next to a factor of 1 and of about 45 in the mean. The filter is that of `Resample`,
    flat to 0.01 dB up to 0.88 of the lower Nyquist frequency, 100 dB down from 1.0 of it on. An item of n samples comes
    out with ``ceil(n / factor)`` of that fraction; the rate of the batch stays.

    Args:
        factor: range that the factor is drawn from, uniformly, within 1/8..8; above 1 is faster and shorter.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` likewise, a Tensor ``[T]`` to its own; all channels of an item
        together. With lengths on a device, which is not waited for, the last axis is as long as the slowest item could
        be.

    Padding:
        Beyond its ends an item goes on with zeros, whatever stands in the padding; exactly 0 past each new length.

    Raises:
        ValueError: a range with low above high or beyond 8 times; `output_lengths` without the table of a draw where
            they differ.

    Matches:
        `Resample` by the same fraction within 1e-5, sines at their new frequency (tests/augment/test_speed.py).

    References:
        Ko et al., "Audio augmentation for speech recognition", Interspeech 2015.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(9_900), torch.randn(4_500)], rate=8_000)
        >>> ofs.augment.Speed(factor=1.1)(batch).lengths.tolist()
        [9000, 4091]
    """

    changes_lengths = True

    def __init__(self, *, factor: float | Span = (0.9, 1.1), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.factor = checks.span("Speed", "factor", factor, low=1 / FASTEST, high=FASTEST)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``factor``."""
        return {"factor": uniform(self.factor)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that resamples the active items."""
        factors = torch.where(params["active"], params["factor"], 1.0)
        fractions = [fraction(factor) for factor in factors.tolist()]
        old, new = torch.tensor(fractions, dtype=torch.int64, device="cpu").reshape(-1, 2).unbind(1)
        rates = [rate.to(info.lengths.device, non_blocking=True) for rate in (old, new)]
        sizes = _sped(info.lengths, *rates)
        size = last_axis(sizes, _sped(torch.full_like(old, info.size), old, new))
        options = {"sizes": sizes, "size": size, "fractions": fractions, "plans": step_table(fractions)}
        slope = rates[1].double() / rates[0]
        return Edit(change_speeds, options, params["active"], sizes, size, lambda: info.one_piece(slope))


def _sped(lengths: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Returns the samples of resampled items, ``ceil(n * new / old)``, int64 ``[B]``."""
    return -(-lengths * new // old)


class PitchShift(Augment):
    """Pitch shift by a drawn number of semitones, which keeps length and pace, by a phase vocoder.

    Phases are loosely locked; frames of the result have 37.5 ms, every 12.5 ms. Each is the inverse Fourier transform
    of a frame that lasts longer or shorter by the drawn ratio, so no resampling follows and nothing aliases: partials
    that rise above half the rate vanish. The ratio is rounded to whole points of that transform, by at most 2.9 cents,
    2 at 22.05 kHz and 1 at 44.1 kHz. A vowel's formants move with its pitch; attacks spread over a frame. Between kinds
    of device rounding may turn the phases of sounds that follow silence.

    The batch must know its rate. Gradients take the turns of the phases as constants.

    Args:
        semitones: range in semitones that the shift is drawn from, uniformly, within -48..48; above 0 is higher.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out. All channels of an item turn together: differences of phase
        between them stay.

    Padding:
        Ignored; 0 past each length. Beyond its ends an item is silent.

    Raises:
        ValueError: a range with low above high or beyond 48, a batch without a rate, a table with a higher shift than
            the range has.

    Matches:
        Tones within 3 cents, and vowels within 5 by ``librosa.pyin`` (tests/augment/test_pitch.py).

    References:
        Laroche, Dolson, "Improved phase vocoder time-scale modification of audio", IEEE Trans. Speech and Audio
        Processing 1999; Puckette, "Phase-locked vocoder", WASPAA 1995.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.sin(torch.arange(8_000.0) * (2 * torch.pi * 440 / 8_000))
        >>> higher = ofs.augment.PitchShift(semitones=12.0)(ofs.pad([tone], rate=8_000)).data[0]
        >>> int(torch.fft.rfft(higher).abs().argmax())
        880
    """

    def __init__(self, *, semitones: float | Span = (-4.0, 4.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.semitones = checks.span("PitchShift", "semitones", semitones, low=-SEMITONES, high=SEMITONES)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``semitones``."""
        return {"semitones": uniform(self.semitones)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that shifts the pitch of the active items."""
        hop = tables.hop_for(info.known_rate("frames in seconds"))
        n_fft = tables.transform_size(hop, self.semitones[1])
        points = tables.points_for(torch.where(params["active"], params["semitones"], 0.0).cpu(), n_fft)
        if bool((points < tables.HOPS * hop).any()):
            rule = f"a table within the range of semitones, up to {self.semitones[1]:g}"
            got, remedy = f"{float(params['semitones'].max()):g}", "Apply it with a step of that range."
            raise ValueError(checks.message(info.where, rule, got, remedy))
        settings = tables.StretchSettings(torch.ones_like(points, dtype=torch.float64), points, hop, n_fft)
        active = params["active"].cpu()
        options = {"sizes": info.lengths, "size": info.size, "settings": settings, "pace": settings.pace}
        return info.edit(vocode, active, **options)


class TimeStretch(Augment):
    """Time stretch by a drawn rate, which keeps the pitch, by a phase vocoder.

    The phase vocoder of `PitchShift` with frames of 37.5 ms. An item of n samples comes out with ``round(n / rate)``,
    at least one if it had one. The batch must know its rate in Hz. Gradients take the turns of the phases as constants.

    Args:
        rate: range that the rate is drawn from, uniformly, within 1/16..16; above 1 is faster and shorter.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` likewise, a Tensor ``[T]`` to its own; all channels of an item
        turn together. With lengths on a device, which is not waited for, the last axis is as long as the slowest
        item could be.

    Padding:
        Ignored; 0 past each new length. Beyond its ends an item is silent.

    Raises:
        ValueError: a range with low above high or beyond 16 times, a batch without a rate; `output_lengths` without
            the table of a draw where they differ.

    Matches:
        The signal itself at rate 1, 2e-6; clicks within 12.5 ms of their new times, tones within 0.1 cents
        (tests/augment/test_pitch.py).

    References:
        As `PitchShift`.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(8_000), torch.randn(4_000)], rate=8_000)
        >>> ofs.augment.TimeStretch(rate=0.8)(batch).lengths.tolist()
        [10000, 5000]
    """

    changes_lengths = True

    def __init__(self, *, rate: float | Span = (0.8, 1.25), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.rate = checks.span("TimeStretch", "rate", rate, low=1 / PACE, high=PACE)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``rate``."""
        return {"rate": uniform(self.rate)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that stretches the active items."""
        active = params["active"].cpu()
        pace = torch.where(active, params["rate"].cpu(), 1.0)
        there = pace.to(info.lengths.device, non_blocking=True)
        sizes = _stretched(info.lengths, there)
        size = last_axis(sizes, _stretched(torch.full_like(active, info.size, dtype=torch.int64), pace))
        edit = Edit(vocode, {}, active, sizes, size, lambda: info.one_piece(1 / there))
        if len(info.shape) == 1:
            return edit
        hop = tables.hop_for(info.known_rate("frames in seconds"))
        settings = tables.StretchSettings(pace, None, hop, tables.transform_size(hop, 0.0))
        return edit._replace(options={"sizes": sizes, "size": size, "settings": settings, "pace": settings.pace})


def _stretched(lengths: Tensor, rate: Tensor) -> Tensor:
    """Returns the samples of stretched items, ``round(n / rate)``, 1 at least if there were any, int64 ``[B]``."""
    return torch.round(lengths / rate).long().clamp(min=1) * (lengths > 0)
