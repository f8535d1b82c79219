"""`Source`: the one reader of clips from files, for data sets and banks: which part is wanted, and its samples."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ontheflyspec import checks, rng
from ontheflyspec.batch import as_tensor
from ontheflyspec.data import audio, faults
from ontheflyspec.data.channels import chosen_channels
from ontheflyspec.data.header import INTEGER
from ontheflyspec.data.listing import Parts
from ontheflyspec.data.scan import scan
from ontheflyspec.data.stored import content
from ontheflyspec.data.table import Ints
from ontheflyspec.data.windows import Windows, framed

_CROP_KEY = rng.fold(0, int.from_bytes(b"crop", "big"))
_SLACK_S = 0.1
"""How much a manifest's duration may exceed its file: they are often rounded."""


class Part(NamedTuple):
    """What one draw wants of one file.

    Args:
        clip: place in the table.
        start: first sample, at the data set's rate.
        length: samples, at the data set's rate.
        id: identity of the draw, or None.
    """

    clip: int
    start: int
    length: int
    id: int | None


CHANGEABLE = ("max_seconds", "crop", "on_error", "max_failures", "dtype")
"""Options that do not ask for the files to be read again."""
GIVEN = ("where", "paths", "parts", "columns")
"""What a `Source` gets beside its options."""


class Options(TypedDict, total=False):
    """Options of `Source`, which data sets and banks hand on."""

    sample_rate: int
    mono: bool
    max_seconds: float | None
    crop: str
    on_error: str
    max_failures: int | None
    progress: bool
    dtype: torch.dtype | None
    window_seconds: float | None
    hop_seconds: float | None
    last: str
    channel: int | str | None


