"""Transfer to devices that nobody waits for: through pinned memory, and all small tensors of a batch in one copy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec.batch import NO_TENSORS, remember_masks, tensors_in
from ontheflyspec.precision import wide
from ontheflyspec.torch_internals import transforming


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Returns a tensor on a device; on the way to CUDA through pinned memory, so that the host does not wait.

    torch keeps that memory and uses it again only when the copy is done.
    """
    if device.type == "cuda" and x.device.type == "cpu" and not transforming() and not x.is_pinned():
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def small_tensors(*values: Any) -> list[Tensor]:
    """Returns the tensors of the host in any nesting, each once; numbers stay where they are."""
    return list({id(x): x for x in tensors_in(*values) if x.device.type == "cpu" and x.dim()}.values())


class Placed:
    """Small tensors of the host where a batch lies: all sent in one copy, or as they are if it lies on the host.

    Traced code gets them as they are, too: values of a trace have no memory that could be packed.

    Args:
        device: of the batch.
        *values: any nesting of tensors; those on a device already stay.

    Example:
        >>> import torch
        >>> from ontheflyspec.transfer import Placed
        >>> lengths, gains = torch.tensor([3, 5]), torch.tensor([0.5, 2.0])
        >>> there = Placed(torch.device("meta"), lengths, {"gains": gains})
        >>> there(lengths).device.type, there({"gains": gains})["gains"].shape
        ('meta', torch.Size([2]))
    """

    def __init__(self, device: torch.device, *values: Any) -> None:
        self.device = device
        self.given: list[Tensor] = []
        """The tensors of the host, kept so that no other tensor takes over the identity of one."""
        self.copies: dict[int, Tensor] = {}
        self.table: Tensor | None = None
        """All copies in a row, bytes."""
        if device.type != "cpu" and not transforming():
            self.given = small_tensors(*values)
            if self.given:
                self._send()

    def __call__(self, value: Any) -> Any:
        """Returns a value of `values`, or any nesting of such, with the copies in place of what was sent."""
        if not self.copies or type(value) in NO_TENSORS:
            return value
        if isinstance(value, Tensor):
            return self.copies.get(id(value), value)
        if isinstance(value, dict):
            return {name: self(part) for name, part in value.items()}
        if isinstance(value, list):
            return [self(part) for part in value]
        if isinstance(value, tuple):
            parts = map(self, value)
            return tuple(parts) if type(value) is tuple else type(value)(*parts)
        return value

    def overwrite(self, given: list[Tensor]) -> None:
        """Sends other tensors of the same types and shapes in place of those that were sent."""
        if self.table is not None:
            self.table.copy_(self._packed(given)[0], non_blocking=True)

    def _send(self) -> None:
        """Packs the tensors, sends them, and takes the copies apart."""
        if self.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise RuntimeError("a graph would read this memory of the host again when it holds something else")
        packed, order = self._packed(self.given)
        self.table, begin = packed.to(self.device, non_blocking=True), 0
        for place, x in order:
            copy = self.table[begin : begin + x.nbytes].view(x.dtype).view(x.shape)
            self.copies[id(self.given[place])] = copy
            begin += x.nbytes
            if x.dtype == torch.int64 and x.dim() == 1:  # perhaps lengths
                remember_masks(copy)

    def _packed(self, given: list[Tensor]) -> tuple[Tensor, list[tuple[int, Tensor]]]:
        """Returns tensors in a row, bytes, pinned for CUDA; and each with its place, in types that the device has."""
        exact = [x.to(wide(self.device)) if x.dtype == torch.float64 else x for x in given]
        order = sorted(enumerate(exact), key=lambda one: -one[1].element_size())  # so that all lie aligned
        rows = [x.contiguous().reshape(-1).view(torch.uint8) for _, x in order]
        size, pin = sum(map(len, rows)), self.device.type == "cuda"
        packed = torch.empty(size, dtype=torch.uint8, device="cpu", pin_memory=pin)
        return torch.cat(rows, out=packed), order
