"""Targets that follow: frames, segments and clips, against a click that is moved with the audio."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
import pretend
from ontheflyspec.augment.base import Augment, Info
from ontheflyspec.augment.ranges import Params, Range
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.labels import Extent, TimeMap
from ontheflyspec.op import Edit, Op

RATE = 100.0


@Op
def turned(data: Tensor, lengths: Tensor, *, active: Tensor) -> Tensor:
    out = data.clone()
    for row, (on, n) in enumerate(zip(active.tolist(), lengths.tolist(), strict=True)):
        if on:
            half = n // 2
            out[row, ..., :n] = torch.cat([data[row, ..., half:n].flip(-1), data[row, ..., :half]], -1)
    return out


class Turn(Augment):
    """The halves of each item, the second one first and backwards; a stand-in of a known time map."""

    def ranges(self) -> dict[str, Range]:
        return {}

    def plan(self, info: Info, params: Params) -> Edit:
        def time_map() -> TimeMap:
            rate = info.known_rate("times")
            size, half = info.lengths.double() / rate, (info.lengths // 2).double() / rate
            zero, one = torch.zeros_like(size), torch.ones_like(size)
            start = torch.stack([zero, half], 1)
            end = torch.stack([torch.where(on, half, size), torch.where(on, size, half)], 1)
            place = torch.stack([torch.where(on, size - half, 0), size - half], 1)
            return TimeMap(start, end, place, torch.stack([one, -one], 1))

        on = params["active"]
        return info.edit(turned, on)._replace(time=time_map)


@Op
def halved(data: Tensor, lengths: Tensor) -> Tensor:
    return zero_past(data[..., ::2].clone(), (lengths + 1) // 2)


class Halve(Augment):
    """Each item at double speed: lengths change."""

    changes_lengths = True

    def ranges(self) -> dict[str, Range]:
        return {}

    def plan(self, info: Info, params: Params) -> Edit:
        def time_map() -> TimeMap:
            size = (info.lengths.double() / info.known_rate("times")).unsqueeze(1)
            return TimeMap(0 * size, size, 0 * size, 0 * size + 0.5)

        edit = info.edit(halved, None)
        return edit._replace(lengths=(info.lengths + 1) // 2, size=(info.size + 1) // 2, time=time_map)


def batch_of(*sizes: int) -> PaddedBatch:
    return ofs.pad([torch.arange(1.0, n + 1) for n in sizes], rate=RATE, ids=torch.arange(len(sizes)))


@pytest.mark.parametrize("channels", [1, 2])
def test_frames_of_one_sample_are_the_samples(channels: int) -> None:
    """Labels at the rate of the audio, with the audio itself as labels, go where the samples go."""
    for step in (Turn(p=0.6, seed=1), ofs.Compose([Turn(p=0.5), Turn(p=0.5)]), ofs.OneOf([Turn(), Turn(p=0.5)], p=0.8)):
        batch = batch_of(40, 0, 1, 7, 30)
        labels = ofs.FrameLabels(batch.data.unsqueeze(1).repeat(1, channels, 1), batch.lengths, RATE)
        out, moved = step((batch, labels))
        assert torch.equal(moved.lengths, out.lengths)
        assert torch.equal(moved.data, out.data.unsqueeze(1).repeat(1, channels, 1))


def test_slow_frames_follow_their_middles() -> None:
    batch = batch_of(40, 20)
    labels = ofs.FrameLabels.pad([torch.tensor([[1, 2, 3, 4]]), torch.tensor([[5, 6]])], rate=10.0)
    _, moved = Turn()((batch, labels))
    assert moved.data.tolist() == [[[4, 3, 1, 2]], [[6, 5, 0, 0]]] or moved.data.tolist() == [
        [[4, 3, 1, 2]],
        [[6, 5, 0, 0]],
    ]
    assert moved.data.dtype == torch.int64
    assert moved.lengths.tolist() == [4, 2]


def test_centred_frames_keep_one_more_than_fit() -> None:
    """41 frames for 40 hops, as features have them: backwards and forwards lands where it began."""
    batch = batch_of(400)
    labels = ofs.FrameLabels(torch.arange(41.0).reshape(1, 1, 41), torch.tensor([41]), 10.0)
    _, moved = Turn()((batch, labels))
    assert moved.lengths.tolist() == [41]
    assert moved.data[0, 0].tolist() == [*range(40, 20, -1), *range(21)]


def test_lengths_change_with_the_audio() -> None:
    batch = batch_of(400, 200)
    for spare in (0, 1):
        labels = ofs.FrameLabels.pad([torch.arange(40.0 + spare)[None], torch.arange(20.0 + spare)[None]], rate=10.0)
        out, moved = Halve()((batch, labels))
        assert out.lengths.tolist() == [200, 100]
        assert moved.lengths.tolist() == [20 + spare, 10 + spare]
        expected = [2.0 * n if spare else 2.0 * n + 1 for n in range(10 + spare)]
        assert moved.data[1, 0, : 10 + spare].tolist() == expected
        assert not moved.data[1, 0, 10 + spare :].any()


def test_frames_of_what_is_gone_are_zero() -> None:
    """A shift that leaves a hole, and spans that are hidden: labels are 0 where no audio is left."""
    waves = [torch.full((n,), 3.0) for n in (400, 90, 1, 0)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(4))
    labels = ofs.FrameLabels(batch.data.unsqueeze(1), batch.lengths, RATE)
    for step in (ofs.augment.TimeShift(shift_s=0.3, mode="zero"), ofs.augment.TimeMask(n_masks=2, fraction=0.3)):
        out, moved = step((batch, labels))
        assert (out.data == 0).sum() > (batch.data == 0).sum()
        assert torch.equal(moved.data, out.data.unsqueeze(1))


def test_segments_are_cut_and_joined() -> None:
    segments = ofs.Segments([[(0.1, 0.3, "a"), (0.0, 0.4, "all"), (0.25, 0.25, "point")], []])
    _, moved = Turn()((batch_of(40, 20), segments))
    assert [[(round(s, 6), round(e, 6), name) for s, e, name in row] for row in moved.items] == [
        [(0.0, 0.4, "all"), (0.1, 0.2, "a"), (0.15, 0.15, "point"), (0.3, 0.4, "a")],
        [],
    ]
    _, same = Turn(p=0.0)((batch_of(40, 20), segments))
    assert same.items == [sorted(row, key=lambda one: one[:2]) for row in segments.items]


def test_targets_go_their_items_ways() -> None:
    """Through choices of steps with lengths of their own; what is no target comes back untouched."""
    choice = ofs.OneOf([Turn(), ofs.Compose([Halve(), Turn()])], p=0.6, seed=2)
    batch = batch_of(40, 80, 20, 60, 10, 30)
    labels = ofs.FrameLabels(batch.data.unsqueeze(1), batch.lengths, RATE)
    segments = ofs.Segments([[(0.0, n / RATE, place)] for place, n in enumerate(batch.lengths.tolist())])
    paths = [f"{place}.wav" for place in range(6)]
    out, moved, cut, kept = choice((batch, labels, segments, paths))
    assert kept is paths
    table = choice.draw(batch.ids)["taken"].tolist()
    assert {tuple(row) for row in table} == {(True, False), (False, True), (False, False)}
    assert torch.equal(moved.lengths, out.lengths)
    for row, (turned, halved) in enumerate(table):
        item, n = batch.unpad()[row], int(out.lengths[row])
        if turned or not halved:
            assert torch.equal(moved.data[row, 0, :n], out.data[row, :n])
        assert cut.items[row] == [(0.0, pytest.approx(len(item) / RATE / (2 if halved else 1)), row)]


def test_clip_labels_stay() -> None:
    labels = ofs.ClipLabels(torch.tensor([2, 0]), n_classes=3)
    _, kept = ofs.Compose([Turn(), ofs.OneOf([Halve()])])((batch_of(40, 20), labels))
    assert torch.equal(kept.data, labels.data)
    assert labels.shares().tolist() == [[0, 0, 1], [1, 0, 0]]


def test_in_eval_mode_nothing_moves() -> None:
    segments = ofs.Segments([[(0.1, 0.2, "a")]])
    _, same = ofs.Compose([Turn(), Halve()]).eval()((batch_of(40), segments))
    assert same is segments


def test_features_after_the_audio_leave_targets() -> None:
    """Spectrograms have the seconds of their audio, so labels pass through transforms."""
    chain = ofs.Compose([Turn(), ofs.MelSpectrogram(sample_rate=100, n_fft=16, hop_length=4, n_mels=2)])
    segments = ofs.Segments([[(0.1, 0.2, "a")]])
    _, moved = chain((batch_of(40), segments))
    assert [(round(s, 6), round(e, 6)) for s, e, _ in moved.items[0]] == [(0.3, 0.4)]


def test_errors() -> None:
    batch = batch_of(40, 20)
    with pytest.raises(ValueError, match=r"FrameLabels: expected labels of item 0 for its 0\.4 s, 4 frames, got 40"):
        Turn()((batch, ofs.FrameLabels(torch.zeros(2, 1, 40), torch.tensor([40, 20]), 10.0)))
    with pytest.raises(ValueError, match="Segments: expected segments of 2 items, got 1"):
        Turn()((batch, ofs.Segments([[]])))
    with pytest.raises(ValueError, match="ClipLabels: expected n_classes"):
        ofs.ClipLabels(torch.tensor([1])).shares()
    with pytest.raises(ValueError, match=r"^Compose step 1 \(Turn\): FrameLabels: expected labels of item 0"):
        ofs.Compose([ofs.augment.Gain(), Turn()])(
            (batch, ofs.FrameLabels(torch.zeros(2, 1, 40), torch.tensor([40, 20]), 10.0))
        )
    part = ofs.Parallel(a=ofs.Compose([Turn(), ofs.STFT(sample_rate=100, n_fft=16)]))
    with pytest.raises(TypeError, match="Parallel: expected no steps inside that draw or change durations"):
        ofs.Compose([part])((batch, ofs.Segments([[], []])))


GAIN_OR_TURN = [ofs.augment.Gain(gain_db=1.0), Turn()]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("step", "named"),
    [
        (Turn(), "Turn"),
        (ofs.OneOf(GAIN_OR_TURN, weights=[1, 0]), "OneOf"),
        (ofs.SomeOf(GAIN_OR_TURN, n=2), "SomeOf"),
        (ofs.RandomOrder(GAIN_OR_TURN), "RandomOrder"),
        (ofs.Sometimes(GAIN_OR_TURN, p=1.0), "Sometimes"),
        (ofs.OneOf([ofs.Compose(GAIN_OR_TURN)]), "OneOf"),
    ],
)
def test_wrong_counts_name_the_step(step: torch.nn.Module, named: str, count: int) -> None:
    """Labels of fewer or more clips than the batch has, where time moves and where a choice parts the batch."""
    chain, batch = ofs.Compose([ofs.augment.Gain(), step]), batch_of(40, 40)
    labels: list[tuple[str, Any]] = [
        ("labels", ofs.FrameLabels(torch.zeros(count, 1, 4), torch.full((count,), 4), 10.0)),
        ("segments", ofs.Segments([[]] * count)),
    ]
    if isinstance(step, ofs.OneOf):
        labels.append(("labels", ofs.ClipLabels(torch.zeros(count, dtype=torch.int64), 3)))
    for what, wrong in labels:
        said = rf"{type(wrong).__name__}: expected {what} of 2 items, got {count}\. Give"
        with pytest.raises(ValueError, match=rf"^Compose step 1 \({named}\): {said}"):
            chain((batch, wrong))


def test_wrong_lengths_name_the_step_within_a_choice() -> None:
    """The class and place of each chain on the way to the step at fault."""
    frames = ofs.FrameLabels(torch.zeros(2, 1, 40), torch.tensor([40, 40]), 10.0)
    for choice in (ofs.OneOf, ofs.RandomOrder):
        chain = ofs.Compose([ofs.augment.Gain(), choice([Turn()])])
        named = rf"^Compose step 1: {choice.__name__} step 0 \(Turn\): FrameLabels: expected labels of item 0 for its"
        with pytest.raises(ValueError, match=named):
            chain((batch_of(40, 40), frames))


def test_loaders_join_them(tmp_path: Any) -> None:
    """One target a clip in the data set; by threads, by collate, and through the front end."""
    import soundfile

    paths, segments = [], []
    for place, n in enumerate((40, 80, 60)):
        paths.append(str(tmp_path / f"{place}.wav"))
        soundfile.write(paths[-1], torch.linspace(-0.5, 0.5, n).numpy(), 100)
        segments.append(ofs.Segments([[(0.1, 0.2, place)]]))
    data = ofs.AudioDataset(paths, segments, sample_rate=100, progress=False)
    sampler = ofs.BucketBatchSampler(data.lengths, max_samples=1_000, shuffle=False)
    for loader in (
        ofs.AudioLoader(data, sampler, transform=Turn()),
        ofs.DeviceLoader(torch.utils.data.DataLoader(data, batch_size=3, collate_fn=ofs.collate), Turn(), device="cpu"),
    ):
        ((batch, moved),) = list(loader)
        for n, row in zip(batch.lengths.tolist(), moved.items, strict=True):
            half = n / 200
            expected = sorted((half + s, half + e) if e <= half else None for s, e in [(0.1, 0.2)])
            assert [(pytest.approx(s), pytest.approx(e)) for s, e, _ in row] == expected
    labels = [ofs.FrameLabels.pad([torch.ones(2, n)], rate=10.0) for n in (3, 5)]
    _, joined = ofs.collate(
        [(ofs.Clip(torch.zeros(10 * n), 100.0), one) for n, one in zip((3, 5), labels, strict=True)]
    )
    assert joined.data.sum(-1).tolist() == [[3, 3], [5, 5]]
    assert joined.lengths.tolist() == [3, 5]
    with pytest.raises(ValueError, match="FrameLabels: expected labels of one rate"):
        ofs.FrameLabels.join([labels[0], labels[1]._replace(rate=20.0)])
    clips = ofs.ClipLabels.join([ofs.ClipLabels(torch.tensor([place]), 3) for place in range(3)])
    assert clips.data.tolist() == [0, 1, 2]


def test_clip_labels_are_mixed_with_their_clips() -> None:
    """By the table's shares; anything else beside clips that are mixed is an error."""
    batch = batch_of(40, 20, 30)
    labels = ofs.ClipLabels(torch.tensor([0, 1, 2]), n_classes=3)
    for step in (ofs.augment.MixUp(seed=1), ofs.augment.CutMix(seed=2)):
        chain = ofs.Compose([Turn(), step])
        out, mixed = chain((batch, labels))
        table = chain.draw(batch.ids)["1"]
        for row, (mate, share) in enumerate(zip(table["partner"].tolist(), table["weight"].tolist(), strict=True)):
            expected = torch.zeros(3).index_add(0, torch.tensor([row, mate]), torch.tensor([share, 1 - share]))
            assert torch.allclose(mixed.data[row], expected)
        assert torch.equal(out.data, chain(batch).data)
        for wrong in (labels.data, ofs.Segments([[]] * 3)):
            with pytest.raises(TypeError, match=f"{type(step).__name__}.*: expected targets that can be mixed, got"):
                step((batch, wrong))
    assert torch.equal(ofs.augment.MixUp().eval()((batch, labels.data))[1], labels.data)


