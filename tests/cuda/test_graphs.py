"""Chains as CUDA graphs: a stand-in for capturing runs the same work again on the same memory, and nothing else.

Whatever a plan left in Python's hands would be that of the first batch in every replay.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
import pretend
from case import Case, build
from laws import Example
from ontheflyspec import batch as module
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.chain import graphs
from ontheflyspec.chain.graphs import Graphs, rounded
from ontheflyspec.data import device as loaders
from registry import CASES
from test_budgets import log_mel

RATE = 8_000
A = ofs.augment


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was captured and replayed."""
    log: list[str] = []

    def capture(run: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        log.append("captured")
        out = run()

        def replay() -> None:
            log.append("replayed")
            for masks in module._MASKS.values():  # which a graph makes again
                masks.clear()
            out.copy_(run())

        return replay, out

    monkeypatch.setattr(graphs, "capture", capture)
    return log


def batch(seed: int, sizes: tuple[int, ...]) -> PaddedBatch:
    draws = torch.Generator().manual_seed(seed)
    made = [torch.randn(size, generator=draws) for size in sizes]
    return ofs.pad(made, rate=RATE, ids=[100 * seed + place for place in range(len(sizes))])


SIZES = [(900, 300, 0), (930, 20, 700), (921, 921, 1), (900, 5, 5), (2_000, 1, 30), (899, 400, 77)]
CHAINS: dict[str, Any] = {
    "log-mel": lambda: log_mel(RATE, 64, 16, 6),
    "the README's": lambda: ofs.Compose(
        [A.AddColoredNoise(p=0.5), *log_mel(RATE, 64, 16, 6).steps, A.SpecAugment(time_mask_param=9, freq_mask_param=2)]
    ),
    "level and place": lambda: ofs.Compose([A.Gain(p=0.6), A.TimeShift(), A.PolarityInversion(), A.Fade()]),
    "filters and spectra": lambda: ofs.Compose(
        [
            A.LowPass(),
            ofs.STFT(sample_rate=RATE, n_fft=64),
        ]
    ),
    "constant Q": lambda: ofs.Compose([A.RMSNormalize(), ofs.CQT(sample_rate=RATE, n_bins=24, hop_length=64)]),
}


@pytest.mark.parametrize("name", CHAINS)
def test_replays_give_what_the_chain_gives(name: str, captured: list[str]) -> None:
    chain = pretend.send(CHAINS[name]())
    by_graphs = chain.by_graphs()
    for seed, sizes in enumerate(SIZES):
        given = batch(seed, sizes)
        sent = given._replace(data=pretend.send(given.data))
        with torch.no_grad(), pretend.session():
            found, wanted = (pretend.fetch(step(sent)) for step in (by_graphs, chain))
        assert torch.equal(found.lengths, wanted.lengths)
        assert (found.rate, found.data.shape) == (wanted.rate, wanted.data.shape)
        assert (found.data - wanted.data).abs().max() <= 1e-5 * wanted.data.abs().max()
        assert found.ids.tolist() == given.ids.tolist()
    assert captured == ["captured", *["replayed"] * 4]  # of one rounded shape, from its second batch on


def test_targets_follow(captured: list[str]) -> None:
    chain = pretend.send(ofs.Compose([A.TimeShift(mode="zero"), *log_mel(RATE, 64, 16, 6).steps]))
    by_graphs = chain.by_graphs()
    for seed in range(3):
        given = batch(seed, (900, 300, 800))
        labels = ofs.Segments([[(0.01, 0.02, "a")], [], [(0.0, 0.05, "b")]])
        sent = given._replace(data=pretend.send(given.data))
        with torch.no_grad(), pretend.session():
            found, wanted = (step((sent, labels, "more")) for step in (by_graphs, chain))
        assert type(found) is tuple
        assert found[1].items == wanted[1].items
        assert found[2] == "more"
    assert captured.count("replayed") == 2


@pytest.mark.parametrize("case", [case for case in CASES if case.random], ids=lambda case: case.name)
def test_every_random_case_is_replayed_or_left(case: Case, captured: list[str]) -> None:
    """Three batches of one shape: of what is captured, new draws come out of the same graph."""
    step = build(case)
    chain = pretend.send(copy.deepcopy(step) if isinstance(step, ofs.Compose) else ofs.Compose([copy.deepcopy(step)]))
    by_graphs = chain.by_graphs()
    for seed in range(3):
        given = Example((160, 0, 1, 33, 128), spare=3).batch(case)
        given = given._replace(data=given.data * (1 + seed), ids=given.ids + 1_000 * seed)
        sent = given._replace(data=pretend.send(given.data))
        with torch.no_grad(), pretend.session():
            found, wanted = (pretend.fetch(step(sent)) for step in (by_graphs, chain))
        assert found.data.shape == wanted.data.shape
        assert (found.data - wanted.data).abs().max() <= 1e-5 * wanted.data.abs().max().clamp(min=1e-30)


LEFT: dict[str, Any] = {
    "its samples tell the lengths": lambda: ofs.Compose([A.TrimSilence(), A.Gain()]),
    "its host chooses kernels": lambda: ofs.Compose([A.PitchShift()]),
    "a choice": lambda: ofs.Compose([ofs.OneOf([A.Gain(), A.PolarityInversion()])]),
    "it trains": lambda: ofs.Compose([ofs.MelSpectrogram(sample_rate=RATE, n_fft=64, n_mels=6, trainable=True)]),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_captured_runs_as_ever(name: str, captured: list[str]) -> None:
    chain = pretend.send(LEFT[name]())
    by_graphs = chain.by_graphs()
    for _ in range(3):
        given = batch(1, (900, 300, 500))
        sent = given._replace(data=pretend.send(given.data))
        with torch.no_grad(), pretend.session():
            found, wanted = (pretend.fetch(step(sent).data) for step in (by_graphs, chain))
        assert torch.equal(found, wanted)
    assert captured == []


def test_a_failed_capture_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def capture(run: Callable[[], Tensor]) -> Any:
        tried.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "capture", capture)
    chain = pretend.send(log_mel(RATE, 64, 16, 6))
    by_graphs = Graphs(chain)
    for seed in range(4):
        given = batch(seed, (900, 300))
        sent = given._replace(data=pretend.send(given.data))
        with torch.no_grad(), pretend.session():
            assert torch.equal(*(pretend.fetch(step(sent).data) for step in (by_graphs, chain)))
    assert tried == [1]


def test_a_replay_is_one_copy_and_few_kernels(captured: list[str]) -> None:
    """Beside the graph: samples go in, features out, and the table over."""
    by_graphs = pretend.send(copy.deepcopy(CHAINS["the README's"]())).by_graphs()
    for seed in range(3):
        given = batch(seed, (900, 300))
        sent = given._replace(data=pretend.send(given.data))
        with torch.no_grad(), pretend.session():
            by_graphs(sent)
    graph = next(iter(by_graphs.known.values()))
    by_graphs.known = {key: graph._replace(replay=lambda: None) for key in by_graphs.known}
    with torch.no_grad(), pretend.session(), pretend.counted() as counts:
        by_graphs(sent)
    assert (counts.kernels, counts.copies) == (2, 1)


def test_sizes_are_rounded_to_eight_in_an_octave() -> None:
    sizes = {rounded(size) for size in range(1_000, 2_001)}
    assert len(sizes) <= 10
    assert all(size <= rounded(size) <= size * 9 / 8 + 1 for size in range(1, 5_000))


def test_a_loader_takes_a_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match=r"DeviceLoader: expected a Compose with graphs=True, got Gain\. Put the steps"):
        ofs.DeviceLoader([], A.Gain(), device="cpu", graphs=True)
    chain, given = log_mel(RATE, 64, 16, 6), batch(0, (900, 300))
    (plain,) = ofs.DeviceLoader([given], chain, device="cpu", graphs=True)
    assert torch.equal(plain.data, chain(given).data)
    calls: list[Any] = []
    step = loaders._InMode(chain, lambda x: calls.append(x) or x)
    assert step(given) is given
    assert calls == [given]
