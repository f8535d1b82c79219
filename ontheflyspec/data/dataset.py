"""`AudioDataset`: audio files with targets, from lists, folders and manifests."""

from __future__ import annotations

import copy
import operator
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ontheflyspec import checks
from ontheflyspec.batch import Clip
from ontheflyspec.data import listing
from ontheflyspec.data import targets as labels
from ontheflyspec.data.collate import gather
from ontheflyspec.data.faults import BadFile, Failure
from ontheflyspec.data.joining import joined, shared_out
from ontheflyspec.data.locating import Location, located, warn_of_wrappers
from ontheflyspec.data.manifest import Manifest, read_manifest
from ontheflyspec.data.merging import Recording, merge
from ontheflyspec.data.source import GIVEN, Options, Part, Source
from ontheflyspec.data.table import Ints, PackedStrings, turn, twins
from ontheflyspec.identity import Identity
from ontheflyspec.labels import FrameLabels, Segments
from ontheflyspec.options import Unpack, hands_on


class AudioDataset(Dataset[Any]):
    """Audio files, read one by one as they are asked for, each with its target.

    Headers are read once, by threads, into packed tables. ``dataset[draw]`` gives ``(Clip, target)``, or the bare
    `Clip` of a set without targets; with a `Draw` (as our samplers give them) the clip has an id made of its place,
    the epoch, and how often it came before in it, which `locate` reads back; with a plain int its id is None. The
    clip's place is that in ``paths``: subsets and splits keep it.

    Samples are float32. With ``dtype=None`` all are int16 (meaning value / 32768) if every file has integers of at most
    16 bits at the right rate and needs no mixing, as its header says, else float32. Channels are mixed to their mean,
    other rates resampled by soxr. Only the part of the file that is wanted is read.

    Faults of files (too few frames, none, NaN, a change since the scan) are found where they occur. With
    ``on_error="skip"`` a file whose header is bad is no member of the set; one that turns out bad while it is read is
    left out of its batch together with its target, and the next readable clip stands in where nothing would be left.
    `failures` names them all, whichever process met them.

    Args:
        paths: the files.
        targets: one a clip: names of classes (they become numbers in sorted order, see `classes`), numbers, anything.
        sample_rate: Hz of all clips.
        mono: mix channels down; otherwise all files must have equally many.
        max_seconds: longest clip; longer ones are cropped.
        crop: ``"random"`` (drawn by the clip's id, or by torch's generator without one) or ``"start"``.
        on_error: ``"raise"`` or ``"skip"``.
        max_failures: most bad files to leave out before it is an error after all, None for any number.
        progress: show a bar on stderr while headers are read, if that takes longer than 2 s.
        dtype: ``torch.float32``, or None for int16 where it holds all clips.
        window_seconds: length of the windows that recordings are cut into, each a clip of its own, whose start `locate`
            tells; None for whole files.
        hop_seconds: from the start of a window to that of the next, None for the length of a window. Where rates differ
            starts are rounded down to times at which samples of both rates meet.
        last: what becomes of a window that reaches beyond the end: ``"pad"`` it with zeros, ``"drop"`` it or ``"keep"``
            it as short as it is.

    Shape:
        ``[T]`` if ``mono``, else ``[C, T]``; T as `lengths` says: ``ceil(n * sample_rate / rate)`` samples at most
        ``max_seconds``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no files, a bad one, or unlike channels without ``mono``.
        RuntimeError: more than ``max_failures`` bad files.

    Example:
        >>> import numpy, soundfile, tempfile, ontheflyspec as ofs
        >>> folder = tempfile.TemporaryDirectory()
        >>> for name, seconds in (("yes.wav", 1), ("no.wav", 2)):
        ...     soundfile.write(f"{folder.name}/{name}", numpy.zeros(8000 * seconds), 8000)
        >>> clips = ofs.AudioDataset([f"{folder.name}/{n}.wav" for n in ("yes", "no")], ["yes", "no"], sample_rate=8000)
        >>> clips.lengths.tolist(), clips.classes, clips.targets.tolist()
        ([8000, 16000], ['no', 'yes'], [1, 0])
        >>> clip, target = clips[0]
        >>> clip.wave.shape, clip.rate, target
        (torch.Size([8000]), 8000.0, 1)
        >>> folder.cleanup()
    """

    @hands_on(Source, without=GIVEN)
    def __init__(
        self, paths: Sequence[str | os.PathLike[str]], targets: Any = None, **options: Unpack[Options]
    ) -> None:
        where = type(self).__name__
        names = listing.as_paths(where, paths, "Use AudioDataset.from_folder or from_manifest, or pass a list.")
        self._read(where, names, targets, options)

    def _read(
        self, where: str, paths: list[str], targets: Any, options: Options, manifest: Manifest | None = None
    ) -> None:
        """Reads the headers of the files, or of parts of them; errors begin with ``where``."""
        adopted, self.classes = labels.adopt(where, targets, len(paths))
        self.targets = adopted
        """A target a clip: an int64 or float64 array, texts, or a list; None if there are none. And the names of the
        classes in the order of their numbers, None if targets are no names."""
        self.source, self._whole = Source(where, paths, manifest and manifest.parts, **options), True
        self.source.columns = {} if manifest is None else manifest.columns
        self.weights: NDArray[np.float64] | None = None
        """How often each clip is wanted, relative to others, float64 ``[clips]``; None unless `concat` got weights."""
        if self.source.windows is not None:
            self.targets = labels.choose(adopted, self.source.windows.files)
        self._choose(np.arange(len(self.source)), self.source.good())

    @classmethod
    @hands_on(Source, without=GIVEN)
    def from_folder(cls, root: str | os.PathLike[str], **options: Unpack[Options]) -> AudioDataset:
        """Returns the audio files of a folder with one sub-folder a class.

        Classes are the sub-folders that hold audio at any depth, in sorted order. Files of other kinds and hidden ones
        are ignored. A folder with files and no such sub-folders gives a set without targets.

        Args:
            root: the folder.
            **options: those of the class, ``sample_rate`` among them.

        Raises:
            FileNotFoundError: no such folder.
            ValueError: no audio in it, or files beside the class folders.
        """
        where, dataset = "AudioDataset.from_folder", cls.__new__(cls)
        dataset._read(where, *listing.list_folder(where, os.fspath(root)), options)
        return dataset

    @classmethod
    @hands_on(Source, without=GIVEN)
    def from_manifest(cls, path: str | os.PathLike[str], **options: Unpack[Options]) -> AudioDataset:
        """Returns the clips of a manifest: JSON Lines, or a table with a header (``.csv``, ``.tsv``), also as ``.gz``.

        Columns, whatever their case: ``audio_filepath`` or ``path`` (relative ones count from the manifest's folder);
        ``label``, ``class``, ``target`` or ``category`` (names of classes, or numbers), else ``text``, ``sentence`` or
        ``transcript`` (kept as they are); ``offset`` and ``duration``, or ``start`` and ``end``, in seconds for a part
        of a file. `columns` keeps all others. In ``.tsv`` quotation marks are letters.

        Args:
            path: the manifest.
            **options: those of the class, ``sample_rate`` among them.

        Raises:
            FileNotFoundError: no such manifest, or no such file in it.
            ValueError: a line that is no clip, or a part that is not in its file.
        """
        where, dataset = "AudioDataset.from_manifest", cls.__new__(cls)
        found = read_manifest(where, os.fspath(path))
        dataset._read(where, found.paths, found.targets, options, found)
        return dataset

    @property
    def sample_rate(self) -> int:
        """Hz of all clips."""
        return self.source.sample_rate

    @property
    def mono(self) -> bool:
        """Whether channels are mixed down."""
        return self.source.mono

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of a manifest that nothing else uses, by name: a value for each clip, or None."""
        return {name: labels.choose(of, self.source.files(self._clips)) for name, of in self.source.columns.items()}

    @property
    def failures(self) -> list[Failure]:
        """What was found bad so far, by any process: in this set's files, and in all for the whole set."""
        return self.source.table.failures(None if self._whole else self.source.files(self._clips))

    @property
    def paths(self) -> PackedStrings:
        """The files, in the order of the clips; a sequence of strings that are made when asked for."""
        return self.source.table.paths.take(self.source.files(self._clips))

    def subset(self, indices: Any) -> AudioDataset:
        """Returns a data set of the clips at these places; files and clips' ids stay the same.

        Args:
            indices: places in this set, from the end if negative.
        """
        known = np.asarray(indices)
        if known.ndim != 1 or (known.size and known.dtype.kind not in "iu"):
            got = f"{known.dtype} {list(known.shape)}"
            raise TypeError(checks.message("AudioDataset.subset", "whole numbers [clips]", got, "Pass indices."))
        places = np.array([self.place(index) for index in known.tolist()], np.int64)
        part = copy.copy(self)
        part._whole = False
        part._choose(self._clips, places)
        return part

    def with_options(self, **options: Any) -> AudioDataset:
        """Returns the same clips read in another way, with the same ids, such as ``valid.with_options(crop="start")``.

        Args:
            **options: ``max_seconds``, ``crop``, ``on_error``, ``max_failures`` or ``dtype``, as those of the class.

        Raises:
            TypeError: other options, for which files must be read anew.
        """
        twin = copy.copy(self)
        twin.source = self.source.with_options("AudioDataset.with_options", options)
        twin.lengths = twin.source.lengths(twin._clips)
        return twin

    @staticmethod
    def concat(sets: Sequence[AudioDataset], *, weights: Sequence[float] | None = None) -> AudioDataset:
        """Returns the clips of several data sets as one, with ids that stay apart.

        Classes are those of all sets together. Files are not read again; faults that are found from now on count for
        the whole.

        Args:
            sets: read with the same options.
            weights: how often clips of each set are wanted, relative to others, whatever its size; shared out in the
                `weights` of the result, for ``BucketBatchSampler(clips.lengths, weights=clips.weights)``.

        Raises:
            ValueError: no sets, sets read in different ways, or with targets of different kinds.
            TypeError: something else than data sets of this package.

        Example:
            >>> import numpy, soundfile, tempfile, ontheflyspec as ofs
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     soundfile.write(f"{folder}/a.wav", numpy.zeros(8000), 8000)
            ...     one = ofs.AudioDataset([f"{folder}/a.wav"], ["yes"], sample_rate=8000)
            ...     both = ofs.AudioDataset.concat([one, one], weights=[0.75, 0.25])
            >>> len(both), both.weights.tolist()
            (2, [0.75, 0.25])
        """
        where, given = "AudioDataset.concat", list(sets)
        if not given or not all(isinstance(one, AudioDataset) for one in given):
            got = ", ".join(type(one).__name__ for one in given) or "none"
            raise TypeError(checks.message(where, "AudioDatasets", got, "Pass a list of them."))
        whole = AudioDataset.__new__(AudioDataset)
        whole.source = joined(where, [one.source for one in given], [one._clips for one in given])
        whole.targets, whole.classes = labels.joined(where, [(one.targets, one.classes) for one in given])
        whole._whole = True
        whole.weights = None if weights is None else shared_out(where, weights, [len(one) for one in given])
        whole._choose(np.arange(len(whole.source)), np.arange(len(whole.source)))
        return whole

    def split(self, fraction: float, *, seed: int = 0, stratify: bool = True) -> tuple[AudioDataset, AudioDataset]:
        """Returns two data sets that share this one's clips out.

        Args:
            fraction: part of the clips that goes to the first.
            seed: draws which.
            stratify: keep the fraction within each class (whole-number targets); a class of two or more clips is then
                in both, a single clip in the first.

        Raises:
            ValueError: no class has two clips.
        """
        where = "AudioDataset.split"
        fraction = checks.number(where, "fraction", fraction, low=0.0, high=1.0)
        seed = checks.integer(where, "seed", seed, low=-(2**63), high=2**63 - 1)
        first, second = labels.divide(
            where, self._clips, self.targets if checks.flag(where, "stratify", stratify) else None, fraction, seed
        )
        return self.subset(first), self.subset(second)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Any:
        warn_of_wrappers(index, sys._getframe(1))
        return self._items([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Returns the readable ones of these clips, or the next readable one if none is; for loaders.

        Of a derived class with a ``__getitem__`` of its own, it returns what that gives.
        """
        if type(self).__getitem__ is not AudioDataset.__getitem__:
            return [self[index] for index in indices]
        if indices:
            warn_of_wrappers(indices[0], sys._getframe(1))
        return self._items(indices)

    def _items(self, indices: Sequence[int]) -> list[Any]:
        items: list[Any] = []
        while indices and not items:
            for place, part in zip(*self.parts(indices), strict=True):
                try:
                    wave = self.source.clip(part)
                except BadFile as bad:
                    self.source.fail(part.clip, bad)
                    continue
                clip = Clip(wave, float(self.sample_rate), part.id)
                items.append(clip if self.targets is None else (clip, self._target(place, part)))
        return items

    def parts(self, indices: Sequence[int]) -> tuple[list[int], list[Part]]:
        """Returns places and parts of the clips not known to be bad, or of the next one that is not; for loaders."""
        draws = [(self.place(index), index) for index in indices]
        if self.source.skip:
            self.source.check_failures()
            good = [draw for draw in draws if not self.source.is_bad(int(self._clips[draw[0]]))]
            draws = good or [(self.source.next_good(self._clips, draws[0][0]), draws[0][1])]
        places = [place for place, _ in draws]
        return places, self.source.parts(self._clips[places].tolist(), [self._id(*draw) for draw in draws])

    def _id(self, place: int, index: Any) -> int | None:
        """Returns the id of the clip at a place for an index that knows its epoch, None for another."""
        if not hasattr(index, "epoch"):
            return None
        occurrence = turn(self._twins, place, getattr(index, "occurrence", 0))
        return Identity(int(self._clips[place]), index.epoch, occurrence).id()

    def locate(self, ids: Any) -> list[Location]:
        """Returns where the items of a batch come from, by their ids: one `Location` each.

        It takes ids of this set and of all that were made of the same one by `subset`, `split` and `with_options`.

        Args:
            ids: of a batch, int64 ``[B]``; ``batch.ids``.

        Raises:
            ValueError: ids that no such set makes, or None.

        Example:
            >>> import numpy, soundfile, tempfile, ontheflyspec as ofs
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     soundfile.write(f"{folder}/a.wav", numpy.zeros(8000), 8000)
            ...     clips = ofs.AudioDataset([f"{folder}/a.wav"], sample_rate=8000)
            ...     batch = next(iter(ofs.AudioLoader(clips, [[0, 0]])))
            >>> [(place.path[-5:], place.epoch, place.occurrence) for place in clips.locate(batch.ids)]
            [('a.wav', 0, 0), ('a.wav', 0, 1)]
        """
        return located("AudioDataset.locate", self.source, self._clips, ids)

    def merge_windows(self, scores: Tensor, ids: Any, *, rate: float | None = None) -> list[Recording]:
        """Returns scores of windows put back on the time of their recordings, which were cut by ``window_seconds``.

        Args:
            scores: of a model, one row a window: ``[W, ...]``, or ``[W, ..., N]`` for the frames of each window.
            ids: of the windows, ``batch.ids`` of all batches joined; in any order, of some windows or of all.
            rate: frames per second of scores of frames, None for scores of whole windows.

        Returns:
            One `Recording` a file that has windows among these: its scores in the order of time, or, for frames, the
            mean over the windows that overlap, NaN where there are none.

        Raises:
            ValueError: a data set of whole files, ids that it did not make, or scores of another number.

        Example:
            >>> import numpy, soundfile, tempfile, torch, ontheflyspec as ofs
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     soundfile.write(f"{folder}/long.wav", numpy.zeros(80_000), 8_000)
            ...     clips = ofs.AudioDataset([f"{folder}/long.wav"], sample_rate=8_000, window_seconds=5.0)
            ...     batch = next(iter(ofs.AudioLoader(clips, [[1, 0]])))
            >>> (merged,) = clips.merge_windows(torch.tensor([[1.0], [0.0]]), batch.ids)
            >>> merged.start_s.tolist(), merged.scores.tolist()
            ([0.0, 5.0], [[0.0], [1.0]])
        """
        clips = np.array([place.root_index for place in self.locate(ids)], np.int64)
        return merge("AudioDataset.merge_windows", self.source, clips, scores, rate)

    def _target(self, place: int, part: Part) -> Any:
        """Returns the target of a clip, labels in time cut to its part."""
        value = labels.value(self.targets, place)
        if not isinstance(value, FrameLabels | Segments):
            return value
        whole = int(self.source.file_lengths(self.source.files(part.clip)))
        return labels.cut(value, part.start, part.length, whole, self.sample_rate)

    def targets_at(self, places: list[int], parts: list[Part]) -> Any:
        """Returns the targets of clips as a batch has them, see `gather`; for loaders."""
        if isinstance(self.targets, np.ndarray):
            column = torch.from_numpy(self.targets[places])
            return column.float() if column.is_floating_point() else column
        return gather([self._target(place, part) for place, part in zip(places, parts, strict=True)])

    def place(self, index: int) -> int:
        """Returns the place of an index, which may count from the end, or raises."""
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            rule = f"an index from {-len(self)} to {len(self) - 1}"
            raise IndexError(checks.message("AudioDataset", rule, place, "Look at len(dataset)."))
        return place % len(self)

    def _choose(self, clips: Ints, places: Ints) -> None:
        """Makes those of some clips that stand at some places the members of this set."""
        self._clips = clips[places]
        self._twins = twins(self._clips)
        self.targets = labels.choose(self.targets, places)
        self.weights = None if self.weights is None else self.weights[places]
        self.lengths = self.source.lengths(self._clips)
        """Samples of each clip as the set gives it, int64."""
