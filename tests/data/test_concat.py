"""Several data sets as one, and the same one read in another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from tests.data.files import RATE, cut, made


@pytest.fixture
def sets(audio):
    """Returns two data sets, one a subset, and the files of both in their order."""
    paths = [audio(f"{place}.wav", 800 + 100 * place, 16_000 if place % 3 else 8_000) for place in range(7)]
    one = made(paths[:4], ["dog", "cat", "dog", "owl"], max_seconds=0.06).subset([3, 0, 1])
    two = made(paths[4:], ["cat", "bee", "cat"], max_seconds=0.06)
    return one, two, [paths[3], paths[0], paths[1], *paths[4:]]


def test_clips_stay_what_they_are_and_ids_stay_apart(sets):
    one, two, paths = sets
    both = ofs.AudioDataset.concat([one, two])
    assert list(both.paths) == paths
    assert both.lengths.tolist() == [*one.lengths, *two.lengths]
    assert both.classes == ["bee", "cat", "dog", "owl"]
    assert [both.classes[code] for code in both.targets] == ["owl", "dog", "cat", "cat", "bee", "cat"]
    for place, (clip, _) in enumerate([*one, *two]):
        full = both.with_options(max_seconds=None)[place][0].wave
        assert len(clip.wave) <= len(full)
    sampler = ofs.BucketBatchSampler(both.lengths, max_samples=3_000)
    found = [place for batch, _ in ofs.AudioLoader(both, sampler) for place in both.locate(batch.ids)]
    assert sorted(place.index for place in found) == list(range(6))
    assert all(paths[place.index] == place.path for place in found)
    twice = ofs.AudioDataset.concat([one, one])
    ids = [twice[ofs.Draw(place)][0].id for place in range(6)]
    assert len(set(ids)) == 6


def test_parts_and_windows_come_along(tmp_path, audio):
    audio("a.wav", np.arange(16_000) / 32768)
    (tmp_path / "list.csv").write_text("path,offset,duration\na.wav,0.25,0.5\na.wav,0.5,\n")
    options = {"sample_rate": RATE, "window_seconds": 0.2}
    parts = ofs.AudioDataset.from_manifest(tmp_path / "list.csv", **options)
    whole = ofs.AudioDataset([str(tmp_path / "a.wav")], **options)
    both = ofs.AudioDataset.concat([whole, parts.subset([1, 4])])
    for mine, theirs in zip(both, [*whole, parts[1], parts[4]], strict=True):
        assert torch.equal(mine.wave, theirs.wave)
    places = both.locate([both[ofs.Draw(place)].id for place in range(len(both))])
    assert [place.start_s for place in places] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 0.45, 0.7])


def test_weights_are_shared_out_in_each_set(sets):
    one, two, _ = sets
    both = ofs.AudioDataset.concat([one, two.subset([0, 1])], weights=[3, 1])
    assert both.weights.tolist() == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert both.subset([4, 0]).weights.tolist() == [0.5, 1.0]
    sampler = ofs.BucketBatchSampler(both.lengths, max_samples=2_000, weights=both.weights)
    drawn = [int(clip) for _ in range(200) for batch in sampler for clip in batch]
    assert np.mean(np.array(drawn) < 3) == pytest.approx(0.75, abs=0.05)
    for weights in ([1.0], [0.0, 0.0], [-1.0, 1.0]):
        with pytest.raises(ValueError, match="weights"):
            ofs.AudioDataset.concat([one, two], weights=weights)


def test_what_does_not_fit_together_is_named(audio, sets):
    one, two, paths = sets
    for options, match in (
        ({"sample_rate": 8_000}, "of one sample_rate, got 16000, 8000"),
        ({"max_seconds": 1.0}, r"of one max_seconds, got 960, 16000\. Build them alike, or use \.with_options"),
        ({"on_error": "skip"}, "of one on_error"),
    ):
        other = made(paths, **{"max_seconds": 0.06, **options})
        with pytest.raises(ValueError, match=match):
            ofs.AudioDataset.concat([one, other])
    with pytest.raises(ValueError, match="targets of one kind, got classes and none"):
        ofs.AudioDataset.concat([one, made(paths, max_seconds=0.06)])
    for sets in ([], [one, list(two)]):
        with pytest.raises(TypeError, match="concat: expected AudioDatasets"):
            ofs.AudioDataset.concat(sets)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (([1, 2], [3.5]), [1.0, 2.0, 3.5]),
        (([[1], [2, 3]], [[4]]), [[1], [2, 3], [4]]),
        ((None, None), None),
    ],
)
def test_targets_of_a_kind_are_joined(audio, given, expected):
    sizes = [1 if targets is None else len(targets) for targets in given]
    parts = [
        made([audio(f"{number}{place}.wav", 50) for place in range(size)], targets)
        for number, (size, targets) in enumerate(zip(sizes, given, strict=True))
    ]
    targets = ofs.AudioDataset.concat(parts).targets
    assert (targets if targets is None else list(targets)) == expected


def test_the_same_clips_in_another_way(audio):
    paths = [audio(f"{place}.flac", 4_000 + place) for place in range(4)]
    train, valid = made(paths, max_seconds=0.1).split(0.5)
    still = valid.with_options(crop="start")
    assert list(still.paths) == list(valid.paths)
    for place in range(len(still)):
        crops = {still.locate([still[ofs.Draw(place, epoch=epoch)].id])[0].start_s for epoch in range(4)}
        assert crops == {0.0}
        assert len({valid.locate([valid[ofs.Draw(place, epoch=e)].id])[0].start_s for e in range(4)}) > 1
    assert valid.with_options(max_seconds=None).lengths.tolist() == [len(made([path])[0].wave) for path in valid.paths]
    cut(paths[0], 0.5)
    whole = made(paths[1:2] + paths[:1])
    with pytest.raises(ValueError, match="every frame that the header promises"):
        _ = whole[1]
    assert len(whole.with_options(on_error="skip").__getitems__([0, 1])) == 1
    with pytest.raises(TypeError, match=r"options of max_seconds, crop, .*, got sample_rate\. Build the data set anew"):
        train.with_options(sample_rate=8_000)
    with pytest.raises(ValueError, match="crop to be one of"):
        train.with_options(crop="end")
