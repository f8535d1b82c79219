"""`WaveformBank`: recordings kept in memory, packed: noises, impulse responses and voices for augmentations."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.batch import WAVE_DTYPES, as_float, as_tensor, check_dtype
from ontheflyspec.data import faults, listing
from ontheflyspec.data.faults import BadFile, Failure
from ontheflyspec.data.source import GIVEN, Options, Part, Source
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.recordings import Bank, Waves, silent_runs

NOT_HERE = (*GIVEN, "crop", "max_failures", "progress", "dtype", "window_seconds", "hop_seconds", "last", "channel")
"""What a bank does not hand on to its `Source`."""


class WaveformBank(nn.Module, Bank):
    """Recorded waves in memory, which augmentations draw noises, rooms and voices from.

    All waves lie one after the other in one tensor, decoded once: int16 where all of them are, else float32. The bank
    is a module without parameters or buffers: inside an augmentation it moves to devices with it, stays out of
    checkpoints, and DistributedDataParallel does not broadcast it.
    Copies of a module share the waves. What goes to another process through ``torch.multiprocessing`` (workers of a
    ``DataLoader``) goes as shared memory, once; ``share_memory()`` puts it there at once.

    Args:
        waves: tensors or arrays ``[T]`` or ``[C, T]``, all with the same channels, int16 or float.
        rate: samples per second of all waves, Hz.

    Raises:
        ValueError: no waves, unlike channels, or a wave that is empty, silent or not finite.
        TypeError: samples of another type than int16 or float.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> bank = ofs.WaveformBank([torch.randn(800), torch.randn(1600)], rate=16_000)
        >>> len(bank), bank.rate, bank[1].shape
        (2, 16000.0, torch.Size([1600]))
    """

    samples: Tensor
    """All waves, 1-D: the channels of a wave one after the other, then the next wave."""
    begins: Tensor
    """Where each wave begins among the samples, int64 on the host."""
    sizes: Tensor
    """Samples of each wave, per channel, int64 on the host."""

    def __init__(self, waves: Sequence[Any], *, rate: float) -> None:
        where = type(self).__name__
        if isinstance(waves, str | os.PathLike):
            remedy = "Use WaveformBank.from_folder or from_paths."
            raise TypeError(checks.message(where, "waves as tensors or arrays", repr(waves), remedy))
        given = [as_tensor(wave).detach().cpu() for wave in waves]
        for place, wave in enumerate(given):
            _check_wave(where, place, wave, given[0])
        kind = torch.int16 if all(wave.dtype == torch.int16 for wave in given) else torch.float32
        packed = [(wave if kind == torch.int16 else as_float(wave, kind)).flatten() for wave in given]
        channels = given[0].shape[0] if given and given[0].dim() == 2 else 1
        samples = torch.cat(packed) if packed else torch.zeros(0, dtype=kind, device="cpu")
        self._fill(where, samples, [wave.shape[-1] for wave in given], channels, rate)

    def _fill(self, where: str, samples: Tensor, sizes: list[int], channels: int, rate: float) -> None:
        super().__init__()
        if not sizes:
            raise ValueError(checks.message(where, "at least one wave", "none", "Check where the list comes from."))
        self.rate = checks.positive(where, "rate", rate)
        """Hz of all waves."""
        self.channels = channels
        """Channels of all waves."""
        self.failures: list[Failure] = []
        """Files that were left out, and why."""
        counts = torch.tensor(sizes, dtype=torch.int64, device="cpu")
        self.longest = max(sizes)
        """Samples of the longest wave, per channel."""
        # No buffers: DistributedDataParallel would send those of a wrapped model to all ranks at every step.
        self.samples, self.sizes, self.begins = samples, counts, (counts.cumsum(0) - counts) * channels
        self.silences = silent_runs(samples, self.begins, counts, channels) if len(samples) else None
        """First samples and ends of stretches of zeros, see `recordings.silent_runs`."""

    def __repr__(self) -> str:
        return f"WaveformBank(<{len(self.sizes)} waves>, rate={self.rate})"

    @classmethod
    @hands_on(Source, without=NOT_HERE)
    def from_folder(
        cls, root: str | os.PathLike[str], *, keep: str = "memory", **options: Unpack[Options]
    ) -> WaveformBank:
        """Returns a bank of all audio files below a folder, at any depth, in sorted order.

        Args:
            root: the folder; hidden files and files of other kinds are ignored.
            keep: ``"memory"``, or ``"disk"`` for banks larger than that: what is drawn of them is read as it is needed,
                by threads. Impulse responses need memory.
            **options: ``sample_rate`` (Hz that files are resampled to, by soxr), ``mono`` (mix channels down, the
                default; otherwise all files must have equally many), ``max_seconds`` (longest wave: of longer files
                the start is kept), ``on_error`` (``"raise"``, or ``"skip"`` to leave out files that are unreadable,
                empty or silent; `failures` names them).

        Raises:
            FileNotFoundError: no such folder.
            ValueError: no audio in it, or a file at fault.
        """
        where = "WaveformBank.from_folder"
        paths, passed = listing.list_audio(where, os.fspath(root))
        bank = cls._read(where, paths, keep, options)
        bank.failures += [Failure(-1, one.path, one.reason) for one in passed]
        return bank

    @classmethod
    @hands_on(Source, without=NOT_HERE)
    def from_paths(
        cls, paths: Sequence[str | os.PathLike[str]], *, keep: str = "memory", **options: Unpack[Options]
    ) -> WaveformBank:
        """Returns a bank of these audio files, in this order.

        Args:
            paths: the files.
            keep: as in `from_folder`.
            **options: as in `from_folder`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no files, or a file at fault.
        """
        where = "WaveformBank.from_paths"
        names = listing.as_paths(where, paths, "Pass a list, or use WaveformBank.from_folder.")
        return cls._read(where, names, keep, options)

    @classmethod
    def _read(cls, where: str, paths: list[str], keep: str, options: Options) -> WaveformBank:
        options["crop"], options["progress"] = "start", False
        on_disk = checks.choice(where, "keep", keep, ("memory", "disk")) == "disk"
        source = Source(where, paths, **options)
        if on_disk:
            return WaveformsOnDisk(where, source)
        good = source.good().tolist()
        channels = 1 if source.mono else int(source.table.headers["channels"][good[0]])
        samples, sizes = _decode(source, good, channels)
        source.check()
        bank = cls.__new__(cls)
        bank._fill(where, samples, sizes, channels, source.sample_rate)
        bank.failures = source.table.failures()
        return bank

    def __len__(self) -> int:
        return self.sizes.shape[0]

    def __getitem__(self, index: int) -> Tensor:
        """Returns one wave as it is kept, ``[T]`` or ``[C, T]``; a view."""
        place = range(len(self))[index]
        begin, size = int(self.begins[place]), int(self.sizes[place])
        wave = self.samples[begin : begin + self.channels * size]
        return wave if self.channels == 1 else wave.view(self.channels, size)

    def __deepcopy__(self, memo: dict[int, Any]) -> WaveformBank:
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__ = {
            name: value if isinstance(value, Tensor) else copy.copy(value) for name, value in vars(self).items()
        }
        memo[id(self)] = twin
        return twin

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves or shares the waves, in the type that they have; where they begin and end stays on the host."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        moved = fn(self.samples)
        self.samples = moved if moved.dtype == self.samples.dtype else self.samples.to(moved.device)
        return self

    def extra_repr(self) -> str:
        """Returns the text that ``repr`` shows: how many waves, how long, of which rate and type."""
        seconds = self.samples.shape[0] / self.channels / self.rate
        kind = str(self.samples.dtype).removeprefix("torch.")
        return f"{len(self)} waves, {seconds:.1f} s of {self.channels} channels at {self.rate:g} Hz, {kind}"


class WaveformsOnDisk(WaveformBank):
    """Recordings on disk, as `WaveformBank.from_folder` and `from_paths` make them with ``keep="disk"``.

    Args:
        where: name for errors.
        source: of the files.
    """

    def __init__(self, where: str, source: Source) -> None:
        self._clips = source.good()
        channels = 1 if source.mono else source.channels(int(self._clips[0]))
        sizes = source.lengths(self._clips).tolist()
        self._fill(where, torch.zeros(0, device="cpu"), sizes, channels, source.sample_rate)
        self.source = source

    @property
    def failures(self) -> list[Failure]:
        """Files that were left out, and why, those found while they were read among them."""
        return self.source.table.failures() + self._passed if "source" in self.__dict__ else []

    @failures.setter
    def failures(self, passed: list[Failure]) -> None:
        self._passed = [one for one in passed if one.index < 0]  # others are in the table

    def __getitem__(self, index: int) -> Tensor:
        """Returns one wave, read whole, ``[T]`` or ``[C, T]``."""
        place = range(len(self))[index]
        clip, size = int(self._clips[place]), int(self.sizes[place])
        wave = np.empty((self.channels, size), np.float32)
        self.source.read(Part(clip, 0, size, None), wave[0] if self.source.mono else wave)
        return torch.from_numpy(wave[0] if self.channels == 1 else wave)

    def __deepcopy__(self, memo: dict[int, Any]) -> WaveformsOnDisk:
        twin = copy.copy(self)
        memo[id(self)] = twin
        return twin

    def excerpts(self, file: Tensor, offsets: Tensor, spans: Tensor, wanted: Tensor) -> tuple[Waves, Tensor]:
        """Returns excerpts as waves that begin where they do, and whether each is heard; see `recordings.DiskBank`."""
        places, most = file.remainder(len(self)).cpu(), spans.cpu().clamp(min=1)
        sizes = torch.where(wanted.cpu(), torch.minimum(self.sizes[places], most), 1)
        begins = (sizes.flatten().cumsum(0).reshape(sizes.shape) - sizes) * self.channels
        clips = self._clips[places.numpy()]
        kind = np.int16 if self.source.all_integer(clips.ravel()) else np.float32
        samples = np.zeros(int(sizes.sum()) * self.channels, kind)
        heard = np.zeros(sizes.shape, bool)
        tries, ends = offsets.cpu().tolist(), sizes.numpy().copy()

        def read(at: tuple[int, int]) -> None:
            begin, size = int(begins[at]), int(sizes[at])
            out = samples[begin : begin + size * self.channels]
            heard[at], ends[at] = self._excerpt(int(places[at]), size, tries[at[0]][at[1]], out)

        list(_pool(os.getpid()).map(read, [tuple(at) for at in wanted.cpu().nonzero().tolist()]))
        waves = torch.from_numpy(samples).to(self.samples.device, non_blocking=True)
        return Waves(waves, begins, as_tensor(ends), self.channels), torch.from_numpy(heard).to(wanted.device)

    def _excerpt(self, place: int, size: int, tries: list[float], out: NDArray[Any]) -> tuple[bool, int]:
        """Fills ``out`` with an excerpt of a recording; returns whether it is heard, and its samples per channel.

        Where a file turns out bad and may be left out, the next readable one takes its place.
        """
        while True:
            clip = self.source.next_good(self._clips, place)
            whole = int(self.sizes[clip])
            count = min(size, whole)
            block = out[: count * self.channels].reshape(self.channels, count)
            step = self.source.step_of(int(self._clips[clip]))
            try:
                for offset in tries if whole > count else tries[:1]:
                    start = int(offset * (whole - count + 1))
                    before = start % step  # parts begin where samples of both rates meet
                    found = np.empty((self.channels, before + count), block.dtype)
                    part = Part(int(self._clips[clip]), start - before, before + count, None)
                    self.source.read(part, found[0] if self.source.mono else found)
                    block[:] = found[:, before:]
                    if block.any():
                        return True, count
                return False, count
            except BadFile as bad:
                self.source.fail(int(self._clips[clip]), bad)

    def extra_repr(self) -> str:
        """Returns the text that ``repr`` shows: how many waves, how long and of which rate."""
        seconds = int(self.sizes.sum()) / self.rate
        return f"{len(self)} waves on disk, {seconds:.1f} s of {self.channels} channels at {self.rate:g} Hz"


@functools.lru_cache(1)
def _pool(process: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Returns the threads of a process; one that was forked has its own."""
    return ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1)), thread_name_prefix="ontheflyspec-bank")


