"""Fixed level: gain, and normalisation of peak, root mean square and loudness."""

from __future__ import annotations

from ontheflyspec import checks
from ontheflyspec.functional.loudness import bring_to_level
from ontheflyspec.functional.masks import scale_items
from ontheflyspec.functional.snr import db_to_amplitude
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info
from ontheflyspec.transforms.edit import EditTransform


class Gain(EditTransform):
    """Gain: makes every item louder or softer by the same number of decibels, in training and evaluation alike.

    `ofs.augment.Gain` draws the gain.

    Args:
        gain_db: gain in dB.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a gain that is not finite.
        TypeError: a gain that is no number.

    Matches:
        ``10 ** (gain_db / 20)`` times the samples, 1e-6; the augmentation of the same name, bitwise
        (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.Gain(gain_db=20.0).eval()(torch.tensor([0.01, -0.02]))
        tensor([ 0.1000, -0.2000])
    """

    def __init__(self, *, gain_db: float) -> None:
        super().__init__()
        self.gain_db = checks.number("Gain", "gain_db", gain_db)

    def plan(self, info: Info) -> Edit:
        """Returns the edit that multiplies the samples."""
        return info.edit(scale_items, None, factors=db_to_amplitude(info.each(self.gain_db)))


class PeakNormalize(EditTransform):
    """Peak normalisation: brings the largest magnitude of every item to one level, in training and evaluation alike.

    Silence stays silence. `ofs.augment.PeakNormalize` draws the level.

    Args:
        peak_db: level in dB; 0 is full scale, a magnitude of 1.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a level that is not finite.
        TypeError: a level that is no number.

    Matches:
        ``samples / max |samples| * 10 ** (peak_db / 20)`` of the item alone, 1e-6; the augmentation of the same name,
        bitwise (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.PeakNormalize().eval()(torch.tensor([0.1, -0.2]))
        tensor([ 0.5000, -1.0000])
    """

    def __init__(self, *, peak_db: float = 0.0) -> None:
        super().__init__()
        self.peak_db = checks.number("PeakNormalize", "peak_db", peak_db)

    def plan(self, info: Info) -> Edit:
        """Returns the edit that brings all items to the level."""
        target = info.each(self.peak_db)
        return info.edit(bring_to_level, info.all_active(), target_db=target, measure="peak", rate=None)


class RMSNormalize(EditTransform):
    """Root-mean-square normalisation: brings every item to one level, in training and evaluation alike.

    Silence stays silence. Peaks above full scale are not cut off. `ofs.augment.RMSNormalize` draws the level.

    Args:
        rms_db: level in dB; 0 is a root mean square of 1.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a level that is not finite.
        TypeError: a level that is no number.

    Matches:
        ``samples / sqrt(mean(samples ** 2)) * 10 ** (rms_db / 20)`` of the item alone, 1e-6; the augmentation of the
        same name, bitwise (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.RMSNormalize(rms_db=-20.0).eval()(torch.tensor([0.5, -0.5]))
        tensor([ 0.1000, -0.1000])
    """

    def __init__(self, *, rms_db: float = -20.0) -> None:
        super().__init__()
        self.rms_db = checks.number("RMSNormalize", "rms_db", rms_db)

    def plan(self, info: Info) -> Edit:
        """Returns the edit that brings all items to the level."""
        target = info.each(self.rms_db)
        return info.edit(bring_to_level, info.all_active(), target_db=target, measure="rms", rate=None)


class LoudnessNormalize(EditTransform):
    """Loudness normalisation: brings every item to one level in LUFS, in training and evaluation alike.

    Loudness is measured as in `ofs.augment.LoudnessNormalize`, which draws the level: by ITU-R BS.1770-4, gated, over
    all channels together. Silence, and items below -70 LUFS throughout, stay as they are.

    Args:
        loudness_lufs: loudness in LUFS; -23 is that of broadcasts (EBU R 128).
        sample_rate: Hz of the waveforms, for bare Tensors; batches of another rate raise. None takes the rate of each
            batch.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a loudness that is not finite, a batch without a rate or of another one.
        TypeError: a loudness that is no number.

    Matches:
        The augmentation of the same name, bitwise (tests/test_fixed_steps.py), and what that matches.

    References:
        ITU-R BS.1770-4, "Algorithms to measure audio programme loudness and true-peak audio level", 2015.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.sin(2 * torch.pi * 997 / 16_000 * torch.arange(16_000.0))
        >>> quiet = ofs.LoudnessNormalize(loudness_lufs=-23.01, sample_rate=16_000)(tone)
        >>> round(quiet.max().item(), 2)  # the tone itself has -3.01 LUFS
        0.1
    """

    def __init__(self, *, loudness_lufs: float = -23.0, sample_rate: float | None = None) -> None:
        super().__init__()
        self.loudness_lufs = checks.number("LoudnessNormalize", "loudness_lufs", loudness_lufs)
        self.sample_rate = checks.optional_rate("LoudnessNormalize", sample_rate)

    def plan(self, info: Info) -> Edit:
        """Returns the edit that brings all items to the loudness."""
        target, rate = info.each(self.loudness_lufs), info.known_rate("blocks of 0.4 s")
        return info.edit(bring_to_level, info.all_active(), target_db=target, measure="loudness", rate=rate)
