"""`AudioDataset`: audio files with targets, from lists, folders and manifests."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.data import listing
from ontheflyspec.data import targets as labels
from ontheflyspec.data.faults import Failure
from ontheflyspec.data.joining import joined, shared_out
from ontheflyspec.data.locating import Location, located
from ontheflyspec.data.manifest import Manifest, read_manifest
from ontheflyspec.data.merging import Recording, merge
from ontheflyspec.data.reading import ClipReader
from ontheflyspec.data.source import GIVEN, Options, Source
from ontheflyspec.options import Unpack, hands_on


class AudioDataset(ClipReader):
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
    left out of its batch together with its target. Where nothing would be left of a batch, it holds the first readable
    clip of the sampler's plan again, with an occurrence of its own. `failures` names it all, whichever process met it.

    Args:
        paths: the files; bytes and open binary files, too, which are kept in memory.
        targets: one a clip: names of classes (they become numbers, see `classes`), lists of names (they become rows of
            0 and 1, float32), numbers, labels in time, anything.
        channel: number of the one channel that is read, from 0 (one side of a call), or the column of a manifest that
            holds it; None for the mean of all.
        classes: names in the order of their numbers, such as ``train.classes``; None for those that occur, sorted.
        separator: between the names of several classes of one clip, as in ``"dog;cat"``.
        text: whether targets that are strings stay texts.
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
        self,
        paths: Sequence[str | os.PathLike[str] | bytes | BinaryIO],
        targets: Any = None,
        *,
        classes: Sequence[str] | None = None,
        separator: str | None = None,
        text: bool = False,
        **options: Unpack[Options],
    ) -> None:
        where = type(self).__name__
        names = listing.as_paths(where, paths, "Use AudioDataset.from_folder or from_manifest, or pass a list.")
        if checks.flag(where, "text", text) and (separator is not None or classes is not None):
            got = "separator" if separator is not None else "classes"
            raise ValueError(
                checks.message(where, "text=True without separator and classes", got, "Leave one of them out.")
            )
        if text and targets is not None:
            targets = labels.texts(where, targets)
        self._read(where, (names, labels.adopt(where, targets, len(names), classes, separator)), options)

    def _read(
        self, where: str, found: tuple[list[str], labels.Adopted], options: Options, manifest: Manifest | None = None
    ) -> None:
        """Reads the headers of files, or of parts of them; errors begin with ``where``."""
        paths, (self.targets, self.classes) = found
        known = (None, None) if manifest is None else (manifest.parts, manifest.columns)
        self.source, self._whole, self.weights = Source(where, paths, *known, **options), True, None
        if self.source.windows is not None:
            self.targets = labels.choose(self.targets, self.source.windows.files)
        self._choose(np.arange(len(self.source)), self.source.good())

    @classmethod
    @hands_on(Source, without=GIVEN)
    def from_folder(
        cls, root: str | os.PathLike[str], *, classes: Sequence[str] | None = None, **options: Unpack[Options]
    ) -> AudioDataset:
        """Returns the audio files of a folder with one sub-folder a class.

        Classes are the sub-folders that hold audio at any depth, in sorted order. Files of other kinds and hidden ones
        are ignored. A folder with files and no such sub-folders gives a set without targets.

        Args:
            root: the folder.
            classes: as that of the class, such as ``train.classes``.
            **options: those of the class, ``sample_rate`` among them.

        Raises:
            FileNotFoundError: no such folder.
            ValueError: no audio in it, or files beside the class folders.
        """
        where, dataset = "AudioDataset.from_folder", cls.__new__(cls)
        paths, names, passed = listing.list_folder(where, os.fspath(root))
        dataset._read(where, (paths, labels.adopt(where, names, len(paths), classes)), options)
        dataset.source.passed = [Failure(-1, one.path, one.reason) for one in passed]
        return dataset

    @classmethod
    @hands_on(Source, without=GIVEN)
    def from_manifest(
        cls,
        path: str | os.PathLike[str],
        *,
        classes: Sequence[str] | None = None,
        separator: str | None = None,
        **options: Unpack[Options],
    ) -> AudioDataset:
        """Returns the clips of a manifest: JSON Lines, or a table with a header (``.csv``, ``.tsv``), also as ``.gz``.

        Columns, whatever their case: ``audio_filepath`` or ``path`` (relative ones count from the manifest's folder);
        ``label``, ``class``, ``target`` or ``category`` (names of classes, or numbers), else ``text``, ``sentence`` or
        ``transcript`` (kept as they are); ``offset`` and ``duration``, or ``start`` and ``end``, in seconds for a part
        of a file. `columns` keeps all others. In ``.tsv`` quotation marks are letters.

        Args:
            path: the manifest.
            classes: as that of the class.
            separator: as that of the class.
            **options: those of the class, ``sample_rate`` among them.

        Raises:
            FileNotFoundError: no such manifest, or no such file in it.
            ValueError: a line that is no clip, or a part that is not in its file.
        """
        where, dataset = "AudioDataset.from_manifest", cls.__new__(cls)
        skip = options.get("on_error") == "skip"
        found = read_manifest(where, os.fspath(path), skip=skip, named=classes is not None)
        adopted = labels.adopt(where, found.targets, len(found.paths), classes, separator)
        dataset._read(where, (found.paths, adopted), options, found)
        dataset.source.passed, dataset.source.wrong_lines = found.left_out, len(found.left_out)
        dataset.source.check_failures()
        return dataset

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
        odd = next((type(one) for one in given if type(one).__getitem__ is not ClipReader.__getitem__), None)
        if odd is not None:
            rule, got = "data sets that read their own files", f"{odd.__name__} with its own __getitem__"
            raise TypeError(checks.message(where, rule, got, "Join plain ones, and change items behind them."))
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
