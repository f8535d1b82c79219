"""Trainers as users write them, on one process and on two: each clip once an epoch over all ranks, or an error.

`program.py` trains; these tests look at what it saw.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from ontheflyspec.identity import Identity
from trainers.program import CLIPS, EPOCHS

TRAIN = round(0.8 * CLIPS)
ROOT = Path(__file__).parents[2]
KINDS = ("AudioLoader", "DeviceLoader")


@pytest.fixture(scope="session")
def ran(tmp_path_factory):
    """Returns what each rank of a run saw; a run serves all tests of its trainer."""

    @functools.cache
    def run(trainer, world_size):
        if trainer != "torchrun" and importlib.util.find_spec(trainer) is None:
            pytest.skip(f"{trainer} is not installed: pip install -c constraints.txt -e '.[trainers]'")
        folder = tmp_path_factory.mktemp(trainer)
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world_size}"]
        command = [sys.executable, *(launch if world_size > 1 else []), str(Path(__file__).parent / "program.py")]
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run([*command, trainer, str(folder)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4_000:]
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world_size)]

    return run


def by_epoch(ranks, way, kind="seen"):
    """Returns the identities of each epoch, over all ranks, and how many batches each rank had in it."""
    ids, batches = defaultdict(list), defaultdict(list)
    for rank in ranks:
        assert "error" not in rank[way], rank[way]["error"]
        counts = defaultdict(int)
        for epoch, numbers in rank[way][kind]:
            ids[epoch] += map(Identity.of, numbers)
            counts[epoch] += 1
        for epoch, count in counts.items():
            batches[epoch].append(count)
    return ids, batches


def each_clip_once(ranks, way):
    ids, batches = by_epoch(ranks, way)
    assert sorted(ids) == list(range(EPOCHS))
    for epoch, found in ids.items():
        assert len({one.clip for one in found}) == len(found) == TRAIN
        assert {(one.epoch, one.occurrence) for one in found} == {(epoch, 0)}
    assert len({tuple(counts) for counts in batches.values()}) == 1  # as many batches in every epoch
    assert all(len(set(counts)) == 1 for counts in batches.values())  # and on every rank
    checked, _ = by_epoch(ranks, way, "checked")
    for found in checked.values():
        assert len({one.clip for one in found}) == len(found) == CLIPS - TRAIN
    return len(checked)


def resumed_as_unbroken(ranks, kind):
    for rank in ranks:
        whole, first, rest = (rank[f"{kind} {stage}"] for stage in ("whole", "first", "rest"))
        assert [ids for _, ids in first["seen"] + rest["seen"]] == [ids for _, ids in whole["seen"]]
        assert rest["weights"] == whole["weights"]


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_of_ones_own(ran, kind, tells):
    each_clip_once(ran("torchrun", 2), f"{kind} {tells}")


@pytest.mark.parametrize("way", ["unlike lengths", "unlike names"])
def test_the_later_rank_tells_of_unlike_lists(ran, way):
    first, second = ran("torchrun", 2)
    assert first[way] == "begun"
    assert "BucketBatchSampler: expected the same clips and options on all ranks" in second[way]["error"]
    assert "on rank 1" in second[way]["error"]
    assert "on rank 0" in second[way]["error"]


@pytest.mark.trainers
@pytest.mark.parametrize("kind", [*KINDS, "StatefulDataLoader"])
@pytest.mark.parametrize("world_size", [1, 2])
def test_lightning(ran, kind, world_size):
    ranks = ran("lightning", world_size)
    if kind == "StatefulDataLoader" and world_size > 1:
        assert all("set `Trainer(use_distributed_sampler=False)`" in rank[kind]["error"] for rank in ranks)
    else:
        assert each_clip_once(ranks, kind) == EPOCHS
    assert each_clip_once(ranks, f"{kind} whole") == EPOCHS
    resumed_as_unbroken(ranks, kind)


@pytest.mark.trainers
@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("world_size", [1, 2])
def test_accelerate(ran, world_size, tells):
    ranks = ran("accelerate", world_size)
    for kind in KINDS:
        assert each_clip_once(ranks, f"{kind} {tells}") == EPOCHS
    if world_size == 1:
        assert each_clip_once(ranks, f"DataLoader {tells}") == EPOCHS
    else:
        assert all("accelerate's prepare()" in rank[f"DataLoader {tells}"]["error"] for rank in ranks)


@pytest.mark.trainers
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world_size", [1, 2])
def test_transformers(ran, world_size, kind):
    ranks = ran("transformers", world_size)
    assert each_clip_once(ranks, f"{kind} whole") == EPOCHS
    resumed_as_unbroken(ranks, kind)
