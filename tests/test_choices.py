"""RandomOrder and Sometimes; tables that are drawn for a batch and replayed on another."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.augment import AddColoredNoise, Gain, PolarityInversion, TimeShift
from test_compose import RATE, Affine, Decimate, ones, ragged


def share(count: int, total: int, expected: float) -> bool:
    """Returns whether a count is within five sigma of its expectation."""
    return abs(count - total * expected) < 5 * (total * expected * (1 - expected)) ** 0.5


def test_every_order_is_as_likely() -> None:
    table = ofs.RandomOrder([Gain()] * 3, p=0.9).draw(torch.arange(20_000))
    assert share(int(table["active"].sum()), 20_000, 0.9)
    for order in itertools.permutations(range(3)):
        assert share(int((table["order"] == torch.tensor(order)).all(1).sum()), 20_000, 1 / 6)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_each_item_goes_in_its_order(requires_grad: bool) -> None:
    """From 1, the steps +1, *10, +3 give another number in each order."""
    chain = ofs.RandomOrder([Affine(1, 1), Affine(10), Affine(1, 3)], p=0.8)
    batch = ones(100)
    table = chain.draw(batch.ids)
    out = chain(batch._replace(data=batch.data.requires_grad_(requires_grad))).data
    for order, active, values in zip(table["order"].tolist(), table["active"].tolist(), out.tolist(), strict=True):
        value = 1.0
        for place in order if active else []:
            scale, offset = [(1, 1), (10, 0), (1, 3)][place]
            value = value * scale + offset
        assert values == [value] * 4
    assert set(out[:, 0].tolist()) == {1, 14, 23, 41, 50}


def test_steps_draw_the_same_at_every_turn() -> None:
    chain, batch = ofs.RandomOrder([Gain(), AddColoredNoise(snr_db=5.0)]), ragged()
    table, out = chain.draw(batch.ids), chain(batch)
    for row, order in enumerate(table["order"].tolist()):
        one = slice(row, row + 1)
        single = ofs.PaddedBatch(batch.data[one], batch.lengths[one], RATE, batch.ids[one])
        for place in order:
            own = {name: values[one] for name, values in table[str(place)].items()}
            single = chain.steps[place].replay(single, own)
        assert torch.equal(out.unpad()[row], single.unpad()[0])


def test_sometimes_takes_all_or_nothing() -> None:
    chain, batch = ofs.Sometimes([Affine(1, 1), Affine(10)], p=0.3), ones(4_000)
    out = chain(batch).data[:, 0]
    assert sorted(set(out.tolist())) == [1.0, 20.0]
    assert share(int((out == 20).sum()), 4_000, 0.3)
    assert chain.eval()(batch).data.unique().tolist() == [1.0]
    one, several = ofs.Sometimes(Gain(seed=3)), ofs.Sometimes([Gain(seed=3)])
    assert torch.equal(one(batch).data, several(batch).data)


def test_lengths_need_a_table_where_steps_change_them() -> None:
    for chain in (ofs.RandomOrder([Decimate(), Gain()], p=0.5), ofs.Sometimes(Decimate())):
        batch = ragged()
        with pytest.raises(ValueError, match="or the table of a draw"):
            chain.output_lengths(9)
        assert torch.equal(chain.output_lengths(batch.lengths, chain.draw(batch.ids)), chain(batch).lengths)


def nested() -> ofs.Compose:
    choice = ofs.OneOf([PolarityInversion(), ofs.Sometimes(Gain())])
    return ofs.Compose([Gain(p=0.5), ofs.RandomOrder([choice, TimeShift(shift_s=(-0.01, 0.01))])], seed=4)


def test_a_batch_gives_a_table_for_json_and_its_pair() -> None:
    """What was drawn for one batch comes again on another: lists through JSON, in eval mode, on each kind of input."""
    chain, clean = nested(), ragged()
    noisy = clean._replace(data=clean.data * 3, ids=None)
    table: dict[str, Any] = json.loads(json.dumps(chain.draw(clean)))
    assert torch.equal(chain.replay(clean, table).data, chain(clean).data)
    pair, label = chain.eval().replay((noisy, "label"), table)
    assert label == "label"
    assert torch.allclose(pair.data, 3 * chain.train()(clean).data, rtol=0, atol=1e-5)
    assert pair.ids is None
    torch.manual_seed(0)
    loose = chain.draw(noisy)
    torch.manual_seed(0)
    assert torch.equal(chain.replay(noisy, loose).data, chain(noisy).data)
    gain = Gain(gain_db=20.0)
    assert gain.replay(torch.ones(2, 3), gain.draw(ones(2))).tolist() == [[10.0] * 3] * 2
    assert gain.replay(torch.ones(3), gain.draw(ones(1))).tolist() == [10.0] * 3


def test_wrong_options() -> None:
    for make in (ofs.RandomOrder, ofs.Sometimes):
        with pytest.raises(ValueError, match=f"{make.__name__}: expected at least one step, got none"):
            make([])
        with pytest.raises(TypeError, match=f"{make.__name__}: expected step 0 to be a Transform or an Augment"):
            make([torch.nn.Linear(2, 2)])
    with pytest.raises(ValueError, match="RandomOrder: expected all steps to take waveforms"):
        ofs.RandomOrder([Gain(), ofs.augment.SpecAugment()])
    with pytest.raises(ValueError, match="Sometimes: expected p to be"):
        ofs.Sometimes(Gain(), p=2.0)
