"""The five laws, as functions that hold for every public transform and augmentation (see CONTRIBUTING.md).

Each takes a case of the registry, its module and a batch, and raises AssertionError where the law is broken.
"""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import random
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

import ontheflyspec as ofs
from case import RATE, Case, build
from ontheflyspec import rng
from ontheflyspec.augment.base import Augment
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.chain.compose import draw_all
from ontheflyspec.identity import Identity

TOLERANCE = 1e-5
Law = Callable[[Case, Any, PaddedBatch], None]
FILLS = (float("nan"), 1e4)
"""What `fouled` puts into the padding."""


@dataclass(frozen=True)
class Example:
    """What a batch is made of.

    Args:
        lengths: steps of each item.
        channels: None for data without a channel axis.
        levels: dB of each item, in turn.
        seed: of the samples and ids.
        spare: steps of padding after the longest item.
    """

    lengths: tuple[int, ...]
    channels: int | None = None
    levels: tuple[float, ...] = (0.0, -60.0, -20.0)
    seed: int = 0
    spare: int = 0

    def __repr__(self) -> str:
        options = (self.channels, self.levels, self.seed, self.spare)
        return f"Example({self.lengths}, {', '.join(map(str, options))})"

    def items(self, case: Case, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Returns the items, each of its own level."""
        draws = torch.Generator().manual_seed(self.seed)
        lead = () if self.channels is None else (self.channels,)
        items = []
        for place, length in enumerate(self.lengths):
            shape = (*lead, length) if case.rank == 1 else (*lead, case.bands, length)
            item = torch.randn(shape, generator=draws, dtype=torch.float64)
            if case.takes == "complex":
                item = torch.complex(item, torch.randn(shape, generator=draws, dtype=torch.float64))
            if case.takes == "power":
                item = item.square()
            level = 10 ** (self.levels[place % len(self.levels)] / 20)
            items.append((item * level * 0.2).to(dtype.to_complex() if item.is_complex() else dtype))
        return items

    def batch(self, case: Case, dtype: torch.dtype = torch.float32) -> PaddedBatch:
        """Returns the items as a batch with ids."""
        return self.padded(self.items(case, dtype), case)

    def padded(self, items: list[Tensor], case: Case) -> PaddedBatch:
        """Returns these items as a batch with ids."""
        ids = [Identity(place, self.seed).id() for place in range(len(items))]
        batch = ofs.pad(items, rate=RATE if case.rank == 1 else RATE / 16, ids=ids)
        return batch._replace(data=torch.nn.functional.pad(batch.data, (0, self.spare)))


def valid(batch: PaddedBatch) -> Tensor:
    """Returns True at the valid steps, in the shape of the data, worked out without the library's own mask."""
    mask = torch.zeros(batch.data.shape, dtype=torch.bool)
    for row, length in zip(mask, batch.lengths.tolist(), strict=True):
        row[..., :length] = True
    return mask


def only(batch: PaddedBatch, place: int) -> PaddedBatch:
    """Returns one item of a batch as a batch of its own, without padding."""
    assert batch.ids is not None
    one = slice(place, place + 1)
    data = batch.data[one, ..., : int(batch.lengths[place])]
    return PaddedBatch(data, batch.lengths[one], batch.rate, batch.ids[one])


def close(case: Case, one: Tensor, other: Tensor, source: PaddedBatch, tolerance: float = TOLERANCE) -> None:
    """Compares the outputs for one item: within ``tolerance`` of its peak, logarithms and phases undone."""
    assert one.shape == other.shape, f"{list(one.shape)} against {list(other.shape)}"
    if one.numel() == 0 or source.data.numel() == 0:
        assert torch.equal(one, other)
        return
    if case.magnitude is not None:
        weight = case.magnitude()(source.to(dtype=one.dtype)).data.reshape(one.shape)
        left, right = torch.polar(weight, one), torch.polar(weight, other)
    else:
        left, right = case.undo(one), case.undo(other)
    rounding = 1e-10 * float(source.to(dtype=torch.float64).data.abs().max()) ** 2
    peak = torch.maximum(left.abs().max(), right.abs().max()).clamp(min=rounding)
    gap = (left - right).abs().max()
    assert gap <= tolerance * peak, f"off by {float(gap):.3g} at a peak of {float(peak):.3g}"
    if case.undo(torch.ones(())) != 1:
        loud = (left.abs() > peak * 1e-6) & (right.abs() > peak * 1e-6)
        step = (left[loud] / right[loud]).log10().abs()
        assert step.numel() == 0 or step.max() * 10 <= 0.01 * tolerance / TOLERANCE, "off by more than 0.01 dB"


def same(case: Case, one: Tensor, other: Tensor, source: PaddedBatch) -> None:
    """Compares bitwise where the laws promise it, else by `close`."""
    if case.exact and not any(parameter.requires_grad for parameter in build(case).parameters()):
        assert one.shape == other.shape, f"{list(one.shape)} against {list(other.shape)}"
        assert torch.equal(one, other), f"not bitwise equal, off by {float((one - other).abs().max()):.3g}"
    else:
        close(case, one, other, source)


def alone(case: Case, module: nn.Module, batch: PaddedBatch) -> None:
    """Law 1: an item in a batch gives what it gives by itself, as a batch of one and as a Tensor."""
    out = module(batch)
    for place in range(len(batch.lengths)):
        item = only(batch, place)
        steps = int(out.lengths[place])
        single = module(item)
        assert single.data.shape[-1] == steps == int(single.lengths[0])
        same(case, out.data[place : place + 1, ..., :steps], single.data, item)
        if not case.random:
            same(case, module(item.data), single.data, item)
            if item.data.dim() == case.rank + 1:
                same(case, module(item.data[0])[None], single.data, item)


def padding(case: Case, module: nn.Module, batch: PaddedBatch) -> None:
    """Law 2: what stands in the padding changes nothing, and what comes out past each length is 0."""
    clean = module(batch)
    size = range(clean.data.shape[-1])
    assert clean.mask().tolist() == [[step < length for step in size] for length in clean.lengths.tolist()]
    assert not clean.data[~valid(clean)].any(), "not 0 past the lengths"
    assert torch.isfinite(torch.view_as_real(clean.data) if clean.data.is_complex() else clean.data).all()
    for fill in FILLS:
        dirty = module(batch._replace(data=fouled(batch, fill)))
        assert torch.equal(dirty.lengths, clean.lengths)
        assert torch.equal(dirty.data, clean.data), f"{fill} in the padding changed the output"


def fouled(batch: PaddedBatch, fill: float) -> Tensor:
    """Returns the data with noise of size ``fill`` in the padding, or for NaN with NaN and both infinities in turn."""
    data = batch.data
    value = torch.randn(data.shape, generator=torch.Generator().manual_seed(5)).to(data.dtype) * fill
    if math.isnan(fill):
        value = torch.tensor([math.nan, math.inf, -math.inf], dtype=data.dtype)[torch.arange(data.shape[-1]) % 3]
    return torch.where(valid(batch), data, value)


def gradients(case: Case, module: nn.Module, batch: PaddedBatch) -> None:
    """Laws 1, 2 and 5 where a gradient is asked for: the same values, and gradients that stop at each end."""
    plain, (watched, clean) = module(batch), gradient(module, batch, batch.data)
    assert torch.equal(plain.lengths, watched.lengths)
    for place, steps in enumerate(plain.lengths.tolist()):
        one, other = plain.data[place : place + 1, ..., :steps], watched.data[place : place + 1, ..., :steps]
        close(case, one.detach(), other.detach(), only(batch, place))
    assert torch.isfinite(clean).all(), "a gradient is not finite"
    assert not clean[~valid(batch)].any(), "a gradient reaches the padding"
    for fill in FILLS:
        dirty = gradient(module, batch, fouled(batch, fill))[1]
        assert torch.equal(clean, dirty), f"{fill} in the padding changed the gradient"


def gradient(module: nn.Module, batch: PaddedBatch, data: Tensor) -> tuple[PaddedBatch, Tensor]:
    """Returns the output and the gradient of a fixed weighted sum of it, and checks that of the parameters."""
    source = data.clone().requires_grad_()
    module.zero_grad()
    made = module(batch._replace(data=source))
    out = torch.view_as_real(made.data) if made.data.is_complex() else made.data
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out.dtype)
    (out * weights).sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
    assert source.grad is not None
    return made, source.grad


