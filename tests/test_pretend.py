"""On an accelerator nothing waits and nothing mixes: every case on the pretend one, and on CUDA where there is one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

import laws
import ontheflyspec as ofs
import pretend
from case import Case, build
from laws import Example
from ontheflyspec.batch import PaddedBatch
from pretend import DEVICE, Violation
from registry import CASES, TRANSFORMS, front_end

MIXED = Example((160, 0, 1, 33, 128), spare=3)
STEREO = Example((200, 0, 1, 65, 17), channels=2, spare=1)


class Imaginary:
    """The pretend accelerator."""

    device = DEVICE

    send = staticmethod(pretend.send)
    fetch = staticmethod(pretend.fetch)
    session = staticmethod(pretend.session)


class Cuda:
    """A real one, which raises wherever the host would wait."""

    device = torch.device("cuda")

    @staticmethod
    def send(value: Any) -> Any:
        if isinstance(value, torch.nn.Module):
            return value.cuda()
        return tree_map(lambda leaf: leaf.cuda() if isinstance(leaf, Tensor) else leaf, value)

    @staticmethod
    def fetch(value: Any) -> Any:
        return tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, value)

    @staticmethod
    @contextmanager
    def session() -> Iterator[None]:
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


ACCELERATORS: list[Any] = [Imaginary, Cuda] if torch.cuda.is_available() else [Imaginary]
everywhere = pytest.mark.parametrize("machine", ACCELERATORS)
every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def compare(case: Case, machine: Any, out: PaddedBatch, batch: PaddedBatch) -> None:
    """Compares what the accelerator gave with what the CPU gives, item by item."""
    with pretend.noise_of_devices():
        given = batch._replace(data=batch.data.clone().requires_grad_(case.noise))
        expected = build(case)(given)
    found, expected = machine.fetch(out), expected._replace(data=expected.data.detach())
    assert torch.equal(found.lengths, expected.lengths)
    if case.lengths != "formula":  # what comes of a device may be longer, as nobody asks it how long
        size = expected.data.shape[-1]
        assert not found.data[..., size:].any()
        found = found._replace(data=found.data[..., :size])
    assert found.data.shape == expected.data.shape
    assert not found.data[~laws.valid(expected)].any()
    for place in range(len(batch.lengths)):
        steps = int(expected.lengths[place])
        one, other = found.data[place, ..., :steps], expected.data[place, ..., :steps]
        laws.close(case, one[None], other[None], laws.only(batch, place))


@everywhere
@every
@pytest.mark.parametrize(
    ("where", "spec", "dtype"),
    [("host", MIXED, torch.float32), ("device", STEREO, torch.float64)],
    ids=["host", "device"],
)
def test_forward(machine: Any, case: Case, spec: Example, where: str, dtype: torch.dtype) -> None:
    """With lengths on the host, as loaders give them; and in float64 with them where ``tree_map`` leaves them."""
    module = machine.send(copy.deepcopy(build(case)))
    batch = spec.batch(case, dtype)
    sent = batch._replace(data=machine.send(batch.data))
    if where == "device":
        sent = sent._replace(lengths=machine.send(batch.lengths))
    with machine.session():
        out = module(sent)
    assert out.data.device.type == machine.device.type
    assert out.lengths.device == (out.data.device if case.lengths == "data" else sent.lengths.device)
    compare(case, machine, out, batch)


@everywhere
@every
def test_backward(machine: Any, case: Case) -> None:
    module, batch = machine.send(copy.deepcopy(build(case))), MIXED.batch(case)
    weights = torch.randn(build(case)(batch).data.shape, generator=torch.Generator().manual_seed(3))
    data, scale = machine.send(batch.data).requires_grad_(), machine.send(weights)
    with machine.session():
        out = module(batch._replace(data=data)).data
        out = out[..., : weights.shape[-1]] if case.lengths == "data" else out
        (out.abs() * scale if out.is_complex() else out * scale).sum().backward()
    found = machine.fetch(data.grad)
    source = batch.data.clone().requires_grad_()
    with pretend.noise_of_devices():
        out = build(case)(batch._replace(data=source)).data
    (out.abs() * weights if out.is_complex() else out * weights).sum().backward()
    assert source.grad is not None
    assert (found - source.grad).abs().max() <= 1e-4 * source.grad.abs().max()


@every
def test_devices_without_doubles(case: Case) -> None:
    """As MPS: what is double on the host is float32 there, to the last bits of it."""
    batch = MIXED.batch(case)
    with pretend.without_doubles():
        module, sent = pretend.send(copy.deepcopy(build(case))), batch._replace(data=pretend.send(batch.data))
        with torch.no_grad(), pretend.session():
            out = pretend.fetch(module(sent))
    assert torch.view_as_real(out.data).isfinite().all() if out.data.is_complex() else out.data.isfinite().all()


@everywhere
@pytest.mark.parametrize("case", TRANSFORMS, ids=lambda case: case.name)
def test_tensor(machine: Any, case: Case) -> None:
    module, batch = machine.send(copy.deepcopy(build(case))), Example((128, 128)).batch(case)
    with machine.session():
        out = module(machine.send(batch.data))
    compare(case, machine, build(case)(batch)._replace(data=out), batch)


@everywhere
def test_int16_front_end_without_ids(machine: Any) -> None:
    """The whole front end on int16 samples, sent as a loader sends them, with fresh ids."""
    chain = front_end()
    batch = Example((160, 40, 128)).batch(Case("front end", front_end))
    whole = batch._replace(data=(batch.data * 32767).to(torch.int16), ids=None)
    torch.manual_seed(1)
    with pretend.noise_of_devices():
        expected = chain(whole._replace(data=(whole.data / 32768).requires_grad_()))
    torch.manual_seed(1)
    with machine.session():
        out = machine.send(copy.deepcopy(chain))(whole.to(machine.device, non_blocking=True))
    found = machine.fetch(out)
    assert torch.equal(found.lengths, expected.lengths)
    assert torch.allclose(found.data, expected.data, atol=0.01)


# That the pretend accelerator catches what a real one would wait for or refuse.


class Wrong(ofs.Log):
    """A step that does one thing that it must not do on an accelerator."""

    def __init__(self, way: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.way = way

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        assert lengths is not None
        return self.way(data, lengths)


HOST = torch.tensor([20, 7])
WRONG: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "item": lambda x, n: x * x.max().item(),
    "float": lambda x, n: x * float(x.max()),
    "if": lambda x, n: x if x.max() > 0 else -x,
    "equal": lambda x, n: x if torch.equal(x, x) else -x,
    "cpu": lambda x, n: x.cpu() * 2,
    "to host": lambda x, n: x.to("cpu", non_blocking=True),
    "into host": lambda x, n: torch.zeros(x.shape).copy_(x),
    "host out": lambda x, n: torch.add(x, x, out=torch.zeros(x.shape)),
    "host mixed": lambda x, n: x * HOST.reshape(-1, 1, 1),
    "host sent blocking": lambda x, n: x * HOST.to(x.device).reshape(-1, 1, 1),
    "host copied blocking": lambda x, n: x * torch.empty(2, device=x.device).copy_(HOST).reshape(-1, 1, 1),
    "matrix on the host": lambda x, n: torch.ones(4, x.shape[-2]) @ x,
    "stacked with the host": lambda x, n: torch.stack([x, torch.zeros(x.shape)]),
    "nonzero": lambda x, n: x[..., : x.nonzero().shape[0]],
    "where": lambda x, n: x + torch.where(x > 0)[0].sum(),
    "boolean index": lambda x, n: x[x > 0],
    "boolean write": lambda x, n: x.clone().index_put_((x > 0,), torch.zeros((), device=x.device)),
    "masked select": lambda x, n: x.masked_select(x > 0),
    "host index": lambda x, n: x[..., torch.tensor([1, 0])],
    "repeats": lambda x, n: x.repeat_interleave(n.to(x.device, non_blocking=True), 0),
    "unique": lambda x, n: x.unique(),
    "slice by value": lambda x, n: x[..., : (x > 0).sum()],
    "full of a value": lambda x, n: torch.full((2,), x.max(), device=x.device),
}


@pytest.mark.parametrize("name", WRONG)
def test_pretend_finds(name: str) -> None:
    batch = Example((20, 7)).batch(Case("Wrong", ofs.Log, "power"))
    sent = batch._replace(data=pretend.send(batch.data))
    with pytest.raises(Violation), pretend.session():
        Wrong(WRONG[name])(sent)


UNSUPPORTED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "tensor": lambda x, n: x * torch.tensor([1.0, 2.0], device=x.device).reshape(-1, 1, 1),
    "new tensor": lambda x, n: x * x.new_tensor([1.0, 2.0]).reshape(-1, 1, 1),
    "tolist": lambda x, n: x * x.tolist()[0],
    "numpy": lambda x, n: x * x.numpy(),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_pretend_has_no_way_for(name: str) -> None:
    """What would wait too, but ends in torch's own error before the accelerator sees it."""
    batch = Example((20, 7)).batch(Case("Wrong", ofs.Log, "power"))
    with pytest.raises((NotImplementedError, RuntimeError)), pretend.session():
        Wrong(UNSUPPORTED[name])(batch._replace(data=pretend.send(batch.data)))


