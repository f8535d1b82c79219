"""An accelerator that is not there: finds every wait and every mixed-device step without a GPU.

A `Pretend` tensor says that it lies on ``torch.device("lazy", 0)``, a device type of torch that needs no runtime, and
holds a CPU tensor. Inside `Session` it computes as CUDA would, and raises `Violation` on what would wait there or fail:

- values or shapes asked of the device: ``.item()``, ``bool()``, ``.tolist()``, ``nonzero``, boolean indexing, ...;
- copies to the host, and copies to the device without ``non_blocking=True``;
- host and device tensors in one step, except host scalars where CUDA takes them.

`counted` tells how many kernels CUDA would launch meanwhile, how many bytes they move, and how many copies come from
the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from ontheflyspec import kept, precision
from ontheflyspec.functional import noises, rooms

DEVICE = torch.device("lazy", 0)
aten = torch.ops.aten


class Violation(AssertionError):
    """What an accelerator would wait for, or refuse."""


class Pretend(Tensor):
    """A tensor on the pretend accelerator."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Pretend:
        result = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        result.inner = inner
        return result

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Pretend({list(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Session(TorchDispatchMode):
    """Sends everything through `run`, so that factories and host tensors are seen too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


# Steps whose result, or the shape of it, the host must know.
ASKS = {
    aten._local_scalar_dense,
    aten.nonzero,
    aten.nonzero_static,
    aten.masked_select,
    aten.equal,
    aten.is_nonzero,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.bincount,
    aten.histc,
    aten._pack_padded_sequence,
}
# Steps without torch's "pointwise" tag that take a host scalar beside device tensors all the same.
SCALAR_TOO = {aten.masked_fill, aten.masked_fill_, aten.fill, aten.fill_, aten.where, aten.index_put, aten.index_put_}
COPIES = {aten._to_copy, aten.copy_, aten.copy}
INDEXES = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index}


# Steps that are more than one kernel on CUDA: they copy or fill first. All others count as one.
KERNELS = {
    aten._fft_c2r: 2,
    aten.masked_fill: 2,
    aten.constant_pad_nd: 2,
    aten.scatter: 2,
    aten.scatter_add: 2,
    aten.index_put: 2,
    aten.index_fill: 2,
    aten.index_add: 2,
    aten.slice_scatter: 2,
    aten.select_scatter: 2,
    aten.sort: 2,
    aten.cumsum: 2,
    aten.empty: 0,
    aten.empty_like: 0,
    aten.empty_strided: 0,
    aten.new_empty: 0,
    aten.new_empty_strided: 0,
}


@dataclass
class Counts:
    """What steps on the accelerator cost, by a model of CUDA.

    Args:
        kernels: launches.
        views: steps that compute nothing, but take the host's time.
        copies: from the host to the device.
        bytes: that kernels read and write.
        sent: bytes of the copies.
        flop: of products, convolutions and Fourier transforms, and one for each value of other results.
    """

    kernels: int = 0
    views: int = 0
    copies: int = 0
    bytes: int = 0
    sent: int = 0
    flop: float = 0.0

    @property
    def host_us(self) -> float:
        """Microseconds of the host: 4.5 a kernel, 1.2 a view, 8 a copy."""
        return 4.5 * self.kernels + 1.2 * self.views + 8 * self.copies

    @property
    def device_us(self) -> float:
        """Microseconds of the device: 1.5 a kernel, and its bytes at 3.0 TB/s."""
        return 1.5 * self.kernels + self.bytes / 3.0e6


PICKS = {aten.gather, aten.index_select, aten.index, aten.scatter_}
_COUNTS: list[Counts] = []
_FORBIDDEN: set[torch.dtype] = set()


@contextmanager
def counted() -> Iterator[Counts]:
    """Counts what happens inside, in a `session`."""
    _COUNTS.append(Counts())
    try:
        yield _COUNTS[-1]
    finally:
        _COUNTS.pop()


def _count(func: Any, result: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Adds one step to the counts that are open."""
    packet, given = func.overloadpacket, [one for one in leaves(args, *kwargs.values()) if isinstance(one, Tensor)]
    made = [one for one in leaves(result) if isinstance(one, Tensor)]
    if packet in COPIES and not all(isinstance(one, Pretend) for one in given if one.dim()):
        for counts in _COUNTS:
            counts.copies, counts.sent = counts.copies + 1, counts.sent + sum(map(_moved, made))
        return
    kept = {_unwrap(one).untyped_storage().data_ptr() for one in given if one.numel()}
    shared = all(not one.numel() or one.untyped_storage().data_ptr() in kept for one in made)
    if not func._schema.is_mutable and made and shared:
        for counts in _COUNTS:
            counts.views += 1
        return
    kernels, read = KERNELS.get(packet, 1), given
    if packet in PICKS:  # of the source no more than comes out, or goes in
        read = [*given[1:], given[-1] if func._schema.is_mutable else made[0]]
        made = made if not func._schema.is_mutable else []
    moved = sum(map(_moved, [*{id(one): _unwrap(one) for one in read}.values(), *made])) if kernels else 0
    moved += (kernels - 1) * sum(map(_moved, made)) if kernels > 1 else 0
    for counts in _COUNTS:
        counts.kernels, counts.bytes = counts.kernels + kernels, counts.bytes + moved
        counts.flop += _flop(packet, args, made) if kernels else 0


def _flop(packet: Any, args: Any, made: list[Tensor]) -> float:
    """Returns the floating point operations of one step."""
    values = sum(one.numel() for one in made)
    if packet in (aten.mm, aten.bmm):
        return 2.0 * values * args[0].shape[-1]
    if packet is aten.baddbmm:
        return 2.0 * values * args[1].shape[-1]
    if packet is aten.convolution:
        return 2.0 * values * args[1][0].numel()
    if packet in (aten._fft_r2c, aten._fft_c2r, aten._fft_c2c):
        size = max(args[0].shape[args[1][0]], made[0].shape[args[1][0]])
        rows = max(args[0].numel() // args[0].shape[args[1][0]], 1)
        return (5.0 if packet is aten._fft_c2c else 2.5) * rows * size * math.log2(max(size, 2))
    return float(values)


def _moved(x: Tensor) -> int:
    """Returns the bytes that a kernel moves of a tensor: no more than lie there where it repeats."""
    return min(x.numel() * x.element_size(), x.untyped_storage().nbytes())


def leaves(*values: Any) -> list[Any]:
    """Returns the leaves of lists and tuples, in which arguments of a step lie; `torch.utils` needs much longer."""
    return [leaf for one in values for leaf in (leaves(*one) if isinstance(one, list | tuple) else [one])]


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """Returns lists and tuples with every leaf changed."""
    return type(value)([mapped(change, one) for one in value]) if isinstance(value, list | tuple) else change(value)


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Runs one step of torch as the accelerator would, or raises `Violation`."""
    tensors = [leaf for leaf in leaves(args, *kwargs.values()) if isinstance(leaf, Tensor)]
    on_device = [tensor for tensor in tensors if isinstance(tensor, Pretend)]
    target = kwargs.get("device")
    placed = target is not None and torch.device(target).type == DEVICE.type
    if not on_device and not placed:
        return func(*args, **kwargs)
    packet = func.overloadpacket
    if packet in COPIES:
        _check_copy(func, args, kwargs)
    else:
        _check_step(func, args, tensors, sizeless=kwargs.get("output_size") is None)
    kwargs = {name: torch.device("cpu") if name == "device" and placed else value for name, value in kwargs.items()}
    result = func(*mapped(_unwrap, args), **{name: mapped(_unwrap, value) for name, value in kwargs.items()})
    if _COUNTS:
        _count(func, result, args, kwargs)
    return _wrapped(func, result, args, kwargs)


def _check_copy(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Raises on copies to the host and on blocking copies to the device."""
    if func.overloadpacket is aten._to_copy:
        source, to = args[0], kwargs.get("device")
        to_device = isinstance(source, Pretend) if to is None else torch.device(to).type == DEVICE.type
        non_blocking = kwargs.get("non_blocking", False)
    else:
        to_device, source = isinstance(args[0], Pretend), args[1]
        non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
    if isinstance(source, Pretend) and not to_device:
        raise Violation(f"{func} copies {source} to the host: the host would wait")
    if to_device and not isinstance(source, Pretend) and not non_blocking:
        raise Violation(
            f"{func} copies {list(source.shape)} to the device without non_blocking=True: the host would wait"
        )


def _check_step(func: Any, args: Any, tensors: list[Tensor], *, sizeless: bool) -> None:
    """Raises on steps that ask the device, and on host tensors beside device tensors."""
    packet = func.overloadpacket
    if packet in ASKS or (packet is aten.repeat_interleave and sizeless):
        raise Violation(f"{func} asks the device for values: the host would wait")
    if packet in INDEXES:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            raise Violation(f"{func} indexes with booleans: the host would wait for their number")
        if not all(isinstance(index, Pretend) for index in indices):
            raise Violation(f"{func} indexes with a host tensor: it would be copied, and the host would wait")
    takes_scalars = torch.Tag.pointwise in func.tags or packet in SCALAR_TOO
    for tensor in tensors:
        if not isinstance(tensor, Pretend) and not (takes_scalars and tensor.dim() == 0):
            raise Violation(f"{func} mixes a host tensor {list(tensor.shape)} with device tensors")


def _unwrap(leaf: Any) -> Any:
    return leaf.inner if isinstance(leaf, Pretend) else leaf


def _wrapped(func: Any, result: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Returns the result on the device; what a step wrote into is returned itself."""
    known = {id(leaf.inner): leaf for leaf in leaves(args, *kwargs.values()) if isinstance(leaf, Pretend)}

    def wrap(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.dtype in _FORBIDDEN:
            raise Violation(f"{func} gives {leaf.dtype}, which the device does not have")
        owner = known.get(id(leaf))
        if owner is None:
            return Pretend(leaf.resolve_conj().resolve_neg())
        if owner.shape != leaf.shape:
            raise Violation(f"{func} changed a shape in place, which is not modelled here")
        return owner

    return mapped(wrap, result)


def send(value: Any) -> Any:
    """Returns a module, or tensors in any nesting, on the pretend accelerator (or as it is on no device)."""
    if isinstance(value, torch.nn.Module):
        with Session():
            return value.to(DEVICE, non_blocking=True)
    return tree_map(lambda leaf: Pretend(leaf.clone()) if isinstance(leaf, Tensor) else leaf, value)


def fetch(value: Any) -> Any:
    """Returns tensors in any nesting on the host."""
    return tree_map(lambda leaf: leaf.inner if isinstance(leaf, Pretend) else leaf, value)


@contextmanager
def session() -> Iterator[None]:
    """Makes the accelerator there: steps are checked."""
    with Session():
        yield


@contextmanager
def without_doubles() -> Iterator[None]:
    """Makes the accelerator one that has no float64."""

    def forget() -> None:
        for clear in kept.CACHES:
            clear()

    forget()
    precision.WITHOUT_DOUBLES.add(DEVICE.type)
    _FORBIDDEN.update((torch.float64, torch.complex128))
    try:
        yield
    finally:
        precision.WITHOUT_DOUBLES.discard(DEVICE.type)
        _FORBIDDEN.clear()
        forget()


@contextmanager
def noise_of_devices() -> Iterator[None]:
    """Makes references on the CPU draw noise by counter, as they do on devices."""
    drawn, responses = noises._drawn_noise, rooms._responses
    noises._drawn_noise = lambda like, lengths, f_decay, keys, active: noises._counted_noise(like, f_decay, keys)
    rooms._responses = lambda like, rt60, drr_db, keys, active, size: rooms._counted_responses(
        like, rt60, drr_db, keys, size
    )
    try:
        yield
    finally:
        noises._drawn_noise, rooms._responses = drawn, responses
