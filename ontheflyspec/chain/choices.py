"""Random choice of steps for each item: OneOf, SomeOf, RandomOrder, Sometimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks, rng
from ontheflyspec.augment.ranges import Params
from ontheflyspec.batch import as_float, as_tensor
from ontheflyspec.chain.compose import Chain, Compose, checked_steps, draw_all, name, output_lengths, output_rank, takes
from ontheflyspec.chain.partition import one_each, partitions
from ontheflyspec.chain.run import Targets
from ontheflyspec.options import written
from ontheflyspec.plans import Info


class Choice(Chain):
    """Base class of random choices: each item takes those steps that its table names.

    Args:
        steps: to choose from.
        p: probability that an item takes any.
        seed: of the draws, beside the id of the item and the place in a chain.
    """

    may_rest: bool = True
    """Whether an item may take no step."""

    def __init__(self, steps: Sequence[nn.Module], *, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(seed=seed)
        where = type(self).__name__
        self.steps: Any = checked_steps(where, steps, alike=True)
        self.item_rank, self.sample_rate = takes(self.steps)
        for place, step in enumerate(self.steps):
            if output_rank(step) not in (None, step.item_rank):
                rule = "steps that keep the axes of items, as items may be left alone, and all are in evaluation"
                remedy = "Put it after this, or choose among augmentations."
                raise ValueError(checks.message(where, rule, name(self.steps, place), remedy))
        self.p = checks.number(where, "p", p, low=0.0, high=1.0)

    def turns(self, params: Params) -> list[dict[int, Tensor]]:
        """Returns one turn after the other: places of steps, and which items take each, bool ``[B]``; no item two."""
        return [dict(enumerate(as_tensor(params["taken"], torch.bool).unbind(1)))]

    def run(self, x: Any, params: Params, targets: Targets = (), ahead: Any = None) -> tuple[Any, Targets]:
        """Returns the batch, each item after the steps that it takes, and its targets."""
        batch = x._replace(data=as_float(x.data))
        turns = self.turns(params) if params else []
        if ahead is None and batch.data.device.type != "cpu":
            ahead = partitions(self, Info.of(batch, ""), params, turns)[0].sent(batch.data.device)
        for place, turn in enumerate(turns):
            batch, targets = one_each(self, batch, params, turn, targets, ahead.of_turn(place) if ahead else None)
        return batch, list(targets)

    def look_ahead(self, info: Info, params: Params) -> tuple[Any, Info | None]:
        """Returns the `Partitions` of the turns, and the batch after them."""
        return partitions(self, info, params, self.turns(params) if params else [])

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns steps out for steps in; where they differ between choices, for one table of `draw`."""
        if params is not None:
            for turn in self.turns(params):
                for place, taken in turn.items():
                    out = output_lengths(self.steps[place], lengths, params.get(str(place)))
                    lengths = torch.where(taken, out, lengths)
            return lengths
        if not self.training:
            return lengths
        options = [*([lengths] if self.may_rest else []), *(step.output_lengths(lengths) for step in self.steps)]
        if any(bool(as_tensor(option != options[0], torch.bool).any()) for option in options):
            rule = "choices that give equal lengths, or the table of a draw"
            got, remedy = "choices that differ and no table", "Pass params=chain.draw(ids)."
            raise ValueError(checks.message(type(self).__name__, rule, got, remedy))
        return options[0]


