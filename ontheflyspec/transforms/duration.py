"""Fixed duration: cropping or padding to so many seconds, and trimming of silence at both ends."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_tensor
from ontheflyspec.functional.time_maps import Silence, trim_silence
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info, duration, fitted
from ontheflyspec.transforms.edit import EditTransform

Place = Literal["start", "center", "end"]
PLACES = ("start", "center", "end")


class AdjustDuration(EditTransform):
    """Adjusts every item to a fixed duration at a fixed place, in training and evaluation alike.

    Longer items are cropped, shorter ones padded with silence. `ofs.augment.AdjustDuration` and
    `ofs.augment.RandomCrop` draw the place.

    Args:
        seconds: duration of each result, rounded to whole samples.
        crop: what is kept of a longer item: its ``"start"``, ``"center"`` or ``"end"``.
        position: where a shorter item lies among the silence: at the ``"start"``, in the ``"center"`` or at the
            ``"end"``.
        sample_rate: Hz of the waveforms, so that bare Tensors can be adjusted and `output_lengths` is known; batches
            of another rate raise. None takes the rate of each batch.

    Shape:
        ``[B, T]`` to ``[B, round(seconds * rate)]``, ``[B, C, T]`` and a Tensor ``[T]`` likewise.

    Padding:
        Never enters an item; the silence that is put beside it is part of it, as its new length says.

    Raises:
        ValueError: seconds that are not above 0, an unknown place, a batch without a rate or of another one;
            `output_lengths` without a ``sample_rate``.

    Matches:
        Slices in numpy, bitwise (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(9_000), torch.randn(3_000)], rate=8_000)
        >>> ofs.AdjustDuration(seconds=0.5, crop="center")(batch).lengths.tolist()
        [4000, 4000]
    """

    changes_lengths = True

    def __init__(
        self, *, seconds: float, crop: Place = "start", position: Place = "start", sample_rate: float | None = None
    ) -> None:
        super().__init__()
        where = "AdjustDuration"
        self.seconds = checks.positive(where, "seconds", seconds)
        self.crop = checks.choice(where, "crop", crop, PLACES)
        self.position = checks.choice(where, "position", position, PLACES)
        self.sample_rate = checks.optional_rate(where, sample_rate)

    def output_lengths(self, lengths: Any) -> Any:
        """Returns the samples of the duration for each item, an int for an int and a tensor for a tensor."""
        given = as_tensor(lengths, torch.int64)
        wanted = duration(Info(given, self.sample_rate, given.reshape(-1).shape, "AdjustDuration"), self.seconds, None)
        return torch.full_like(given, wanted) if isinstance(lengths, Tensor) else wanted

    def plan(self, info: Info) -> Edit:
        """Returns the edit that crops or pads all items."""
        wanted = duration(info, self.seconds, self.sample_rate)
        return fitted(info, None, wanted, self.crop, self.position, pads=True)


class TrimSilence(EditTransform):
    """Trims silence off both ends of every item, relative to its own peak, in training and evaluation alike.

    As ``librosa.effects.trim``: the kept part reaches from the first to the last frame whose root mean square, in any
    channel, lies less than ``top_db`` below that of the item's loudest frame; an item that is silent throughout stays
    whole. New lengths depend on the samples: they stay on the device of the samples without a wait, and if that is not
    the host, the last axis stays as it is. `ofs.augment.TrimSilence` draws which items are trimmed.

    Args:
        top_db: level of silence below the loudest frame, in dB.
        frame_length: samples of a frame.
        hop_length: samples between frames, to which the cuts are rounded.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` and a Tensor ``[T]`` likewise; all channels of an item together.

    Padding:
        Ignored; 0 past each new length.

    Raises:
        ValueError: an option that is not above 0; `output_lengths`, which only the samples tell.

    Matches:
        ``librosa.effects.trim`` of each item alone, bitwise (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.nn.functional.pad(torch.sin(torch.arange(20_000.0)), (30_000, 10_000))
        >>> ofs.TrimSilence()(tone).shape
        torch.Size([22016])
    """

    changes_lengths = True

    def __init__(self, *, top_db: float = 60.0, frame_length: int = 2048, hop_length: int = 512) -> None:
        super().__init__()
        self.top_db = checks.positive("TrimSilence", "top_db", top_db)
        self.frame_length = checks.integer("TrimSilence", "frame_length", frame_length)
        self.hop_length = checks.integer("TrimSilence", "hop_length", hop_length)

    def output_lengths(self, lengths: Any) -> Any:
        """Raises: lengths alone do not tell."""
        rule, remedy = "samples, which new lengths depend on", "Take the lengths of the batch that comes out."
        raise ValueError(checks.message("TrimSilence", rule, f"lengths alone ({lengths})", remedy))

    def plan(self, info: Info) -> Edit:
        """Returns the edit that trims all items."""
        silence = Silence(self.top_db, self.frame_length, self.hop_length)
        return Edit(trim_silence, {"silence": silence, "rate": info.rate}, info.all_active(), size=info.size)
