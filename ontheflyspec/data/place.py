"""State of a sampler: the place in an epoch where it stands, to a dictionary and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ontheflyspec import checks
from ontheflyspec.data.plan import WHERE

VERSION = 1


class Place(NamedTuple):
    """Where an epoch begins: after ``consumed`` steps of the deal that follows the ``earlier`` ones.

    Args:
        consumed: steps played before.
        earlier: (world size, steps played) of each deal with another world size.
    """

    consumed: int = 0
    earlier: tuple[tuple[int, int], ...] = ()


def write(epoch: int, place: Place, *, world_size: int, seed: int, plan_hash: str) -> dict[str, Any]:
    """Returns the state of a sampler as a dictionary of plain numbers, lists and strings."""
    return {
        "version": VERSION,
        "seed": seed,
        "epoch": epoch,
        "consumed": place.consumed,
        "world_size": world_size,
        "earlier": [list(deal) for deal in place.earlier],
        "plan_hash": plan_hash,
    }


def parse(state: Mapping[str, Any], *, world_size: int, seed: int, plan_hash: str) -> tuple[int, Place]:
    """Returns epoch and place of a state for a sampler of these facts, or raises if the state is not its own.

    A state of another world size becomes the start of a new deal of what it left.
    """
    needed = ("version", "seed", "epoch", "consumed", "world_size", "earlier", "plan_hash")
    missing = [name for name in needed if name not in state]
    if missing:
        refuse("state", f"with {', '.join(needed)}", f"one without {', '.join(missing)}", "Load a sampler's state.")
    if state["version"] != VERSION:
        refuse("version", f"{VERSION}", state["version"], "Load it with the release that made it.")
    if state["seed"] != seed:
        refuse("seed", f"{seed} as the sampler's", state["seed"], f"Build the sampler with seed={state['seed']}.")
    if state["plan_hash"] != plan_hash:
        got = f"{state['plan_hash'][:8]}... against {plan_hash[:8]}..."
        refuse("plan_hash", "of the same lengths and options", got, "Build data set and sampler as they were.")
    where = f"{WHERE}.load_state_dict"
    epoch, consumed = (checks.integer(where, name, state[name], low=0) for name in ("epoch", "consumed"))
    played_by = checks.integer(where, "world_size", state["world_size"])
    earlier = tuple((int(ranks), int(steps)) for ranks, steps in state["earlier"])
    if played_by == world_size:
        return epoch, Place(consumed, earlier)
    return epoch, Place(0, (*earlier, (played_by, consumed)) if consumed else earlier)


def refuse(name: str, rule: str, got: object, remedy: str) -> None:
    """Raises what is wrong with a state."""
    raise ValueError(checks.message(f"{WHERE}.load_state_dict", f"{name} {rule}", got, remedy))