class OneOf(Choice):
    """Gives each item exactly one of several steps, whose own ``p`` then applies.

    Choices may be augmentations, transforms and chains of them. All must give equal axes and rate; where lengths
    differ the batch is padded to the longest. Items that take no step pass unchanged. In ``.eval()`` all pass
    unchanged, also where choices are deterministic: which one to take is itself random.

    Under ``torch.compile`` choices must be augmentations through and through; then every choice runs on all items.

    Args:
        steps: to choose from.
        weights: how likely each step is, in any scale; None for all the same.
        p: probability that an item takes a step at all.
        seed: of the draws, beside the id of the item and the place in a chain.

    Raises:
        ValueError: no steps, steps for unlike input, weights that are below 0, all 0 or of another count;
            when called, choices that give unlike axes or rates.
        TypeError: a step that is neither a Transform nor an Augment.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> choice = ofs.OneOf([ofs.augment.Gain(gain_db=20.0), ofs.augment.PolarityInversion()], weights=[0, 1])
        >>> choice(torch.tensor([0.5, -1.0]))
        tensor([-0.5000,  1.0000])
    """

    def __init__(
        self, steps: Sequence[nn.Module], *, weights: Sequence[float] | None = None, p: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(steps, p=p, seed=seed)
        self.may_rest = self.p < 1
        given = [1.0] * len(self.steps) if weights is None else list(weights)
        self.weights = tuple(checks.number("OneOf", "weights", weight, low=0.0) for weight in given)
        if len(self.weights) != len(self.steps) or sum(self.weights) <= 0:
            rule = f"{len(self.steps)} weights, one a step, not all 0"
            raise ValueError(checks.message("OneOf", rule, self.weights, "Give each step a weight, or weights=None."))

    def tables(self, ids: Tensor, key: int) -> Params:
        """Returns ``taken``, bool ``[B, steps]``, and the tables of the random steps under their places."""
        unit = rng.uniform(ids, key, 2)
        total = sum(self.weights)
        bounds = [sum(self.weights[:count]) / total for count in range(1, len(self.weights))]
        chosen = sum(((unit[:, 1] >= bound).long() for bound in bounds), torch.zeros_like(ids))
        one_hot = chosen.unsqueeze(-1) == torch.arange(len(self.weights), device=ids.device)
        return {"taken": one_hot & (unit[:, :1] < self.p), **draw_all(self.steps, ids, key)}


class SomeOf(Choice):
    """Gives each item n distinct steps out of several, in the order of the list.

    Choices, padding, ``.eval()`` and ``torch.compile`` are as in `OneOf`; as an item may take any of them or not, each
    must keep axes and rate.

    Args:
        steps: to choose from.
        n: how many steps an item takes: a number, or (low, high), both possible, drawn uniformly.
        p: probability that an item takes steps at all.
        seed: of the draws, beside the id of the item and the place in a chain.

    Raises:
        ValueError: no steps, steps for unlike input, n outside 0 to the number of steps; when called, steps that
            change axes or rate.
        TypeError: a step that is neither a Transform nor an Augment, n that is no whole number.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> both = ofs.SomeOf([ofs.augment.Gain(gain_db=20.0), ofs.augment.PolarityInversion()], n=2)
        >>> both(torch.tensor([0.05, -0.1]))
        tensor([-0.5000,  1.0000])
    """

    def __init__(self, steps: Sequence[nn.Module], *, n: int | tuple[int, int], p: float = 1.0, seed: int = 0) -> None:
        super().__init__(steps, p=p, seed=seed)
        self.n = checks.integer_span("SomeOf", "n", n, low=0, high=len(self.steps))

    def tables(self, ids: Tensor, key: int) -> Params:
        """Returns ``taken``, bool ``[B, steps]``, and the tables of the random steps under their places."""
        unit = rng.uniform(ids, key, 2 + len(self.steps))
        count = self.n[0] + (unit[:, 1:2] * (self.n[1] - self.n[0] + 1)).long()
        shuffled = unit[:, 2:].argsort(stable=True)
        return {"taken": (shuffled < count) & (unit[:, :1] < self.p), **draw_all(self.steps, ids, key)}

    def turns(self, params: Params) -> list[dict[int, Tensor]]:
        """Returns a turn for each step, with the items that take it, bool ``[B]``."""
        return [{place: taken} for place, taken in enumerate(as_tensor(params["taken"], torch.bool).unbind(1))]


class RandomOrder(Choice):
    """Gives each item all steps, in an order of its own.

    Steps, padding, ``.eval()`` and ``torch.compile`` are as in `OneOf`; each must keep axes and rate. What a step draws
    does not depend on its turn.

    Args:
        steps: to put in order.
        p: probability that an item takes the steps at all.
        seed: of the draws, beside the id of the item and the place in a chain.

    Raises:
        ValueError: no steps, steps for unlike input; when called, steps that change axes or rate.
        TypeError: a step that is neither a Transform nor an Augment.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> either = ofs.RandomOrder([ofs.augment.Gain(gain_db=20.0), ofs.augment.PolarityInversion()])
        >>> either(torch.tensor([0.05, -0.1]))
        tensor([-0.5000,  1.0000])
    """

    def tables(self, ids: Tensor, key: int) -> Params:
        """Returns ``active``, bool ``[B]``, ``order``, int64 ``[B, steps]``, and the tables of the random steps."""
        unit = rng.uniform(ids, key, 1 + len(self.steps))
        order = unit[:, 1:].argsort(stable=True)
        return {"active": unit[:, 0] < self.p, "order": order, **draw_all(self.steps, ids, key)}

    def turns(self, params: Params) -> list[dict[int, Tensor]]:
        """Returns as many turns as there are steps, each with the items that take each step in it, bool ``[B]``."""
        order, active = as_tensor(params["order"], torch.int64), as_tensor(params["active"], torch.bool)
        return [{place: (now == place) & active for place in range(len(self.steps))} for now in order.unbind(-1)]


class Sometimes(Choice):
    """Gives each item a whole chain of steps, or none of it.

    Steps, padding, ``.eval()`` and ``torch.compile`` are as in `OneOf`.

    Args:
        steps: one step or several, run in a row.
        p: probability that an item takes them.
        seed: of the draws, beside the id of the item and the place in a chain.

    Raises:
        ValueError: no steps; when called, steps that change axes or rate.
        TypeError: a step that is neither a Transform nor an Augment.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.Sometimes([ofs.augment.Gain(gain_db=20.0), ofs.augment.PolarityInversion()], p=0.0)(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, steps: nn.Module | Sequence[nn.Module], *, p: float = 0.5, seed: int = 0) -> None:
        given = [steps] if isinstance(steps, nn.Module) and not isinstance(steps, nn.ModuleList) else list(steps)
        checked_steps("Sometimes", given, alike=False)
        super().__init__([Compose(given)], p=p, seed=seed)

    def __repr__(self) -> str:
        """Returns the call that makes it, with its steps as they are now."""
        options = self.__dict__["given"][1]
        steps, rest = list(self.steps[0]), [f"{name}={value!r}" for name, value in options.items() if name != "steps"]
        single = len(steps) == 1
        return written(self, [*map(repr, steps)], "" if single else "[", ", ".join(["" if single else "]", *rest]))

    def tables(self, ids: Tensor, key: int) -> Params:
        """Returns ``taken``, bool ``[B, 1]``, and the table of the chain."""
        return {"taken": rng.uniform(ids, key, 1) < self.p, **draw_all(self.steps, ids, key)}
