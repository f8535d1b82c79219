"""From the rows of a batch back to files, by ids alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, random_split

import ontheflyspec as ofs
from ontheflyspec.data import locating
from ontheflyspec.data.dataset import AudioDataset
from ontheflyspec.identity import Identity
from tests.data.files import RATE, cut, made


def rows(clips, epochs=2, **options):
    """Returns location, samples and id of every row of some epochs."""
    sampler = ofs.BucketBatchSampler(clips.lengths, **{"max_samples": 40_000, "seed": 1, **options})
    loader, found = ofs.AudioLoader(clips, sampler), []
    for _ in range(epochs):
        for item in loader:
            batch = item if isinstance(item, ofs.PaddedBatch) else item[0]
            found += zip(clips.locate(batch.ids), batch.unpad(), batch.ids.tolist(), strict=True)
    return found


@pytest.fixture
def recordings(audio):
    """Returns clips of several rates, longer than what is read of them."""
    paths = [audio(f"{place}.wav", 2_000 + 500 * place, 16_000 if place % 2 else 8_000) for place in range(8)]
    return made(paths, max_seconds=0.1)


def test_a_row_is_the_part_of_the_file_that_locate_says(recordings):
    for place, wave, _ in rows(recordings):
        with soundfile.SoundFile(place.path) as file:
            if file.samplerate == RATE:
                file.seek(round(place.start_s * RATE))
                np.testing.assert_array_equal(file.read(len(wave), dtype="float32"), wave)
            assert place.start_s + place.seconds <= file.frames / file.samplerate + 1e-9
        assert recordings.paths[place.index] == place.path
        assert place.seconds == len(wave) / RATE


def test_any_set_made_of_the_same_one_locates(recordings):
    part = recordings.subset([6, 2, 5])
    first, second = recordings.split(0.5, seed=1)
    for place, _, value in rows(part):
        (root,) = recordings.locate([value])
        assert (root.index, root.root_index) == (place.root_index, place.root_index)
        assert [6, 2, 5][place.index] == place.root_index
        assert root._replace(index=place.index) == place
        inside = [one.locate(torch.tensor([value]))[0].index for one in (first, second)]
        assert inside.count(None) == 1
    assert {place.epoch for place, *_ in rows(part)} == {0, 1}


def test_a_clip_that_comes_twice_has_another_draw_each_time(recordings):
    twice = recordings.subset([1, 3, 1, 1])
    found = rows(twice, epochs=3)
    assert len({value for *_, value in found}) == len(found) == 12
    assert sorted(place.index for place, *_ in found) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    of_one = [place for place, *_ in found if place.epoch == 0 and place.root_index == 1]
    assert sorted(place.occurrence for place in of_one) == [0, 1, 2]
    assert len({place.start_s for place in of_one}) > 1


@pytest.mark.parametrize("value", [-1, 2**62, Identity(8, 0).id()])
def test_ids_of_others_are_refused(recordings, value):
    with pytest.raises(ValueError, match=rf"locate: expected ids of one of 8 clips, got {value}\. Pass batch.ids"):
        recordings.locate([value])
    with pytest.raises(ValueError, match="expected ids, got None"):
        recordings.locate(None)


def test_features_of_a_set_with_bad_files_stay_under_their_names(audio):
    paths = [audio(f"{place}.flac", 900 + place) for place in range(6)]
    cut(paths[2], 0.5)
    clips = made(paths, list(range(6)), on_error="skip")
    for batch, targets in ofs.AudioLoader(clips, ofs.BucketBatchSampler(clips.lengths, max_samples=2_000)):
        for place, target, wave in zip(clips.locate(batch.ids), targets.tolist(), batch.unpad(), strict=True):
            assert place.path == paths[target]
            assert len(wave) == 900 + target


class Doubled(AudioDataset):
    """A data set with items of its own."""

    def __getitem__(self, index):
        clip = super().__getitem__(index)
        return clip._replace(wave=2 * clip.wave)


def test_a_derived_item_is_what_loaders_get(audio):
    paths = [audio(f"{place}.wav", 100) for place in range(4)]
    plain, own = made(paths), Doubled(paths, sample_rate=RATE)
    (batch,) = DataLoader(own, batch_size=4, collate_fn=ofs.collate)
    torch.testing.assert_close(batch.data, 2 * torch.stack([clip.wave for clip in plain]), rtol=0.0, atol=0.0)
    with pytest.raises(TypeError, match="reads its own files, got Doubled with its own __getitem__"):
        ofs.AudioLoader(own, [[0]])


WRAPPERS = {
    "Subset": lambda clips: Subset(clips, [3, 1]),
    "ConcatDataset": lambda clips: ConcatDataset([clips, clips]),
    "random_split": lambda clips: random_split(clips, [2, len(clips) - 2])[0],
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_of_torch_are_named_once(recordings, monkeypatch, name):
    monkeypatch.setattr(locating, "_WARNED", set())
    loader = DataLoader(WRAPPERS[name](recordings), batch_size=2, collate_fn=ofs.collate)
    with pytest.warns(UserWarning, match=r"Use \.subset, \.split or AudioDataset\.concat\(\[a, b\]\)") as seen:
        assert all(batch.ids is None for batch in loader)
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(loader)
        list(DataLoader(recordings, batch_size=2, collate_fn=ofs.collate))