def faint_gradients(case: Case, module: nn.Module, batch: PaddedBatch) -> None:
    """Law 5: values and gradients are finite on sounds that decay through the whole range of floats, in both modes."""
    size = batch.data.shape[-1]
    decay = 10.0 ** -torch.linspace(0, 44, size, dtype=torch.float64)
    for scale in (1e-10, 1e-18, 1e-22, 1e-30, 1e-38, 1e-42, decay):
        precise = torch.complex128 if batch.data.is_complex() else torch.float64
        data = (batch.data.to(precise) * scale).to(batch.data.dtype)
        made, slope = gradient(module, batch, data)
        assert torch.isfinite(parts(made.data)).all(), scale
        assert torch.isfinite(parts(slope)).all(), scale


def forward_mode(case: Case, module: nn.Module, batch: PaddedBatch) -> None:
    """Law 5: derivatives in forward mode are those in reverse mode, or raise."""
    data = batch.data.to(torch.complex128 if batch.data.is_complex() else torch.float64)
    way = torch.randn(data.shape, generator=torch.Generator().manual_seed(4), dtype=data.dtype)
    source = data.clone().requires_grad_()
    out = parts(module(batch._replace(data=source)).data)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=out.dtype)
    (slope,) = torch.autograd.grad((out * weights).sum(), source)
    with forward_ad.dual_level():
        try:
            made = module(batch._replace(data=forward_ad.make_dual(data, way))).data
        except NotImplementedError:
            return
        tangent = forward_ad.unpack_dual(made).tangent
        found = 0.0 if tangent is None else (parts(tangent) * weights).sum().item()
    wanted = (parts(slope) * parts(way)).sum().item()
    assert abs(found - wanted) <= 1e-6 * max(abs(found), abs(wanted), 1e-6)