MOVES = {
    "TimeShift": {"shift_s": (-0.4, 0.4)},
    "TimeShift-zero": {"shift_s": (-0.2, 0.2), "mode": "zero"},
    "TimeShift-fade": {"shift_s": (-0.4, 0.4), "fade_s": 0.01},
    "RandomCrop": {"seconds": 0.5},
    "AdjustDuration": {"seconds": 1.2, "position": "random"},
    "AdjustDuration-crop": {"seconds": 0.6},
    "TimeMask": {"fraction": (0.2, 0.5)},
    "TimeInversion": {},
    "ChunkSwap": {"n_chunks": 5},
    "Speed": {"factor": (0.7, 1.4)},
    "TimeStretch": {"rate": (0.7, 1.4)},
    "TrimSilence": {"frame_length": 64, "hop_length": 16, "top_db": 20.0},
}


@pytest.mark.parametrize("name", MOVES)
def test_labels_stay_with_the_sound(name: str) -> None:
    """A burst in silence, wherever it goes: segments and frames cover it, within the 40 ms that a vocoder smears."""
    rate, draws = 8_000, torch.Generator().manual_seed(0)
    step = getattr(ofs.augment, name.split("-")[0])(**MOVES[name], p=0.8, seed=5)
    waves, segments = [], []
    for place in range(12):
        wave, start = torch.zeros(8_000 - 200 * place), 1_000 + 250 * place
        wave[start : start + 1_600] = torch.randn(1_600, generator=draws)
        waves.append(wave)
        segments.append([(start / rate, (start + 1_600) / rate, "burst")])
    batch = ofs.pad(waves, rate=rate, ids=torch.arange(12))
    frames = ofs.FrameLabels.pad([(w.view(-1, 100).abs().amax(1) > 0).float()[None] for w in waves], rate=80.0)
    out, cut, labels = step((batch, ofs.Segments(segments), frames))
    for place, wave in enumerate(out.unpad()):
        times = torch.arange(len(wave)) / rate
        spans = cut.items[place]
        inside = torch.zeros(len(wave), dtype=torch.bool)
        for start, end, _ in spans:
            inside |= (times >= start - 0.04) & (times <= end + 0.04)
            assert -1e-6 <= start <= end <= len(wave) / rate + 1e-6
        assert wave[~inside].square().sum() <= 1e-3 * wave.square().sum().clamp(min=1e-9)
        for start, end, _ in spans:
            heard = wave[(times >= start) & (times < end)]
            assert end - start < 0.02 or heard.square().mean() > 0.02
        covered = sum(end - start for start, end, _ in spans)
        assert float(labels.data[place].sum()) / 80 == pytest.approx(covered, abs=0.06)