class Source:
    """Audio files, their headers read at once, and the way that clips are read from them.

    A data set and all its subsets share one.

    Args:
        where: name for errors.
        paths: the files, at least one.
        parts: which part of each file is the clip, as offset and duration in seconds; a duration of None goes to the
            end of the file. None for whole files.
        columns: what a manifest tells of each file beside this, by name.
        sample_rate: Hz of all clips.
        mono: mix channels down; otherwise all files must have equally many.
        max_seconds: longest clip, None for any.
        crop: ``"random"`` part of a longer clip, drawn by its id, or its ``"start"``.
        on_error: ``"raise"``, or ``"skip"`` to leave bad files out.
        max_failures: most bad files to leave out, None for any number.
        progress: show a bar on stderr while headers are read, if that takes longer than 2 s.
        dtype: of clips: float32, or None for int16 if it holds every clip without loss, else float32.
        window_seconds: length of the windows that files are cut into, each a clip, None for whole files.
        hop_seconds: from the start of a window to that of the next, None for the window's length.
        last: what becomes of a window that reaches beyond the end: ``"pad"``, ``"drop"`` or ``"keep"`` (shorter).
        channel: that is read alone, by its number or by the column of a manifest that holds it; None for all.
    """

    def __init__(
        self,
        where: str,
        paths: Sequence[str],
        parts: Parts | None = None,
        columns: Mapping[str, Sequence[Any]] | None = None,
        *,
        sample_rate: int,
        mono: bool = True,
        max_seconds: float | None = None,
        crop: str = "random",
        on_error: str = "raise",
        max_failures: int | None = None,
        progress: bool = True,
        dtype: torch.dtype | None = torch.float32,
        window_seconds: float | None = None,
        hop_seconds: float | None = None,
        last: str = "pad",
        channel: int | str | None = None,
    ) -> None:
        self.where, self.sample_rate, self.mono = (
            where,
            audio.whole_rate(where, sample_rate),
            checks.flag(where, "mono", mono),
        )
        self.max_samples, self.random_crop = _crop(where, max_seconds, crop, self.sample_rate)
        self.skip, self.max_failures = _faults(where, on_error, max_failures)
        self.table, found = scan(paths, stop_at_fault=not self.skip, progress=checks.flag(where, "progress", progress))
        if found and not self.skip:
            raise faults.error(where, paths[min(found)], found[min(found)], may_skip=True)
        self.begins: Ints | None = None
        """First frame of each clip in its file, None if all begin with their files."""
        self.spans = self.table.headers["frames"]
        """Frames of each clip in its file."""
        self.wrong_lines = 0
        """Lines of a manifest that were left out."""
        self.passed: list[faults.Failure] = []
        """Those lines, and files beside these that look like audio and are no members."""
        self.check()
        self.columns = dict(columns or {})
        if channel is not None and not self.mono:
            raise ValueError(checks.message(where, "mono=True with channel", "False", "Leave one of them out."))
        self.channel = (
            None if channel is None else chosen_channels(where, channel, self.table, self.columns, skip=self.skip)
        )
        """Number of the channel that is read of each file, None for all of them."""
        if parts is not None and any(part != (0.0, None) for part in parts):
            self._cut(parts)
            self.check()
        self.windows: Windows | None = None
        """What of which file each clip is, None where clips are files."""
        last = checks.choice(where, "last", last, ("pad", "drop", "keep"))
        if window_seconds is not None:
            self.windows = self._framed(checks.positive(where, "window_seconds", window_seconds), hop_seconds, last)
        elif hop_seconds is not None or last != "pad":
            rule, got = "window_seconds with hop_seconds or last", "none"
            raise ValueError(checks.message(where, rule, got, "Pass the length of windows, or leave these out."))
        self.dtype = checks.sample_dtype(where, dtype)
        self.integer = self.all_integer(self.good())
        """Whether int16 holds all good clips without loss."""

    def with_options(self, where: str, options: Mapping[str, Any]) -> Source:
        """Returns the same files read in another way, with errors that begin with ``where``.

        Args:
            where: name for errors.
            options: of `CHANGEABLE` ones.
        """
        unknown = [name for name in options if name not in CHANGEABLE]
        if unknown:
            rule, remedy = f"options of {', '.join(CHANGEABLE)}", "Build the data set anew for others."
            raise TypeError(checks.message(where, rule, ", ".join(unknown), remedy))
        twin = copy.copy(self)
        twin.where = where
        if "max_seconds" in options or "crop" in options:
            given = options.get("max_seconds", self.max_samples and self.max_samples / self.sample_rate)
            crop = options.get("crop", "random" if self.random_crop else "start")
            twin.max_samples, twin.random_crop = _crop(where, given, crop, self.sample_rate)
            if self.windows is not None:
                _one_of_both(where, twin.max_samples, float(self.windows.lengths.max()) / self.sample_rate)
        twin.skip, twin.max_failures = _faults(
            where,
            options.get("on_error", "skip" if self.skip else "raise"),
            options.get("max_failures", self.max_failures),
        )
        twin.dtype = checks.sample_dtype(where, options.get("dtype", self.dtype))
        twin.check_failures()
        return twin

    def __len__(self) -> int:
        return len(self.table) if self.windows is None else len(self.windows.files)

    def files(self, clips: Any) -> Any:
        """Returns the places in the table of the files that clips are of."""
        return clips if self.windows is None else self.windows.files[clips]

    def recordings(self, clips: Ints) -> Ints:
        """Returns numbers of the recordings that clips are of."""
        known = None if self.windows is None else self.windows.recordings
        numbers: Ints = self.files(clips) if known is None else known[clips]
        return numbers

    def good(self) -> Ints:
        """Returns the clips of files that nobody has found bad."""
        return np.flatnonzero(self.table.marks[self.files(slice(None))] == 0)

    def file_lengths(self, files: Any) -> Ints:
        """Returns samples of files, or of the parts that are used of them, after resampling."""
        rates = self.table.headers["rate"][files].astype(np.int64)
        full: Ints = -(-self.spans[files] * self.sample_rate // np.maximum(rates, 1))
        return full

    def full_lengths(self, clips: Any) -> Ints:
        """Returns samples after resampling, before ``max_seconds``."""
        return self.file_lengths(clips) if self.windows is None else self.windows.lengths[clips]

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
        channels = self.table.headers["channels"][good]
        usual = int(np.bincount(channels).argmax())
        if not self.mono and (channels != usual).any():
            odd = int(good[channels != usual][0])
            got = f"{self.table.header(odd).channels} in {self.table.paths[odd]!r}"
            rule = f"equally many channels in all files, {usual}"
            raise ValueError(checks.message(self.where, rule, got, "Pass mono=True or leave the file out."))

    def begin(self, file: int) -> int:
        """Returns the first frame that is used of a file."""
        return 0 if self.begins is None else int(self.begins[file])

    def is_bad(self, clip: int) -> bool:
        """Returns whether any process has found the file of a clip bad."""
        return bool(self.table.marks[self.files(clip)])

    def next_good(self, clips: Ints, place: int) -> int:
        """Returns the next place after this one, round the end, of a clip that is not known to be bad."""
        good = np.flatnonzero(self.table.marks[self.files(clips)] == 0)
        if not len(good):
            got = f"{len(clips)} bad ones"
            raise RuntimeError(checks.message("AudioDataset", "a readable clip", got, "Look at .failures."))
        return int(good[np.searchsorted(good, place) % len(good)])

    def all_integer(self, clips: Sequence[int] | Ints) -> bool:
        """Returns whether int16 holds these clips without loss."""
        known, clips = self.table.headers, self.files(np.asarray(clips, np.int64))
        whole = (known["layout"][clips] & INTEGER > 0) & (known["rate"][clips] == self.sample_rate)
        mixed = self.mono and self.channel is None
        return bool((whole & (known["channels"][clips] == 1 if mixed else True)).all())

    def parts(self, clips: Sequence[int], ids: Sequence[int | None]) -> list[Part]:
        """Returns the part to read of each clip; a clip longer than ``max_seconds`` is cropped by its id."""
        full = self.full_lengths(np.asarray(clips, np.int64)).tolist()
        lengths = [min(length, self.max_samples or length) for length in full]
        spare = [samples - length for samples, length in zip(full, lengths, strict=True)]
        starts = self._starts(clips, ids, spare) if self.random_crop and any(spare) else [0] * len(full)
        if self.windows is not None:
            starts = (self.windows.starts[clips] + starts).tolist()
        return [Part(*part) for part in zip(clips, starts, lengths, ids, strict=True)]

    def _framed(self, window_seconds: float, hop_seconds: float | None, last: str) -> Windows:
        """Returns the windows of all good files."""
        _one_of_both(self.where, self.max_samples, window_seconds)
        hop = checks.positive(self.where, "hop_seconds", window_seconds if hop_seconds is None else hop_seconds)
        files = np.flatnonzero(self.table.marks == 0)
        sizes, rates = self.file_lengths(files), self.table.headers["rate"][files].astype(np.int64)
        # Whole periods of the two rates, so that a window has the samples that the resampled file has there.
        steps = self.sample_rate // np.gcd(self.sample_rate, rates)
        window = max(1, round(window_seconds * self.sample_rate))
        found = framed(sizes, steps, window, hop * self.sample_rate, last)
        if not len(found.files):
            rule, got = f"a file of {window_seconds:g} s or more", f"{sizes.max() / self.sample_rate:g} s at most"
            raise ValueError(checks.message(self.where, rule, got, 'Lower window_seconds or pass last="pad".'))
        return found._replace(files=files[found.files])

    def _cut(self, parts: Parts) -> None:
        """Restricts good clips to parts of their files, or raises where a part is not in its file."""
        self.begins, self.spans = np.zeros(len(self.table), np.int64), self.spans.copy()
        for clip in np.flatnonzero(self.table.marks == 0).tolist():
            offset, duration = parts[clip]
            frames, rate, *_ = self.table.header(clip)
            begin = round(offset * rate)
            end = frames if duration is None else round((offset + duration) * rate)
            if not begin < min(end, frames) or end > frames + _SLACK_S * rate:
                if self.skip:
                    self.table.marks[clip] = faults.OUTSIDE
                    continue
                rule = f"a part of {self.table.paths[clip]!r}, 0 to {frames / rate:g} s"
                got = f"{offset:g} to {end / rate:g} s"
                raise ValueError(checks.message(self.where, rule, got, "Correct offset and duration."))
            self.begins[clip], self.spans[clip] = begin, min(end, frames) - begin

    def _starts(self, clips: Sequence[int], ids: Sequence[int | None], spare: list[int]) -> list[int]:
        """Returns the first sample of each clip, drawn evenly among those that leave room.

        Args:
            clips: places in the table.
            ids: of the clips, None for a fresh one.
            spare: samples that each clip has too many.
        """
        longer = [place for place, samples in enumerate(spare) if samples]
        fresh = iter(rng.fresh_ids(sum(ids[place] is None for place in longer)).tolist())
        keys = as_tensor([next(fresh) if ids[place] is None else ids[place] for place in longer])
        starts = [0] * len(spare)
        for place, unit in zip(longer, rng.uniform(keys, _CROP_KEY, 1)[:, 0].tolist(), strict=True):
            step = self.step_of(clips[place])
            starts[place] = int(unit * (spare[place] // step + 1)) * step
        return starts

    def step_of(self, clip: int) -> int:
        """Returns the samples that parts of a clip begin at a multiple of.

        These are whole periods of the two rates, so that a part has the samples that the resampled clip has there.
        """
        return self.sample_rate // math.gcd(self.sample_rate, int(self.table.headers["rate"][self.files(clip)]))

    def read(self, part: Part, out: NDArray[Any]) -> None:
        """Fills ``out`` (``[length]``, or ``[C, length]`` without mixing; int16 or float32), or raises BadFile."""
        clip, start, length, _ = part
        file = int(self.files(clip))
        header, path = self.table.header(file), content(self.table.path(file))
        begin, span = self.begin(file), int(self.spans[file])
        if self.windows is not None and (there := int(self.file_lengths(file)) - start) < length:
            out[..., there:] = 0
            length, out = there, out[..., :there]
        if header.rate == self.sample_rate and header.channels == 1:
            audio.read_into(path, header, begin + start, out if out.ndim == 1 else out[0])
            return
        first, last, skipped = start, start + length, 0
        if header.rate != self.sample_rate:
            first, last, skipped = audio.source_part(start, length, span, header.rate, self.sample_rate)
        block = np.empty((last - first, header.channels), out.dtype)
        audio.read_into(path, header, begin + first, block)
        if self.channel is not None:
            block = block[:, self.channel[file]]
        elif self.mono:
            block = audio.mix(block)
        block = audio.resample(block, header.rate, self.sample_rate)[skipped : skipped + length]
        out[...] = block.T

    def clip(self, part: Part) -> Tensor:
        """Returns the samples of a part as a tensor of its own, or raises BadFile."""
        kind = np.int16 if self.dtype is None and self.integer else np.float32
        shape = (part.length,) if self.mono else (self.channels(part.clip), part.length)
        wave = np.empty(shape, kind)
        self.read(part, wave)
        return torch.from_numpy(wave)

    def channels(self, clip: int) -> int:
        """Returns the channels of a clip's file."""
        return int(self.table.headers["channels"][self.files(clip)])

    def fail(self, clip: int, bad: faults.BadFile) -> None:
        """Notes a bad file; raises unless it may be left out."""
        file = int(self.files(clip))
        if not self.skip:
            raise faults.error(self.where, self.table.paths[file], bad, may_skip=True) from None
        self.table.marks[file] = bad.code
        self.check_failures()

    def check_failures(self) -> None:
        """Raises if more files are bad than may be."""
        count = int(np.count_nonzero(self.table.marks)) + self.wrong_lines
        if self.max_failures is not None and count > self.max_failures:
            found = [*self.table.failures(), *self.passed][:3]
            listed = "; ".join(f"{failure.path}: {failure.reason}" for failure in found)
            rule, got = f"at most max_failures = {self.max_failures} bad files", f"{count} ({listed}, ...)"
            raise RuntimeError(checks.message(self.where, rule, got, "Look at .failures or raise max_failures."))


def _one_of_both(where: str, max_samples: int | None, window_seconds: float) -> None:
    """Raises where clips have both a longest length and the length of windows."""
    if max_samples is not None:
        got = f"max_seconds with window_seconds={window_seconds:g}"
        raise ValueError(checks.message(where, "max_seconds or window_seconds", got, "Leave one of them out."))


def _crop(where: str, max_seconds: Any, crop: Any, sample_rate: int) -> tuple[int | None, bool]:
    """Returns the samples of the longest clip, None for any, and whether longer ones are cropped at random."""
    longest = None if max_seconds is None else checks.positive(where, "max_seconds", max_seconds)
    random = checks.choice(where, "crop", crop, ("random", "start")) == "random"
    return None if longest is None else max(1, round(longest * sample_rate)), random


def _faults(where: str, on_error: Any, max_failures: Any) -> tuple[bool, int | None]:
    """Returns whether bad files are left out, and how many at most, None for any number."""
    skip = checks.choice(where, "on_error", on_error, ("raise", "skip")) == "skip"
    return skip, None if max_failures is None else checks.integer(where, "max_failures", max_failures, low=0)
