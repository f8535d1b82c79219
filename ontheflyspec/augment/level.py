"""Level: gain, polarity inversion, normalisation of peak, root mean square and loudness."""

from __future__ import annotations

import torch

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, uniform
from ontheflyspec.functional.loudness import bring_to_level
from ontheflyspec.functional.masks import scale_items
from ontheflyspec.functional.snr import db_to_amplitude
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info


class Gain(Augment):
    """Gain: makes each item louder or softer by a drawn number of decibels.

    Args:
        gain_db: range in dB that the gain is drawn from, uniformly; one number for a fixed gain.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one gain an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1.

    Matches:
        ``10 ** (gain_db / 20)`` times the samples, 1e-6 (tests/augment/test_level.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.Gain(gain_db=20.0)(torch.tensor([0.01, -0.02]))
        tensor([ 0.1000, -0.2000])
    """

    def __init__(self, *, gain_db: float | Span = (-12.0, 6.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.gain_db = checks.span("Gain", "gain_db", gain_db)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``gain_db``."""
        return {"gain_db": uniform(self.gain_db)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that multiplies the samples of each item by its gain."""
        gain_db = torch.where(params["active"], params["gain_db"], 0)
        return info.edit(scale_items, None, factors=db_to_amplitude(gain_db))


class PolarityInversion(Augment):
    """Polarity inversion: multiplies waveforms by -1, which sounds the same but gives a network other numbers.

    Args:
        p: probability that an item is inverted; 0.5 makes both polarities equally likely.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item together.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a probability outside 0..1.

    Matches:
        ``-samples``, bitwise (tests/augment/test_level.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.PolarityInversion()(torch.tensor([0.5, -1.0]))
        tensor([-0.5000,  1.0000])
    """

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that multiplies the samples of the active items by -1."""
        return info.edit(scale_items, None, factors=torch.where(params["active"], -1, 1))


class PeakNormalize(Augment):
    """Peak normalisation: brings the largest magnitude of each item to a drawn level.

    Silence stays silence.

    Args:
        peak_db: range in dB that the level is drawn from, uniformly; 0 is full scale, a magnitude of 1.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1.

    Matches:
        ``samples / max |samples| * 10 ** (peak_db / 20)`` of the item alone, 1e-6
        (tests/augment/test_loudness.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.PeakNormalize()(torch.tensor([0.1, -0.2]))
        tensor([ 0.5000, -1.0000])
    """

    def __init__(self, *, peak_db: float | Span = 0.0, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.peak_db = checks.span("PeakNormalize", "peak_db", peak_db)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``peak_db``."""
        return {"peak_db": uniform(self.peak_db)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that brings the active items to their levels."""
        return info.edit(bring_to_level, params["active"], target_db=params["peak_db"], measure="peak", rate=None)


class RMSNormalize(Augment):
    """Root-mean-square normalisation: brings each item to a drawn level.

    Silence stays silence. Peaks above full scale are not cut off.

    Args:
        rms_db: range in dB that the level is drawn from, uniformly; 0 is a root mean square of 1.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1.

    Matches:
        ``samples / sqrt(mean(samples ** 2)) * 10 ** (rms_db / 20)`` of the item alone, 1e-6
        (tests/augment/test_loudness.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.RMSNormalize(rms_db=-20.0)(torch.tensor([0.5, -0.5]))
        tensor([ 0.1000, -0.1000])
    """

    def __init__(self, *, rms_db: float | Span = (-30.0, -15.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.rms_db = checks.span("RMSNormalize", "rms_db", rms_db)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``rms_db``."""
        return {"rms_db": uniform(self.rms_db)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that brings the active items to their levels."""
        return info.edit(bring_to_level, params["active"], target_db=params["rms_db"], measure="rms", rate=None)


class LoudnessNormalize(Augment):
    """Loudness normalisation: brings each item to a drawn level in LUFS.

    Loudness is measured as ITU-R BS.1770-4 has it: filtered as the ear hears, in blocks of 0.4 s that begin every
    0.1 s, over those above -70 LUFS and above 10 LU below the mean of these. An item shorter than a block is measured
    as a whole, without gates. All channels weigh the same, as left, right and centre do. Silence, and items
    below -70 LUFS throughout, stay as they are. Peaks above full scale are not cut off.

    Args:
        loudness_lufs: range in LUFS that the loudness is drawn from, uniformly.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1, a batch without a rate.

    Matches:
        The standard written in numpy, and ``torchaudio.functional.loudness``: 0.1 LU
        (tests/augment/test_loudness.py).

    References:
        ITU-R BS.1770-4, "Algorithms to measure audio programme loudness and true-peak audio level", 2015. The range is
        that of audiomentations' LoudnessNormalization.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.sin(2 * torch.pi * 997 / 16_000 * torch.arange(16_000.0))
        >>> quiet = ofs.augment.LoudnessNormalize(loudness_lufs=-23.01)(ofs.pad([tone], rate=16_000)).data
        >>> round(quiet.max().item(), 2)  # the tone itself has -3.01 LUFS
        0.1
    """

    def __init__(self, *, loudness_lufs: float | Span = (-31.0, -13.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.loudness_lufs = checks.span("LoudnessNormalize", "loudness_lufs", loudness_lufs)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``loudness_lufs``."""
        return {"loudness_lufs": uniform(self.loudness_lufs)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that brings the active items to their loudness."""
        target, rate = params["loudness_lufs"], info.known_rate("blocks of 0.4 s")
        return info.edit(bring_to_level, params["active"], target_db=target, measure="loudness", rate=rate)