def parts(x: Tensor) -> Tensor:
    """Returns real numbers as they are, complex ones as pairs of them."""
    return torch.view_as_real(x) if x.is_complex() else x


def draw(case: Case, module: Any, batch: PaddedBatch) -> None:
    """Law 3: what an item gets depends on its id, the seed and the place; not on mates, order or global state."""
    assert batch.ids is not None
    first = module(batch)
    torch.manual_seed(12345)
    again = module(batch)
    assert torch.equal(first.data, again.data), "two calls with equal ids differ"
    assert torch.equal(first.ids, batch.ids)
    order = torch.arange(len(batch.lengths)).flip(0)
    turned = PaddedBatch(batch.data[order], batch.lengths[order], batch.rate, batch.ids[order])
    back = module(turned)
    for place in range(len(batch.lengths)):
        steps = int(first.lengths[place])
        moved = back.data[len(order) - 1 - place, ..., :steps]
        same(case, first.data[place, ..., :steps][None], moved[None], only(batch, place))
    tables = module.draw(batch.ids)
    alike = equal_tables(turned_table(tables, order), module.draw(batch.ids[order]))
    assert alike or getattr(module, "mixes_items", False), "a table depends on the order"
    replayed = module.replay(batch, tables)
    assert torch.equal(replayed.data, first.data), "replay(draw) is not the call"
    lists = json.loads(json.dumps(as_lists(tables)))
    assert torch.equal(module.replay(batch, lists).data, first.data), "a table does not survive JSON"
    torch.manual_seed(3)
    loose = module(batch._replace(ids=None))
    torch.manual_seed(3)
    assert torch.equal(module(batch._replace(ids=None)).data, loose.data), "torch.manual_seed does not rule fresh ids"
    assert loose.ids is None


def variety(case: Case, module: Any) -> None:
    """Law 3: another epoch, item, seed or place draws other numbers."""
    epoch = torch.tensor([Identity(item, 1).id() for item in range(64)])
    later = torch.tensor([Identity(item, 2).id() for item in range(64)])
    drawn = module.draw(epoch)
    assert not equal_tables(drawn, module.draw(later)), "two epochs draw the same"
    assert not equal_tables(drawn, turned_table(drawn, torch.arange(64).roll(1))), "all items draw the same"
    other = copy.deepcopy(module)
    other.seed = module.seed + 1
    assert not equal_tables(drawn, other.draw(epoch)), "two seeds draw the same"
    chain = draw_all([module, copy.deepcopy(module)], epoch, rng.fold(0, 0))  # which need not fit behind each other
    assert not equal_tables(chain["0"], chain["1"]), "two places draw the same"
    nested = ofs.Compose([ofs.Compose([module])]).draw(epoch)
    assert not equal_tables(chain["0"], nested["0"]["0"]), "two depths draw the same"


def as_lists(table: Any) -> Any:
    """Returns a table of parameters as JSON takes it."""
    if isinstance(table, dict):
        return {name: as_lists(value) for name, value in table.items()}
    return table.tolist() if isinstance(table, Tensor) else table


def turned_table(table: Any, order: Tensor) -> Any:
    """Returns a table with its items in another order."""
    if isinstance(table, dict):
        return {name: turned_table(value, order) for name, value in table.items()}
    return table[order]


