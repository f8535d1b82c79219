"""`DeviceLoader`: transfer to the device and front end, one batch ahead of the model on CUDA.

`stage` does that for any iterator of batches; `DeviceLoader` puts it behind any loader. On CUDA every batch goes this
way: one stream copies data and targets, and waits for nobody; another one waits for the copy and transforms; when the
batch is handed out, the consumer's stream waits for the transform. Meanwhile the next batch is on its way. Neither the
host nor a copy ever waits behind the model's work. Lengths and ids stay on the host. Elsewhere batch after batch is
moved and transformed as it is asked for.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from ontheflyspec import checks
from ontheflyspec.batch import tensors_in
from ontheflyspec.data.attached import Attached
from ontheflyspec.data.moving import Step, as_floats, called, moved


@runtime_checkable
class HasGraphs(Protocol):
    """A transform that can be replayed as CUDA graphs."""

    def by_graphs(self) -> Step:
        """Returns a callable that runs it by graphs."""
        ...


def stage(
    batches: Iterable[Any],
    transform: Step | None,
    device: torch.device,
    graphs: Step | None = None,
    *,
    floats: bool = False,
    key: str | None = None,
) -> Iterator[Any]:
    """Returns the batches on the device, transformed.

    The mode (`train` or `eval`) of a module and of all its parts is read here, and holds until the iterator ends
    whatever becomes of the module meanwhile. A transform with trainable parameters does not run ahead: it is called
    as its batch is handed out, on the consumer's stream, so that it has the parameters of the last step.

    Args:
        batches: `PaddedBatch`, or tuples or lists that begin with one. They are kept until their copy is done.
        transform: called with each batch on the device; None hands it out as it came.
        device: where they go.
        graphs: calls the transform by graphs, None to call it as it is.
        floats: whether int16 samples become floats on the device, before the transform.
        key: name of the batch where dictionaries come, None for others.
    """
    step = _InMode(transform, graphs, floats, key)
    if device.type == "cuda":
        return _run_ahead(iter(batches), step, device)
    return (step(moved(batch, device, key)) for batch in batches)


def takes_int16(transform: Step | None) -> bool:
    """Returns whether a transform is one of this package, which take int16 samples for what they mean."""
    return getattr(transform, "takes_int16", False) is True


def find_device(where: str, device: str | torch.device) -> torch.device:
    """Returns the device of that name, for ``"auto"`` CUDA if there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        rule = "a device such as 'auto', 'cpu' or 'cuda:0'"
        raise ValueError(checks.message(where, rule, repr(device), "Change device.")) from None
    if found.type == "cuda" and not torch.cuda.is_available():
        remedy = "Pass device='auto' or install a build of torch for CUDA."
        raise ValueError(checks.message(where, "a device that is there", repr(str(device)), remedy))
    return found


