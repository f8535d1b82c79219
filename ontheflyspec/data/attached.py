"""What trainers ask of a loader that is no DataLoader, so that none of them deals its batches anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any


class Attached(ABC):
    """A loader as Lightning, accelerate and transformers' Trainer look at it.

    They take it as it is, where they build a DataLoader anew around samplers of their own. To go on within an epoch
    transformers and accelerate build a DataLoader of `dataset`, `batch_sampler` and `collate_fn`, once for the rest of
    that epoch; Lightning asks for `state_dict`.
    """

    prefetch_factor: int | None = None
    """None, as that DataLoader has no workers."""

    @property
    @abstractmethod
    def dataset(self) -> Any:
        """The data set."""

    @property
    @abstractmethod
    def batch_sampler(self) -> Any:
        """What gives the indices of each batch."""

    @property
    @abstractmethod
    def collate_fn(self) -> Callable[[Sequence[Any]], Any]:
        """From the items of a batch to what the loader gives: the ``collate_fn`` of a DataLoader that does the same."""

    @property
    def sampler(self) -> Any:
        """What deals the batches, for trainers that set its epoch."""
        return self.batch_sampler