def equal_tables(one: Any, other: Any) -> bool:
    """Returns whether two tables hold the same."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal_tables(one[name], other[name]) for name in one)
    return torch.equal(one, other)


def lengths(case: Case, module: Any, batch: PaddedBatch) -> None:
    """Law 4: lengths out follow the formula, for whole numbers and tensors, and the last axis is that of T."""
    out = module(batch)
    assert out.lengths.dtype == torch.int64
    if case.lengths != "formula":
        assert out.data.shape[-1] == int(out.lengths.max())
        if case.lengths == "drawn":
            assert torch.equal(module.output_lengths(batch.lengths, module.draw(batch.ids)), out.lengths)
        return
    expected = [case.steps(int(n)) for n in batch.lengths]
    assert out.lengths.tolist() == expected
    assert module.output_lengths(batch.lengths).tolist() == expected
    assert [module.output_lengths(int(n)) for n in batch.lengths] == expected
    assert all(type(module.output_lengths(int(n))) is int for n in batch.lengths)
    size = batch.data.shape[-1]
    assert out.data.shape[-1] == module.output_lengths(size) == case.steps(size)
    assert out.data.shape[: batch.data.dim() - case.rank] == batch.data.shape[: batch.data.dim() - case.rank]
    if size:
        assert out.data.shape[-1] > 0 or case.steps(size) == 0


def purity(case: Case, module: Any, batch: PaddedBatch) -> None:
    """Law 5: inputs, the module and global random states stay as they are; nothing is printed; eval() is plain."""
    before = tuple(value.clone() for value in (batch.data, batch.lengths, batch.ids) if value is not None)
    version = batch.data._version
    state = {name: value.clone() for name, value in module_tensors(module).items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        out = module(batch)
    assert printed.getvalue() == ""
    assert torch.equal(before[0], batch.data)
    assert batch.data._version == version, "the input was written to"
    assert torch.equal(before[1], batch.lengths)
    assert batch.ids is not None
    assert torch.equal(before[2], batch.ids)
    after = module_tensors(module)
    assert state.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in state.items())
    assert torch.equal(states[0], torch.get_rng_state()), "torch's generator was used although there are ids"
    assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert states[2] == random.getstate()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(batch).data, out.data), "a copy differs"
    if out.data.data_ptr() == batch.data.data_ptr() and out.data.numel():
        assert torch.equal(out.data, batch.data)


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Returns all buffers and parameters."""
    return dict([*module.named_buffers(), *module.named_parameters()])


def quiet(module: Any, batch: PaddedBatch) -> None:
    """Law 5: in eval mode a random step alone is the identity, and a chain draws nothing."""
    calm = copy.deepcopy(module).eval()
    out = calm(batch)
    assert torch.equal(out.data, calm(batch._replace(ids=None)).data)
    assert torch.equal(out.data, calm(batch._replace(ids=batch.ids + 1)).data)
    if isinstance(module, Augment) and not any(not isinstance(step, Augment) for step in getattr(module, "steps", [])):
        assert torch.equal(out.data, batch.data)
        assert torch.equal(calm(batch.data), batch.data)


def layouts(case: Case, module: nn.Module, batch: PaddedBatch) -> None:
    """Values count, not how they lie in memory: strided, expanded or sliced inputs give the same."""
    out = module(batch)
    wide = torch.zeros(*batch.data.shape[:-1], 2 * batch.data.shape[-1], dtype=batch.data.dtype)
    wide[..., ::2] = batch.data
    turned = batch.data.transpose(0, -1).contiguous().transpose(0, -1)
    for data in (wide[..., ::2], turned):
        strided = module(batch._replace(data=data))
        for place in range(len(batch.lengths)):
            one, steps = slice(place, place + 1), int(out.lengths[place])
            same(case, out.data[one, ..., :steps], strided.data[one, ..., :steps], only(batch, place))


def types(case: Case, module: nn.Module, example: Example) -> None:
    """float64 stays float64 and agrees with float32; int16 means value / 32768."""
    batch = example.batch(case)
    doubled = batch._replace(data=batch.data.to(torch.complex128 if batch.data.is_complex() else torch.float64))
    single, double = module(batch), module(doubled)
    wide = torch.complex128 if single.data.is_complex() else torch.float64
    assert double.data.dtype == wide
    assert single.data.dtype in (torch.float32, torch.complex64)
    for place in range(len(batch.lengths)):
        steps = int(single.lengths[place])
        one, other = single.data[place, ..., :steps], double.data[place, ..., :steps]
        close(case, one.to(wide)[None], other[None], only(batch, place).to(dtype=torch.float64), tolerance=1e-4)
    if case.takes == "wave":
        whole = (batch.data * 32767).round().clamp(-32768, 32767).to(torch.int16)
        out = module(batch._replace(data=whole)).data
        assert torch.equal(out, module(batch._replace(data=whole / 32768)).data)
        dirty = torch.where(valid(batch), whole, torch.tensor(-32768, dtype=torch.int16))
        assert torch.equal(out, module(batch._replace(data=dirty)).data), (
            "int16 noise in the padding changed the output"
        )


def silence(case: Case, module: nn.Module, batch: PaddedBatch) -> None:
    """Silence gives finite values and finite gradients."""
    still = batch._replace(data=torch.zeros_like(batch.data))
    out = module(still).data
    assert torch.isfinite(torch.view_as_real(out) if out.is_complex() else out).all()
    assert torch.isfinite(gradient(module, still, still.data)[1]).all()
