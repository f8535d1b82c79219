"""Base of waveform transforms that are one edit of a batch: level, filters, duration, coding."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from ontheflyspec.batch import PaddedBatch, as_float, check_rate, with_targets
from ontheflyspec.op import Edit, execute
from ontheflyspec.plans import Info, followed
from ontheflyspec.precision import without_autocast
from ontheflyspec.transforms.base import Transform, check


class EditTransform(Transform):
    """A waveform transform that is one edit of a batch, which `plan` decides; labels in time follow it.

    In a chain it is done together with the augmentations beside it.
    """

    changes_lengths: ClassVar[bool] = False
    """Whether results have other lengths than items."""

    @abstractmethod
    def plan(self, info: Info) -> Edit:
        """Returns the edit that the transform makes of a batch."""

    def forward(self, x: Any) -> Any:
        """Transforms a Tensor, a batch, or a batch with targets; see the class."""
        return with_targets(self, x, lambda batch, targets: edited(self, batch, targets))


def planned_edit(step: EditTransform, info: Info) -> Edit:
    """Returns the edit of a transform, or raises unless the batch has the rate that it was built for."""
    if step.sample_rate is not None and info.rate is not None:
        check_rate(type(step).__name__, step.sample_rate, info.rate)
    return step.plan(info)


def edited(step: EditTransform, batch: PaddedBatch, targets: Sequence[Any]) -> tuple[PaddedBatch, Sequence[Any]]:
    """Returns a batch after the edit of a transform, and its targets."""
    check(step, batch)
    batch = batch._replace(data=as_float(batch.data))
    if not batch.data.shape[0]:  # FFT libraries refuse to transform nothing
        full = torch.tensor([batch.data.shape[-1]], device="cpu")
        row = PaddedBatch(batch.data.new_zeros(1, *batch.data.shape[1:]), full, batch.rate)
        data = edited(step, row, [])[0].data[:0]
        return batch._replace(data=data), list(targets)
    info = Info.of(batch, type(step).__name__)
    edit = planned_edit(step, info)
    with without_autocast(batch.data.device):
        after, moved = execute({0: edit}, batch)
    return after, followed(targets, edit, info, Info.of(after, info.where), moved)