class DeviceLoader(Attached):
    """Puts transfer and front end behind any loader, one batch ahead on streams of its own where the device is CUDA.

    It goes through what the loader gives: `PaddedBatch`, or tuples or lists that begin with one, whose tensors move
    too. Integer samples cross as int16 and become float32 on the device. The mode of the front end (`train` or `eval`)
    is read when ``iter()`` starts.

    `state_dict` counts batches that were handed out here, not those under way. It is the loader's own state where it
    has one (`AudioLoader`, StatefulDataLoader, a Loader of torchdata.nodes), else that of the `BucketBatchSampler`
    that is its ``batch_sampler``: right with any number of workers.

    Args:
        loader: a DataLoader with ``collate_fn=ofs.collate``, or any other iterable of batches. What does not lie in
            pinned memory is copied there first.
        transform: called with each batch; a module is moved to the device.
        device: where batches go, ``"auto"`` for CUDA if there is one.
        graphs: whether a `Compose` is replayed as a CUDA graph: one for each shape (items, and samples rounded to 8
            sizes in an octave) and plan that comes again. That pays where few shapes come, as with the
            ``quantise_samples`` of a `BucketBatchSampler`. What cannot be captured runs as ever; elsewhere than on
            CUDA the option changes nothing.
        key: name of the batch where the loader gives dictionaries; their other entries are its targets.

    Raises:
        ValueError: a device that is not known or not there.
        TypeError: a loader of something else; a state asked of a loader that has none; ``graphs`` with a transform
            that is no `Compose`.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batches = [ofs.pad([torch.zeros(80), torch.zeros(160)], rate=8_000)]
        >>> mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=256, hop_length=16, n_mels=20)
        >>> for batch in ofs.DeviceLoader(batches, mel, device="cpu"):
        ...     print(batch.data.shape, batch.lengths.tolist())
        torch.Size([2, 20, 11]) [6, 11]
    """

    def __init__(
        self,
        loader: Iterable[Any],
        transform: Step | None = None,
        *,
        device: str | torch.device = "auto",
        graphs: bool = False,
        key: str | None = None,
    ) -> None:
        self.loader: Any = loader
        self.key = key
        self.device = find_device("DeviceLoader", device)
        self.transform = transform
        if isinstance(transform, nn.Module):
            transform.to(self.device)
        self.graphs: Step | None = None
        if checks.flag("DeviceLoader", "graphs", graphs):
            if not isinstance(transform, HasGraphs):
                rule, got = "a Compose with graphs=True", type(transform).__name__
                raise TypeError(checks.message("DeviceLoader", rule, got, "Put the steps into one, or leave graphs."))
            self.graphs = transform.by_graphs() if self.device.type == "cuda" else None
        self._pass: _Pass | None = None

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """Returns the batches of the loader's next pass, on the device and transformed; it asks for no batch before."""
        torch.get_num_threads()  # else the first thread of a loader that sets its own count sets it for the process
        self._pass = _Pass(self.loader)
        batches = self._pass.begun()
        floats = not takes_int16(self.transform)
        staged = stage(batches, self.transform, self.device, self.graphs, floats=floats, key=self.key)
        yield from self._pass.counted(staged)

    @property
    def dataset(self) -> Any:
        """The loader's data set."""
        return self.loader.dataset

    @property
    def batch_sampler(self) -> Any:
        """The loader's batch sampler."""
        return self.loader.batch_sampler

    @property
    def collate_fn(self) -> Callable[[Sequence[Any]], Any]:
        """From the items of a batch to what this loader gives."""
        return self._collated

    def _collated(self, items: Sequence[Any]) -> Any:
        """Returns items as one batch on the device, transformed."""
        batches = [self.loader.collate_fn(items)]
        floats = not takes_int16(self.transform)
        return next(iter(stage(batches, self.transform, self.device, floats=floats, key=self.key)))

    @property
    def sampler(self) -> Any:
        """The loader's sampler: what deals its batches where that is one of this package."""
        batches = getattr(self.loader, "batch_sampler", None)
        return batches if hasattr(batches, "state_at") else self.loader.sampler

    def set_epoch(self, epoch: int) -> None:
        """Makes the next pass play ``epoch``, where the loader or its sampler can be told so."""
        for owner in (self.loader, getattr(self.loader, "batch_sampler", None), getattr(self.loader, "sampler", None)):
            if owner is not None and hasattr(owner, "set_epoch"):
                owner.set_epoch(epoch)
                return

    def state_dict(self) -> dict[str, Any]:
        """Returns the loader's state after the batches that the newest iterator handed out."""
        state: dict[str, Any] = _Pass(self.loader).state() if self._pass is None else self._pass.state()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next ``iter()`` go on behind the last batch that was handed out when the state was taken."""
        (self.loader if hasattr(self.loader, "load_state_dict") else _sampler(self.loader)).load_state_dict(state)
        self._pass = None


class _Pass:
    """One pass through a loader: its state after each batch that came from it, and how many were handed out."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.has_state = hasattr(loader, "state_dict") and getattr(loader, "resumable", True)
        self.epoch = getattr(getattr(loader, "batch_sampler", None), "epoch", 0)
        self.handed_out, self.known = 0, None
        self.running: Any = None
        self.coming: deque[Any] = deque()

    def begun(self) -> Iterator[Any]:
        """Returns the loader's batches, of an `AudioLoader` as one that is told what was handed out."""
        if hasattr(self.loader, "ahead"):
            self.running = self.loader.ahead()
        return self._noted(iter(self.loader)) if self.running is None else iter(self.running)

    def _noted(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yields the loader's batches and keeps its state after each, and after the end."""
        for batch in batches:
            self._note()
            yield batch
        self._note()

    def counted(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Yields batches as they are handed out, and keeps the loader's state after each as the known one."""
        for batch in batches:
            self.handed_out += 1
            self._reached()
            yield batch
        self._reached()

    def state(self) -> Any:
        """Returns the state after the batch that was handed out last."""
        if not self.has_state:
            return _sampler(self.loader).state_at(self.epoch, self.handed_out)
        return self.loader.state_dict() if self.known is None else self.known

    def _note(self) -> None:
        if self.has_state:
            self.coming.append(self.loader.state_dict())

    def _reached(self) -> None:
        if self.running is not None:
            self.running.reached(self.handed_out)
        elif self.has_state:
            self.known = self.coming.popleft()


def _sampler(loader: Any) -> Any:
    """Returns the batch sampler of a loader that has no state itself."""
    sampler = getattr(loader, "batch_sampler", None)
    if not hasattr(sampler, "state_at"):
        rule = "a loader with a state, or with a BucketBatchSampler as its batch_sampler"
        raise TypeError(checks.message("DeviceLoader", rule, type(loader).__name__, "Use one of them."))
    return sampler


class _InMode:
    """A transform that runs in the mode that it had when this was made."""

    def __init__(
        self, transform: Step | None, graphs: Step | None = None, floats: bool = False, key: str | None = None
    ) -> None:
        self.transform, self.call, self.floats, self.key = transform, graphs or transform, floats, key
        self.trainable = False
        self.modes: list[tuple[nn.Module, bool]] = []
        if isinstance(transform, nn.Module):
            self.modes = [(module, module.training) for module in transform.modules()]
            self.trainable = any(parameter.requires_grad for parameter in transform.parameters())

    def __call__(self, batch: Any) -> Any:
        if self.floats:
            batch = as_floats(batch, self.key)
        if self.call is None:
            return batch
        changed = [(module, module.training) for module, mode in self.modes if module.training != mode]
        for module, mode in changed:
            module.training = not mode
        try:
            return called(self.transform, self.call, batch, self.key)
        finally:
            for module, mode in changed:
                module.training = mode


@functools.lru_cache
def _streams(device: torch.device) -> tuple[torch.cuda.Stream, torch.cuda.Stream]:
    """Returns the streams of copies and of transforms, the same for all passes: a stream keeps the memory it used."""
    return torch.cuda.Stream(device), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class _Ahead:
    """Copies and transforms on two streams, for a consumer on the stream that is current when it asks."""

    def __init__(self, step: _InMode, device: torch.device) -> None:
        self.step, self.device = step, device
        self.copies, self.work = _streams(device)
        self.ready: deque[tuple[Any, torch.cuda.Event]] = deque()
        self.copying: deque[tuple[torch.cuda.Event, Any]] = deque()
        # What the transform holds may still be on its way. Later batches do not wait for the model.
        self.work.wait_stream(torch.cuda.current_stream(device))

    def send(self, batch: Any) -> None:
        """Queues one batch."""
        with torch.cuda.stream(self.copies):
            there = moved(batch, self.device, self.step.key)
            copied = self.copies.record_event()
        self.copying.append((copied, batch))
        self.work.wait_event(copied)
        _used_on(self.work, there)
        with torch.cuda.stream(self.work):
            self.ready.append((there if self.step.trainable else self.step(there), self.work.record_event()))
        while self.copying and self.copying[0][0].query():  # type: ignore[no-untyped-call]
            self.copying.popleft()

    def hand_out(self) -> Any:
        """Returns the batch that was queued first, safe to use on the consumer's stream."""
        batch, done = self.ready.popleft()
        consumer = torch.cuda.current_stream(self.device)
        consumer.wait_event(done)
        _used_on(consumer, batch)
        return self.step(batch) if self.step.trainable else batch

    def finish(self) -> None:
        """Waits until no copy reads host memory any more, so that its owner may use it again."""
        while self.copying:
            self.copying.popleft()[0].synchronize()


def _used_on(stream: torch.cuda.Stream, batch: Any) -> None:
    """Keeps the memory of a batch from being used anew before a stream is done with it."""
    for tensor in tensors_in(batch):
        if tensor.is_cuda:
            tensor.record_stream(stream)


def _run_ahead(batches: Iterator[Any], step: _InMode, device: torch.device) -> Iterator[Any]:
    """Yields batches while the next one is on its way; an error comes where its batch would."""
    ahead = _Ahead(step, device)
    failure: Exception | None = None
    try:
        while failure is None:
            try:
                ahead.send(next(batches))
            except StopIteration:
                break
            except Exception as error:
                failure = error
            if len(ahead.ready) > 1:
                yield ahead.hand_out()
        while ahead.ready:
            yield ahead.hand_out()
        if failure is not None:
            raise failure
    finally:
        ahead.finish()