def _check_wave(where: str, place: int, wave: Tensor, first: Tensor) -> None:
    """Raises unless a wave is one that a bank can hold beside the first."""
    check_dtype(where, wave, WAVE_DTYPES)
    remedy = "Leave it out."
    if wave.dim() not in (1, 2) or wave.shape[:-1] != first.shape[:-1]:
        rule = f"every wave as [T] or [C, T] with the channels of the first, {list(first.shape[:-1])}"
        got = f"shape {list(wave.shape)} for wave {place}"
        raise ValueError(checks.message(where, rule, got, "Mix the waves down or drop channels."))
    if wave.numel() == 0:
        raise ValueError(checks.message(where, "waves of at least one sample", f"none in wave {place}", remedy))
    if wave.is_floating_point() and not bool(wave.isfinite().all()):
        raise ValueError(checks.message(where, "finite samples", f"NaN or infinite ones in wave {place}", remedy))
    if not bool(wave.any()):
        raise ValueError(checks.message(where, "waves that are heard", f"silence in wave {place}", remedy))


def _decode(source: Source, clips: list[int], channels: int) -> tuple[Tensor, list[int]]:
    """Returns the samples of all readable clips, packed, and how many each has per channel."""
    kind = torch.int16 if source.all_integer(clips) else torch.float32
    parts = source.parts(clips, [None] * len(clips))
    ends = np.cumsum([0, *(part.length * channels for part in parts)]).tolist()
    packed = torch.zeros(ends[-1], dtype=kind, device="cpu")
    array = packed.numpy()

    def read(place: int) -> None:
        part, out = parts[place], array[ends[place] : ends[place + 1]]
        try:
            source.read(part, out if source.mono else out.reshape(channels, -1))
            if not out.any():
                raise BadFile(faults.SILENT, f"{part.length} samples of 0")
        except BadFile as bad:
            source.fail(part.clip, bad)

    with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1)), thread_name_prefix="ontheflyspec-bank") as pool:
        list(pool.map(read, range(len(parts))))
    kept = [place for place, part in enumerate(parts) if not source.is_bad(part.clip)]
    if len(kept) < len(parts):
        packed = torch.cat([packed[:0], *(packed[ends[place] : ends[place + 1]] for place in kept)])
    return packed, [parts[place].length for place in kept]
