"""How much padding batches of like length leave, and how long an epoch takes to plan."""

from __future__ import annotations

import numpy as np

import ontheflyspec as ofs
from benchmarks import timing

RATE = 16_000
CLIPS = 100_000
BUDGET_S = 120
MIXES = {
    "median 5 s, sigma 0.4, 1 to 30 s": (5.0, 0.4, 1.0, 30.0),
    "median 4 s, sigma 1, 0.3 to 120 s": (4.0, 1.0, 0.3, 120.0),
}


def lengths(median: float, sigma: float, shortest: float, longest: float) -> np.ndarray:
    """Returns samples of lognormal clips."""
    seconds = np.random.default_rng(0).lognormal(np.log(median), sigma, CLIPS).clip(shortest, longest)
    return (seconds * RATE).astype(np.int64)


def padding(samples: np.ndarray, world_size: int) -> tuple[float, int, bool]:
    """Returns the share of padding, each batch padded to its own longest, steps a rank, and whether all is dealt."""
    seen = np.zeros(len(samples), np.int64)
    padded, steps = 0, set()
    for rank in range(world_size):
        ranks = {} if world_size == 1 else {"rank": rank, "world_size": world_size}
        batches = [[int(draw) for draw in batch] for batch in ofs.BucketBatchSampler(samples, **options(), **ranks)]
        steps.add(len(batches))
        for batch in batches:
            seen[batch] += 1
            padded += len(batch) * int(samples[batch].max())
    return 1 - samples.sum() / padded, steps.pop(), not steps and bool((seen == 1).all())


def options() -> dict[str, int]:
    return {"max_samples": BUDGET_S * RATE, "seed": 0}


def rows(rounds: int) -> list[list[str]]:
    """Returns the rows of the table."""
    result = []
    for name, mix in MIXES.items():
        samples = lengths(*mix)
        for world_size in (1, 8):
            ranks = {"rank": 0, "world_size": world_size}

            def plan(samples: np.ndarray = samples, ranks: dict[str, int] = ranks) -> None:
                next(iter(ofs.BucketBatchSampler(samples, **options(), **ranks)))

            taken = timing.rotate({"plan": plan}, rounds=rounds)["plan"]
            share, steps, whole = padding(samples, world_size)
            dealt = "every clip once" if whole else "NOT every clip once"
            result.append(
                [name, str(world_size), f"{100 * share:.2f} %", f"{timing.median(taken):.3f} s", str(steps), dealt]
            )
    return result


def table(rounds: int) -> str:
    """Returns heading and table."""
    columns = ["lengths", "ranks", "padding", "first plan (median)", "steps a rank", "dealt"]
    text = f"### BucketBatchSampler, {CLIPS:,} lognormal lengths, max_samples {BUDGET_S} s\n"
    return f"{text}\n{timing.table(columns, rows(rounds))}"
