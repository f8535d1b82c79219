"""`AudioLoader`: threads that read files straight into padded batches."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ontheflyspec import checks
from ontheflyspec.data.attached import Attached
from ontheflyspec.data.collate import collate
from ontheflyspec.data.dataset import AudioDataset
from ontheflyspec.data.device import find_device, stage, takes_int16
from ontheflyspec.data.draws import Draw, StandIn
from ontheflyspec.data.filling import BatchReader, Buffers
from ontheflyspec.data.moving import as_int16
from ontheflyspec.data.sampler import BucketBatchSampler, Pass
from ontheflyspec.identity import OCCURRENCE_BITS

_AHEAD = 2
"""Batches that are read ahead of the one in use."""


@dataclass
class _Progress:
    """How far an iterator is in which epoch."""

    epoch: int
    handed_out: int


class AudioLoader(Attached):
    """Batches of an `AudioDataset`, read by threads straight into the rows of padded batches.

    The files of one batch are shared out among the threads, two batches ahead; the transform runs in the main thread,
    on what is handed out. The batches are those of ``DataLoader(dataset, batch_sampler=sampler, collate_fn=collate)``,
    byte for byte, with any number of threads. Their memory is used again when no view of them lives: keep what you
    like.

    A pass plays the sampler's next epoch, which begins when the last batch of the one before was handed out, or where
    `set_epoch` says so: a look (``next(iter(loader))``) moves nothing. The epoch and the mode of the transform (`train`
    or `eval`) are read when the first batch is asked for, and no file before. An error of a file is raised where its
    batch would come; a new ``iter()`` works after it.

    Args:
        dataset: the clips.
        sampler: gives lists of indices, such as `BucketBatchSampler`. Where they know no epoch, as those of torch's
            samplers, the loader counts its passes as epochs.
        transform: called with each batch as it is handed out, with targets if there are any.
        device: where batches go, ``"auto"`` for CUDA if there is one; a module is moved there.
        threads: that read; None for one a processor, at most 8.
        dtype: of batches without a transform, and for one that is none of this package: ``torch.float32``, or None for
            int16 if it holds every clip of the data set. Inside, and for the steps of this package, integers travel as
            int16 either way.

    Raises:
        TypeError: another kind of data set, a dtype that is neither, or a state asked of a sampler that has none.
        ValueError: a device that is not there.

    Example:
        >>> import numpy, soundfile, tempfile, ontheflyspec as ofs
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for seconds in (1, 2, 3):
        ...         soundfile.write(f"{folder}/{seconds}.wav", numpy.zeros(8000 * seconds), 8000)
        ...     clips = ofs.AudioDataset.from_folder(folder, sample_rate=8000)
        ...     for batch in ofs.AudioLoader(clips, [[0, 1], [2]]):
        ...         print(batch.data.dtype, list(batch.data.shape), batch.lengths.tolist())
        torch.float32 [2, 16000] [8000, 16000]
        torch.float32 [1, 24000] [24000]
    """

    def __init__(
        self,
        dataset: AudioDataset,
        sampler: Iterable[Sequence[int]],
        *,
        transform: Any = None,
        device: str | torch.device = "cpu",
        threads: int | None = None,
        dtype: torch.dtype | None = torch.float32,
    ) -> None:
        if not isinstance(dataset, AudioDataset):
            remedy = "Use torch's DataLoader with ofs.collate for other data sets."
            raise TypeError(checks.message("AudioLoader", "an AudioDataset", type(dataset).__name__, remedy))
        for name in ("__getitem__", "__getitems__"):
            if getattr(type(dataset), name) is not getattr(AudioDataset, name):
                rule, got = "an AudioDataset that reads its own files", f"{type(dataset).__name__} with its own {name}"
                remedy = "Use torch's DataLoader with ofs.collate, which calls it."
                raise TypeError(checks.message("AudioLoader", rule, got, remedy))
        if not isinstance(sampler, Iterable):
            got = type(sampler).__name__
            raise TypeError(checks.message("AudioLoader", "lists of indices", got, "Pass a BucketBatchSampler."))
        if isinstance(sampler, BucketBatchSampler) and len(sampler.lengths) != len(dataset):
            rule, got = f"a sampler of the data set's {len(dataset)} clips", f"one of {len(sampler.lengths)}"
            raise ValueError(checks.message("AudioLoader", rule, got, "Build it with clips.lengths."))
        self._dataset, self._sampler, self.transform = dataset, sampler, transform
        self.dtype = checks.sample_dtype("AudioLoader", dtype)
        self.device = find_device("AudioLoader", device)
        if isinstance(transform, nn.Module):
            transform.to(self.device)
        threads = min(8, os.cpu_count() or 1) if threads is None else threads
        self.threads = checks.integer("AudioLoader", "threads", threads)
        self.passes = 0
        """Passes that were played to their end, which number epochs where the sampler does not."""
        self._buffers = Buffers(keep=_AHEAD + 2)
        self._progress = self._start()

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Play:
        """Returns the batches of a pass, counted as handed out; see the class."""
        return Play(self, counts=True)

    def ahead(self) -> Play:
        """Returns the batches of a pass for who runs ahead and tells how many were handed out."""
        return Play(self, counts=False)

    @property
    def dataset(self) -> AudioDataset:
        """The clips."""
        return self._dataset

    @property
    def batch_sampler(self) -> Any:
        """What gives the indices of each batch."""
        return self._sampler

    @property
    def collate_fn(self) -> Callable[[Sequence[Any]], Any]:
        """From the items of a batch to what the loader gives."""
        return self._collated

    def set_epoch(self, epoch: int) -> None:
        """Makes the next pass play ``epoch`` from its start; after `load_state_dict` its own epoch from there."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)
        self.passes = checks.integer("AudioLoader.set_epoch", "epoch", epoch, low=0)

    def _collated(self, items: Sequence[Any]) -> Any:
        """Returns clips of the data set as one batch, as if this loader had read them."""
        integer = self.dtype is None and self.dataset.source.integer
        batch = as_int16(collate(items)) if integer else collate(items)
        return next(iter(stage([batch], self.transform, self.device, floats=not integer)))

    def _gives_int16(self) -> bool:
        """Returns whether int16 batches are handed out, or to the transform."""
        return takes_int16(self.transform) or (self.dtype is None and self.dataset.source.integer)

    @property
    def resumable(self) -> bool:
        """Whether the sampler has a state, so that this loader has one."""
        return hasattr(self.sampler, "state_at") and hasattr(self.sampler, "load_state_dict")

    def state_dict(self) -> dict[str, Any]:
        """Returns the sampler's state after the batches that the newest iterator handed out."""
        progress = self._progress
        state: dict[str, Any] = self._resumable().state_at(progress.epoch, progress.handed_out)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next ``iter()`` go on behind the last batch that was handed out when the state was taken."""
        self._resumable().load_state_dict(state)
        self._progress = self._start()

    def _start(self) -> _Progress:
        """Returns the beginning of the sampler's next epoch."""
        return _Progress(int(getattr(self.sampler, "epoch", 0)), 0)

    def begin(self, play: Play) -> Iterator[Any]:
        """Returns the batches of a pass, whose epoch and mode are those of now."""
        if isinstance(self.sampler, BucketBatchSampler):
            play.draws = self.sampler.ahead(self.dataset.digest)
            play.draws.bind()
            play.progress = self._progress = _Progress(play.draws.epoch, 0)
            draws: Iterator[Sequence[int]] = play.draws
        else:
            play.progress = self._progress = self._start()
            draws = play.numbered(self.sampler)
        return stage(self._host_batches(draws), self.transform, self.device, floats=not self._gives_int16())

    def _resumable(self) -> Any:
        """Returns the sampler, or raises if it has no state."""
        if not self.resumable:
            got = type(self.sampler).__name__
            raise TypeError(checks.message("AudioLoader", "a sampler with a state", got, "Use BucketBatchSampler."))
        return self.sampler

    def _host_batches(self, draws: Iterator[Sequence[int]]) -> Iterator[Any]:
        """Yields batches on the host, and reads two ahead."""
        stop = threading.Event()
        running: deque[BatchReader] = deque()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="ontheflyspec-read")
        try:
            for indices in draws:
                running.append(self._begin(indices, pool, stop))
                if len(running) > _AHEAD:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)

    def _begin(self, indices: Sequence[int], pool: ThreadPoolExecutor, stop: threading.Event) -> BatchReader:
        """Lets the threads of a pool read one batch."""
        always_float = self.device.type != "cuda" and not self._gives_int16()
        reader = BatchReader(self.dataset, indices, always_float=always_float, lease=self._lease, stop=stop)
        reader.begin(pool, self.threads)
        return reader

    def _lease(self, shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
        """Returns memory for a batch; pinned memory comes from torch, which uses it again only when copies are done."""
        if self.device.type != "cuda":
            return self._buffers.lease(shape, dtype)
        kind = torch.int16 if dtype is np.int16 else torch.float32
        rows: NDArray[Any] = torch.empty(shape, dtype=kind, pin_memory=True, device="cpu").numpy()
        return rows


class Play(Iterator[Any]):
    """One pass through an `AudioLoader`, begun when the first batch is asked for.

    Args:
        loader: whose batches are given.
        counts: whether what is given is handed out; if not, `reached` tells.
    """

    progress: _Progress

    def __init__(self, loader: AudioLoader, *, counts: bool) -> None:
        self.loader, self.counts = loader, counts
        self.batches: Iterator[Any] | None = None
        self.draws: Pass | None = None
        self.taken, self.dealt, self.epoch = 0, -1, 0

    def __next__(self) -> Any:
        if self.batches is None:
            self.batches = self.loader.begin(self)
        batch = next(self.batches)
        self.taken += 1
        if self.counts:
            self.reached(self.taken)
        return batch

    def reached(self, given: int) -> None:
        """Notes that so many batches were handed out; with the last one the epoch is over."""
        self.progress.handed_out = given
        if self.draws is not None:
            self.draws.reached(given)
        elif given == self.dealt:
            self.loader.passes = self.epoch + 1

    def numbered(self, batches: Iterable[Sequence[int]]) -> Iterator[Sequence[int]]:
        """Yields the batches of a sampler whose indices know no epoch, with the pass as epoch, each clip counted."""
        self.epoch, number = self.loader.passes, 0
        counts: Counter[int] = Counter()
        for batch in batches:
            numbered = list[Any]()
            for index in batch:
                known = hasattr(index, "epoch")
                place = index if known else self.loader.dataset.place(index)
                numbered.append(place if known else Draw(place, self.epoch, counts[place]))
                counts[place] += 1
            if numbered and numbered[0].stand_in is None:
                numbered[0].stand_in = StandIn((), (1 << OCCURRENCE_BITS) - 1 - number % (1 << OCCURRENCE_BITS - 1))
            number += 1
            yield numbered
        self.dealt = number  # known before the last batch is handed out, as batches are read ahead

    def close(self) -> None:
        """Ends the pass and its threads."""
        if self.batches is not None:
            self.batches.close()  # type: ignore[attr-defined]
