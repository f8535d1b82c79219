"""Duration: random crops, padding to a fixed duration, trimming of silence at both ends."""

from __future__ import annotations

from typing import ClassVar

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, fraction
from ontheflyspec.functional.time_maps import Silence, trim_silence
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info, duration, fitted


class _Fitted(Augment):
    """Items of a fixed duration: longer items are cropped at a drawn start, shorter ones padded if ``pads`` is set."""

    changes_lengths = True
    pads: ClassVar[bool] = False
    """Whether shorter items are padded with silence."""
    position = "start"
    """Where a shorter item lies among the silence."""

    def __init__(self, *, seconds: float, sample_rate: float | None = None, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        where = type(self).__name__
        self.seconds = checks.positive(where, "seconds", seconds)
        self.sample_rate = checks.optional_rate(where, sample_rate)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``start``, a fraction of the possible starts of the crop, or of the item in silence."""
        return {"start": fraction()}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that crops or pads the active items."""
        wanted, drawn = duration(info, self.seconds, self.sample_rate), params["start"]
        position = drawn if self.position == "random" else self.position
        return fitted(info, params["active"], wanted, drawn, position, pads=self.pads)


class RandomCrop(_Fitted):
    """Random crop: keeps a stretch of fixed duration of each item, at a drawn start; shorter items stay whole.

    Args:
        seconds: duration of the crop, rounded to whole samples.
        sample_rate: Hz of the waveforms, so that bare Tensors can be cropped and `output_lengths` is known; batches of
            another rate raise. None takes the rate of each batch.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` and a Tensor ``[T]`` likewise; all channels of an item together.

    Padding:
        Never enters a crop; 0 past each new length.

    Raises:
        ValueError: seconds that are not above 0, a batch without a rate or of another one; `output_lengths` without a
            ``sample_rate``.

    Matches:
        Slices in numpy, bitwise (tests/augment/test_cropping.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(9_000), torch.randn(3_000)], rate=8_000)
        >>> ofs.augment.RandomCrop(seconds=0.5)(batch).lengths.tolist()
        [4000, 3000]
    """


class AdjustDuration(_Fitted):
    """Adjusts each item to a fixed duration: longer items are cropped at a drawn start, shorter ones padded.

    Args:
        seconds: duration of each result, rounded to whole samples.
        position: where a shorter item lies among the silence: ``"start"``, ``"center"``, ``"end"`` or
            ``"random"``.
        sample_rate: as in `RandomCrop`.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[B, T]`` to ``[B, round(seconds * rate)]`` if all items are changed, ``[B, C, T]`` and a Tensor ``[T]``
        likewise; all channels of an item together.

    Padding:
        Never enters an item; the silence that is put beside it is part of it, as its new length says.

    Raises:
        ValueError: seconds that are not above 0, an unknown position, a batch without a rate or of another one;
            `output_lengths` without a ``sample_rate``.

    Matches:
        Slices in numpy, bitwise (tests/augment/test_cropping.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(9_000), torch.randn(3_000)], rate=8_000)
        >>> ofs.augment.AdjustDuration(seconds=0.5)(batch).lengths.tolist()
        [4000, 4000]
    """

    pads = True

    def __init__(
        self,
        *,
        seconds: float,
        position: str = "start",
        sample_rate: float | None = None,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(seconds=seconds, sample_rate=sample_rate, p=p, seed=seed)
        self.position = checks.choice("AdjustDuration", "position", position, ("start", "center", "end", "random"))


class TrimSilence(Augment):
    """Trims silence off both ends of each item, as ``librosa.effects.trim`` does, relative to the item's own peak.

    The kept part reaches from the first to the last frame whose root mean square, in any channel, lies less than
    ``top_db`` below that of the item's loudest frame. An item that is silent throughout stays whole, as in librosa.
    Only which items are trimmed is drawn. New lengths depend on the samples: they stay on the device of the samples
    without a wait, and if that is not the host, the last axis stays as it is.

    Args:
        top_db: level of silence below the loudest frame, in dB.
        frame_length: samples of a frame.
        hop_length: samples between frames, to which the cuts are rounded.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` and a Tensor ``[T]`` likewise; all channels of an item together.

    Padding:
        Ignored; 0 past each new length.

    Raises:
        ValueError: an option that is not above 0; `output_lengths` of lengths alone.

    Matches:
        ``librosa.effects.trim`` of each item alone, bitwise (tests/augment/test_cropping.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.nn.functional.pad(torch.sin(torch.arange(20_000.0)), (30_000, 10_000))
        >>> ofs.augment.TrimSilence()(tone).shape
        torch.Size([22016])
    """

    changes_lengths = True

    def __init__(
        self, *, top_db: float = 60.0, frame_length: int = 2048, hop_length: int = 512, p: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.top_db = checks.positive("TrimSilence", "top_db", top_db)
        self.frame_length = checks.integer("TrimSilence", "frame_length", frame_length)
        self.hop_length = checks.integer("TrimSilence", "hop_length", hop_length)

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that trims the active items."""
        silence = Silence(self.top_db, self.frame_length, self.hop_length)
        return Edit(trim_silence, {"silence": silence, "rate": info.rate}, params["active"], size=info.size)