RIGHT: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "numbers": lambda x, n: x * 2 + torch.tensor(1.0),
    "sent": lambda x, n: x * n.to(x.device, non_blocking=True).reshape(-1, 1, 1),
    "made there": lambda x, n: x + torch.arange(x.shape[-1], device=x.device) + x.new_zeros(()),
    "device index": lambda x, n: x[..., torch.arange(3, device=x.device)],
    "written": lambda x, n: x.clone().index_fill_(-1, torch.arange(3, device=x.device), 0.0),
    "sliced": lambda x, n: torch.cat([x[..., :3].clone().mul_(2), x[..., 3:]], -1),
    "repeats of a known sum": lambda x, n: x.repeat_interleave(
        torch.ones(2, device=x.device, dtype=torch.int64), 0, output_size=2
    ),
    "spectrum": lambda x, n: torch.fft.rfft(x).conj().abs(),
    "convolution": lambda x, n: torch.nn.functional.conv1d(x.flatten(0, 1)[:, None], x[:1, :1, :4]),
    "mask": lambda x, n: x.masked_fill(x > 0.1, 0.0).where(x < 5, torch.tensor(0.0)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_pretend_lets_pass(name: str) -> None:
    batch = Example((20, 7)).batch(Case("Wrong", ofs.Log, "power"))
    expected = Wrong(RIGHT[name])(batch).data
    with pretend.session():
        out = Wrong(RIGHT[name])(batch._replace(data=pretend.send(batch.data))).data
        assert out.device == DEVICE
    assert torch.equal(pretend.fetch(out), expected)
