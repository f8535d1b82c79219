"""Clips out of files: which part of a file a draw wants, and how it gets into a row of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ontheflyspec import checks, rng
from ontheflyspec.batch import as_tensor
from ontheflyspec.data import audio, faults
from ontheflyspec.data.faults import BadFile
from ontheflyspec.data.header import INTEGER
from ontheflyspec.data.table import Ints, Table

_CROP_KEY = rng.fold(0, int.from_bytes(b"crop", "big"))
_MARGIN = 256
"""Source samples (times the rates' ratio) read beside a part that is resampled, so that no cut edge is heard."""
_SLACK_S = 0.1
"""How much a manifest's duration may exceed its file: they are often rounded."""


class Part(NamedTuple):
    """What one draw wants of one file.

    Args:
        clip: place in the table.
        start: first sample, at the data set's rate.
        length: samples, at the data set's rate.
        id: identity of clip and epoch, or None.
    """

    clip: int
    start: int
    length: int
    id: int | None


class Source:
    """The files of a data set and how it reads them; all its subsets share one.

    Args:
        where: name for errors.
        table: headers.
        sample_rate: Hz of all clips.
        mono: mix channels down.
        max_samples: longest clip, None for any.
        random_crop: draw the part of a longer clip, or take its start.
        skip: leave bad files out.
        max_failures: most bad files to leave out, None for any number.
    """

    def __init__(
        self,
        where: str,
        table: Table,
        *,
        sample_rate: int,
        mono: bool,
        max_samples: int | None,
        random_crop: bool,
        skip: bool,
        max_failures: int | None,
    ) -> None:
        self.where, self.table, self.sample_rate, self.mono = where, table, sample_rate, mono
        self.max_samples, self.random_crop, self.skip, self.max_failures = max_samples, random_crop, skip, max_failures
        self.begins: Ints | None = None
        """First frame of each clip in its file, None if all begin with their files."""
        self.spans = table.frames
        """Frames of each clip in its file."""

    def full_lengths(self, clips: Any) -> Ints:
        """Returns samples after resampling, before ``max_seconds``."""
        rates = self.table.rates[clips].astype(np.int64)
        full: Ints = -(-self.spans[clips] * self.sample_rate // np.maximum(rates, 1))
        return full

    def lengths(self, clips: Any) -> Ints:
        """Returns samples of these clips as the data set gives them."""
        full = self.full_lengths(clips)
        return full if self.max_samples is None else np.minimum(full, self.max_samples)

    def check(self) -> None:
        """Raises if files cannot be one data set: no good one, too many bad ones, or unlike channels without mixing."""
        self.check_failures()
        good = np.flatnonzero(self.table.marks == 0)
        if not len(good):
            first = self.table.failures()[0]
            got = f"none of {len(self.table)} ({first.path}: {first.reason}, ...)"
            raise ValueError(checks.message(self.where, "at least one good file", got, "Look at the files."))
        channels = self.table.channels[good]
        usual = int(np.bincount(channels).argmax())
        if not self.mono and (channels != usual).any():
            odd = good[np.flatnonzero(channels != usual)[0]]
            got = f"{self.table.channels[odd]} in {self.table.paths[int(odd)]!r}"
            rule = f"equally many channels in all files, {usual}"
            raise ValueError(checks.message(self.where, rule, got, "Pass mono=True or leave the file out."))

    def cut(self, where: str, clips: list[int], offsets_s: list[float], durations_s: list[float | None]) -> None:
        """Restricts clips to parts of their files, given in seconds for all clips of the table."""
        self.begins, self.spans = np.zeros(len(self.table), np.int64), self.table.frames.copy()
        for clip in clips:
            offset, duration = offsets_s[clip], durations_s[clip]
            rate, frames = self.table.rates.item(clip), self.table.frames.item(clip)
            begin = round(offset * rate)
            end = frames if duration is None else round((offset + duration) * rate)
            if not begin < min(end, frames) or end > frames + _SLACK_S * rate:
                rule = f"a part of {self.table.paths[clip]!r}, 0 to {frames / rate:g} s"
                got = f"{offset:g} to {end / rate:g} s"
                raise ValueError(checks.message(where, rule, got, "Correct offset and duration."))
            self.begins[clip], self.spans[clip] = begin, min(end, frames) - begin

    def is_bad(self, clip: int) -> bool:
        """Returns whether some process has found the file bad."""
        return bool(self.table.marks[clip])

    def is_integer(self, clip: int) -> bool:
        """Returns whether int16 holds the clip without loss."""
        table = self.table
        mixed = self.mono and table.channels[clip] > 1
        return bool(table.layouts[clip] & INTEGER and table.rates[clip] == self.sample_rate and not mixed)

    def parts(self, clips: Sequence[int], epochs: Sequence[int | None]) -> list[Part]:
        """Returns what to read of each clip; longer ones than ``max_seconds`` are cropped by their draw."""
        full = self.full_lengths(np.asarray(clips, np.int64)).tolist()
        ids = [None if epoch is None else rng.item_id(clip, epoch) for clip, epoch in zip(clips, epochs, strict=True)]
        starts, lengths = [0] * len(full), full
        if self.max_samples is not None:
            lengths = [min(length, self.max_samples) for length in full]
            if self.random_crop:
                self._draw_starts(starts, full, clips, ids)
        return [Part(*part) for part in zip(clips, starts, lengths, ids, strict=True)]

    def _draw_starts(self, starts: list[int], full: list[int], clips: Sequence[int], ids: list[int | None]) -> None:
        """Draws where longer clips begin, each evenly from all starts that leave room."""
        longer = [place for place, length in enumerate(full) if length > (self.max_samples or 0)]
        named = [place for place in longer if ids[place] is not None]
        unnamed = [place for place in longer if ids[place] is None]
        keys = torch.cat([as_tensor([ids[place] for place in named], torch.int64), rng.fresh_ids(len(unnamed))])
        for place, unit in zip(named + unnamed, rng.uniform(keys, _CROP_KEY, 1)[:, 0].tolist(), strict=True):
            step = self.sample_rate // math.gcd(self.sample_rate, int(self.table.rates[clips[place]]))
            spare = full[place] - (self.max_samples or 0)
            starts[place] = int(unit * (spare // step + 1)) * step

    def read(self, part: Part, out: NDArray[Any]) -> None:
        """Fills ``out`` (``[length]``, or ``[C, length]`` without mixing; int16 or float32), or raises BadFile."""
        clip, start, length, _ = part
        header, path = self.table.header(clip), self.table.paths[clip]
        begin, span = 0 if self.begins is None else int(self.begins[clip]), int(self.spans[clip])
        if header.rate == self.sample_rate and header.channels == 1:
            audio.read_into(path, header, begin + start, out if out.ndim == 1 else out[0])
            return
        first, last, skipped = start, start + length, 0
        if header.rate != self.sample_rate:
            first, last, skipped = _source_part(start, length, span, header.rate, self.sample_rate)
        block = np.empty((last - first, header.channels), out.dtype)
        audio.read_into(path, header, begin + first, block)
        if self.mono:
            block = audio.mix(block)
        block = audio.resample(block, header.rate, self.sample_rate)[skipped : skipped + length]
        out[...] = block.T

    def clip(self, part: Part) -> Tensor:
        """Returns the samples of a part as a tensor of its own, or raises BadFile."""
        kind = np.int16 if self.is_integer(part.clip) else np.float32
        shape = (part.length,) if self.mono else (int(self.table.channels[part.clip]), part.length)
        wave = np.empty(shape, kind)
        self.read(part, wave)
        return torch.from_numpy(wave)

    def fail(self, clip: int, bad: BadFile) -> None:
        """Notes a bad file; raises unless it may be left out."""
        if not self.skip:
            raise faults.error(self.where, self.table.paths[clip], bad, may_skip=True) from None
        self.table.marks[clip] = bad.code
        self.check_failures()

    def check_failures(self) -> None:
        """Raises if more files are bad than may be."""
        count = int(np.count_nonzero(self.table.marks))
        if self.max_failures is not None and count > self.max_failures:
            listed = "; ".join(f"{failure.path}: {failure.reason}" for failure in self.table.failures()[:3])
            rule, got = f"at most max_failures = {self.max_failures} bad files", f"{count} ({listed}, ...)"
            raise RuntimeError(checks.message(self.where, rule, got, "Look at .failures or raise max_failures."))


def _source_part(start: int, length: int, span: int, old: int, new: int) -> tuple[int, int, int]:
    """Returns first and last frame to read of a file at rate ``old``, and the samples at rate ``new`` to skip then.

    ``start`` is a multiple of the period after which both rates meet again, so the part's samples fall where those of
    the whole clip fall.
    """
    common = math.gcd(old, new)
    before, after = old // common, new // common
    margin = -(-_MARGIN * -(-old // new) // before) * before
    first = max(0, start // after * before - margin)
    last = min(span, -(-(start + length) * old // new) + margin)
    return first, last, start - first // before * after
