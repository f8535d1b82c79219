"""`Compose` and the base class of chains: steps in a row, with draws by place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, overload

from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.base import Augment, as_lists, ids_of
from ontheflyspec.augment.ranges import Params
from ontheflyspec.batch import PaddedBatch, by_key, with_targets
from ontheflyspec.chain.graphs import Graphs
from ontheflyspec.chain.run import Targets, look_ahead, run_all, steps_of
from ontheflyspec.options import remembering, written
from ontheflyspec.plans import Info
from ontheflyspec.transforms.base import FrameTransform, Transform
from ontheflyspec.transforms.edit import EditTransform


class Chain(nn.Module, ABC):
    """Steps with one seed for all their draws, run on one batch whose targets follow.

    A subclass draws the tables of its steps in `tables` and applies them in `run`.

    Args:
        seed: of the whole chain.
    """

    item_rank: int = 1
    """Axes of one item without channels: 1 for waveforms, 2 for spectrograms."""
    sample_rate: float | None = None
    """Hz of bare Tensors, None where no step has a rate."""

    takes_int16: ClassVar[bool] = True
    """Whether loaders may hand it int16 batches, which mean value / 32768."""
    key: str | None = None
    """Name of the batch in dictionaries, None where calls tell it."""
    gives_mapping: bool = False
    """Whether a mapping of features comes out, after which no step can follow."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Keeps the arguments of constructors, for ``repr``."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = remembering(cls.__init__)  # type: ignore[method-assign]

    @remembering
    def __init__(self, *, seed: int) -> None:
        super().__init__()
        self.seed = checks.integer(type(self).__name__, "seed", seed, low=-(2**63), high=2**63 - 1)

    @abstractmethod
    def tables(self, ids: Tensor, key: int) -> Params:
        """Returns the table of items with these ids, with the tables of the random steps under their places."""

    @abstractmethod
    def run(self, x: Any, params: Params, targets: Targets = (), ahead: Any = None) -> tuple[Any, Targets]:
        """Returns a batch after the steps, random ones with the parameters of a table, and its targets.

        Args:
            x: a batch.
            params: the table; an empty one where nothing draws.
            targets: of the batch.
            ahead: what `look_ahead` has returned, None if it was not asked.
        """

    def look_ahead(self, info: Info, params: Params) -> tuple[Any, Info | None]:  # noqa: ARG002
        """Returns plans and batches of a run before the samples are there, and the batch after it; None for unknown."""
        return None, None

    @abstractmethod
    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in; where they depend on draws, for one table of `draw`."""

    def __repr__(self) -> str:
        """Returns the call that makes the chain, with its steps as they are now."""
        args, options = self.__dict__["given"]
        rest = [*map(repr, args[1:]), *(f"{name}={value!r}" for name, value in options.items() if name != "steps")]
        return written(self, [*map(repr, steps_of(self))], "[", ", ".join(["]", *rest]))

    def draw(self, items: Tensor | PaddedBatch, key: int | None = None) -> Params:
        """Returns the table that a call would draw: of tensors for ids, of lists for a batch, as JSON takes them.

        Args:
            items: ids, or a batch; a batch without ids gets fresh ones.
            key: of the stream, None for that of the chain's own seed.
        """
        if isinstance(items, Mapping) and self.key is not None:
            items = items[self.key]
        if isinstance(items, PaddedBatch):
            lists: Params = as_lists(self.draw(ids_of(items), key))
            return lists
        return self.tables(items, rng.fold(0, self.seed) if key is None else key)

    def replay(self, x: Any, params: Params) -> Any:
        """Runs the steps with a table of `draw` on a Tensor, a batch, or a batch with targets; in ``.eval()``, too."""

        def replayed(x: Any) -> Any:
            return with_targets(self, x, lambda batch, targets: self.run(batch, params, targets))

        return by_key(type(self).__name__, replayed, x, self.key) if isinstance(x, Mapping) else replayed(x)

    def is_random(self) -> bool:
        """Returns whether a call now would draw."""
        return self.training

    def __call__(self, x: Any, *, key: str | None = None) -> Any:
        """Runs the steps on what loaders yield; a dictionary has its batch under ``key``."""
        call = super().__call__
        return by_key(type(self).__name__, call, x, key or self.key) if isinstance(x, Mapping) else call(x)

    def forward(self, x: Any) -> Any:
        """Runs the steps on what loaders yield; see the class."""

        def change(batch: PaddedBatch, targets: Targets) -> tuple[Any, Targets]:
            if not self.is_random():
                return self.run(batch, {}, targets)
            return self.run(batch, self.draw(ids_of(batch)), targets)

        return with_targets(self, x, change)


class Compose(Chain):
    """Steps in a row, with one seed for all their draws.

    Each step draws from the chain's seed, its own seed and its place, so two equal steps differ. Without ids, one
    fresh id per item and call serves all steps. A Tensor is taken as full items of the first step's kind.

    Args:
        steps: transforms and augmentations, also further chains.
        seed: of the whole chain.
        key: name of the batch in dictionaries, whose other entries are the targets; None where calls tell it.

    Raises:
        ValueError: no steps; whatever a step raises is raised with the step's place before it.
        TypeError: a step that is neither a Transform nor an Augment.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> front_end = ofs.Compose([ofs.MelSpectrogram(sample_rate=16_000, n_mels=80), ofs.AmplitudeToDB()])
        >>> front_end(torch.randn(2, 16_000)).shape
        torch.Size([2, 80, 32])
    """

    def __init__(self, steps: Sequence[nn.Module], *, seed: int = 0, key: str | None = None) -> None:
        super().__init__(seed=seed)
        self.key = key
        self.steps = checked_steps("Compose", steps, alike=False)
        check_row("Compose", list(self.steps))
        self.item_rank, self.sample_rate = takes(self.steps)
        last = list(self.steps)[-1]
        self.gives_mapping = isinstance(last, Chain) and last.gives_mapping

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.steps)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> Compose: ...
    def __getitem__(self, place: int | slice) -> Any:
        """Returns the step at a place, or a chain of some steps, with the same seed; draws depend on the place."""
        if isinstance(place, slice):
            return Compose(steps_of(self)[place], seed=self.seed, key=self.key).train(self.training)
        return steps_of(self)[place]

    def tables(self, ids: Tensor, key: int) -> Params:
        """Returns a table of tables: that of each random step under its place, as a string."""
        return draw_all(self.steps, ids, key)

    def run(self, x: Any, params: Params, targets: Targets = (), ahead: Any = None) -> tuple[Any, Targets]:
        """Returns the batch after every step, and its targets."""
        return run_all(self, x, params, targets, ahead=ahead)

    def look_ahead(self, info: Info, params: Params) -> tuple[Any, Info | None]:
        """Returns the `Ahead` of the steps, up to one whose result only its samples tell, and the batch after all."""
        steps = steps_of(self)
        ahead = look_ahead(steps, 0, info, params)
        return ahead, ahead.infos.get(len(steps))

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in, through all steps."""
        for place, step in enumerate(self.steps):
            lengths = output_lengths(step, lengths, None if params is None else params.get(str(place)))
        return lengths

    def is_random(self) -> bool:
        """Returns whether a call now would draw."""
        return self.training and any(map(draws, steps_of(self)))

    def by_graphs(self) -> Graphs:
        """Returns a callable that runs the chain by CUDA graphs, one for each rounded shape that comes again."""
        return Graphs(self)

    @property
    def frequencies(self) -> Tensor:
        """Hz of the output's bands, float64 ``[F]``, as the last step that knows says."""
        place, step = self._last_knowing("frequencies")
        result: Tensor = step.frequencies
        return result.repeat(self._after(place, len(result)) // len(result))

    @property
    def n_features(self) -> int:
        """Bands of the output, as the last step that knows says."""
        place, step = self._last_knowing("n_features")
        return self._after(place, step.n_features)

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the frames' centres, float64, as the last step that knows says."""
        result: Tensor = self._last_knowing("frame_times")[1].frame_times(n_frames)
        return result

    def _last_knowing(self, name: str) -> tuple[int, Any]:
        """Returns the last transform that has an attribute, and its place among the steps of all inner chains."""
        for place, step in reversed(list(enumerate(self._flat()))):
            if isinstance(step, Transform):
                if getattr(step, name, None) is not None:
                    return place, step
                if step.makes_waves:
                    break
        raise AttributeError(
            checks.message("Compose", f"a step that has {name}", "none", "Add MelSpectrogram or STFT.")
        )

    def _after(self, place: int, n_features: int) -> int:
        """Returns the number of bands that the steps after a place make of ``n_features``."""
        for step in self._flat()[place + 1 :]:
            n_features = step.output_features(n_features) if isinstance(step, Transform) else n_features
        return n_features

    def _flat(self) -> list[Any]:
        """Returns the steps, with inner chains replaced by their own steps."""
        return [one for step in self.steps for one in (step._flat() if isinstance(step, Compose) else [step])]

    def forward(self, x: Any) -> Any:
        """Runs the steps on what loaders yield; see the class."""
        edits = any(isinstance(part, EditTransform) for part in self.modules())  # which need the chain's rate
        if isinstance(x, Tensor) and not edits and not self.is_random():
            return run_all(self, x, {})[0]
        return super().forward(x)


def checked_steps(where: str, steps: Iterable[nn.Module], *, alike: bool) -> nn.ModuleList:
    """Returns the steps, checked; with ``alike`` all must take the first one's kind of input, and give no mapping."""
    known: list[Any] = list(steps)
    if not known:
        raise ValueError(checks.message(where, "at least one step", "none", "Add a transform or an augmentation."))
    for place, step in enumerate(known):
        if not isinstance(step, (Transform, Augment, Chain)):
            rule = f"step {place} to be a Transform or an Augment"
            raise TypeError(checks.message(where, rule, type(step).__name__, "Wrap it in one or call it outside."))
        maps = isinstance(step, Chain) and step.gives_mapping
        if maps and (alike or place < len(known) - 1):
            rule = "a Parallel, which gives a mapping, only as the last step of a chain"
            raise ValueError(checks.message(where, rule, name(known, place), "Put it last in the outermost Compose."))
        if alike and step.item_rank != known[0].item_rank:
            rule = f"all steps to take {KINDS[known[0].item_rank]}, as {name(known, 0)} does"
            got = f"{name(known, place)} for {KINDS[step.item_rank]}"
            raise ValueError(checks.message(where, rule, got, "Choose among waveform steps or spectrogram steps."))
        if alike and any(isinstance(part, Augment) and part.mixes_items for part in step.modules()):
            remedy = "Put what mixes items into a Compose beside it, with a p of its own."
            rule = "steps that leave the items of a batch apart, as each takes its own"
            raise ValueError(checks.message(where, rule, name(known, place), remedy))
    return nn.ModuleList(known)


KINDS = {1: "waveforms", 2: "spectrograms"}


def output_rank(step: Any) -> int | None:
    """Returns the axes of one item of a step's result, 1 for waveforms, 2 for spectrograms; None where nobody knows."""
    if isinstance(step, Compose):
        return output_rank(list(step.steps)[-1])
    if isinstance(step, FrameTransform) or step.item_rank == 2:
        return 1 if isinstance(step, Transform) and step.makes_waves else 2
    known = isinstance(step, (Augment, EditTransform)) or (isinstance(step, Chain) and not step.gives_mapping)
    return 1 if known or step.output_rate(None) is not None else None


def check_row(where: str, steps: list[Any]) -> None:
    """Raises unless each step of a row takes what the one before it gives."""
    for place in range(1, len(steps)):
        given = output_rank(steps[place - 1])
        if given is not None and steps[place].item_rank != given:
            rule = f"step {place} to take {KINDS[given]}, which {name(steps, place - 1)} gives"
            got = f"{type(steps[place]).__name__} for {KINDS[steps[place].item_rank]}"
            remedy = "Put it before the spectrogram." if given == 2 else "Put a spectrogram before it."
            raise ValueError(checks.message(where, rule, got, remedy))


def name(steps: Any, place: int) -> str:
    """Returns the name of a step in errors: its place and class."""
    return f"step {place} ({type(steps[place]).__name__})"


def takes(steps: Iterable[Any]) -> tuple[int, float | None]:
    """Returns the input of a chain: axes of one item for the first step, and Hz of waveforms if a step has a rate."""
    known = list(steps)
    if known[0].item_rank != 1:
        return known[0].item_rank, None
    return 1, next((step.sample_rate for step in known if step.sample_rate is not None), None)


def draws(step: Any) -> bool:
    """Returns whether a call of a step now would draw."""
    return not isinstance(step, Transform) and (step.is_random() if isinstance(step, Chain) else step.training)


def draw_all(steps: Iterable[Any], ids: Tensor, key: int) -> Params:
    """Returns the tables of all random steps, each under its place."""
    known = {place: step for place, step in enumerate(steps) if draws(step)}
    keys = rng.predrawn(ids, [rng.fold(key, place, step.seed) for place, step in known.items()])
    return {str(place): step.draw(ids, one) for (place, step), one in zip(known.items(), keys, strict=True)}


def output_lengths(step: Any, lengths: Any, table: Params | None) -> Any:
    """Returns the output lengths of one step, with its table if it has one."""
    return step.output_lengths(lengths) if table is None else step.output_lengths(lengths, table)
