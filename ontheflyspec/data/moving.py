"""Batches in the forms that loaders give them, moved to a device and through a front end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, as_float, by_key
from ontheflyspec.labels import Target
from ontheflyspec.transfer import sent

Step = Callable[[Any], Any]


def moved(batch: Any, device: torch.device, key: str | None) -> Any:
    """Returns a batch with its data and targets on the device, lengths and ids where they were; raises for others."""
    first = batch[0] if type(batch) in (tuple, list) and batch else batch
    if isinstance(batch, dict) and key is not None:
        first = batch.get(key)
    if not isinstance(first, PaddedBatch):
        rule = "a loader of PaddedBatch, of tuples or lists that begin with one, or of dictionaries with one at key"
        got = f"one of {type(first).__name__}"
        raise TypeError(checks.message("DeviceLoader", rule, got, "Pass collate_fn=ofs.collate to the loader."))
    return placed(batch, device)


def placed(value: Any, device: torch.device) -> Any:
    """Returns a nest of tuples, lists and dicts with its tensors on the device."""
    if isinstance(value, PaddedBatch):
        return value._replace(data=placed(value.data, device))
    if isinstance(value, Tensor):
        return value if value.device == device else sent(value, device)
    if isinstance(value, Target):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: placed(part, device) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(placed(part, device) for part in value)
    return value


def called(transform: Step | None, call: Step, batch: Any, key: str | None) -> Any:
    """Returns the result of a transform on a batch; one of this package gets the entry of a dictionary at ``key``."""
    if isinstance(batch, dict) and hasattr(transform, "takes_int16"):
        return by_key(type(transform).__name__, call, batch, key or getattr(transform, "key", None))
    return call(batch)


def as_floats(batch: Any, key: str | None = None) -> Any:
    """Returns a batch with int16 samples as float32."""
    return _with_first(batch, key, lambda data: as_float(data) if data.dtype == torch.int16 else data)


def as_int16(batch: Any) -> Any:
    """Returns a batch whose float samples come from int16 as these."""
    return _with_first(batch, None, lambda data: (data * 32768).to(torch.int16) if data.is_floating_point() else data)


def _with_first(batch: Any, key: str | None, change: Callable[[Tensor], Tensor]) -> Any:
    """Returns a batch, a tuple or list that begins with one, or a dictionary with one, with its data changed."""
    if isinstance(batch, PaddedBatch):
        return batch._replace(data=change(batch.data))
    if isinstance(batch, dict):
        return {**batch, key: _with_first(batch[key], None, change)}
    return type(batch)([_with_first(batch[0], None, change), *batch[1:]])