@pytest.mark.parametrize("lengths_too", [False, True])
def test_on_an_accelerator_nothing_waits(lengths_too: bool) -> None:
    """Frame labels on the device follow there, wherever lengths lie."""
    batch = batch_of(40, 0, 20)
    labels = ofs.FrameLabels(batch.data.unsqueeze(1), batch.lengths, RATE)
    chain = ofs.Compose([ofs.augment.TimeInversion(), ofs.augment.TimeShift(shift_s=(-0.2, 0.2))])
    _, expected = chain((batch, labels))
    with pretend.session():
        moved = batch._replace(data=pretend.send(batch.data))
        placed = labels._replace(data=pretend.send(labels.data))
        if lengths_too:
            moved = moved._replace(lengths=pretend.send(batch.lengths))
            placed = placed._replace(lengths=pretend.send(labels.lengths))
        _, found = chain((moved, placed))
    found = pretend.fetch(found.data)[..., : expected.data.shape[-1]]
    assert torch.equal(found, expected.data)


def test_segments_end_with_their_item() -> None:
    """Lengths of results are whole samples, so that a stretched item may be a little shorter than its time map says."""
    one = torch.ones(1, 1, dtype=torch.float64)
    stretched = TimeMap(0 * one, one, 0 * one, 1.26 * one)
    before, after = Extent(torch.tensor([10]), 10.0, 10), Extent(torch.tensor([12]), 10.0, 12)
    assert ofs.Segments([[(0.5, 1.0, "a")]]).follow(stretched, before, after).items == [[(0.63, 1.2, "a")]]
