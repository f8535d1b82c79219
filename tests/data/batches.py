"""Loaders that are compared, and what they hand out as plain values."""

from __future__ import annotations

import hashlib
import threading

import torch
from torch.utils.data import DataLoader

import ontheflyspec as ofs
from ontheflyspec.data import device


def sampled(clips, **options):
    return ofs.BucketBatchSampler(clips.lengths, **({"max_samples": 4_000, "seed": 3} | options))


def threads_alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ontheflyspec-read")]


def content(item):
    """Returns all that a loader handed out as bytes and numbers."""
    batch, targets = item if isinstance(item, tuple) and not isinstance(item, ofs.PaddedBatch) else (item, None)
    ids = None if batch.ids is None else batch.ids.tolist()
    gathered = targets.tolist() if isinstance(targets, torch.Tensor) else targets
    if isinstance(targets, tuple):
        gathered = [part.tolist() for part in targets]
    kind = targets.dtype if isinstance(targets, torch.Tensor) else None
    data = (hashlib.sha256(batch.data.numpy().tobytes()).hexdigest(), batch.data.dtype, batch.data.shape)
    return *data, batch.lengths.tolist(), batch.lengths.dtype, batch.rate, ids, gathered, kind


def by_torch(clips, sampler, workers=0, **options):
    return DataLoader(clips, batch_sampler=sampler, collate_fn=ofs.collate, num_workers=workers, **options)


def ahead_on_the_cpu(monkeypatch, spare=1):
    """Makes the plain path take some batches more than it hands out, as the CUDA path does."""

    def ahead(batches, transform, device, graphs, **_):
        waiting = []
        for one in batches:
            waiting.append(one)
            if len(waiting) > spare:
                yield waiting.pop(0)
        yield from waiting

    monkeypatch.setattr(device, "stage", ahead)
