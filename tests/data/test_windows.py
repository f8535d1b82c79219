"""Long recordings as windows: where they lie, what they hold, what their labels are, and back to the whole."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

import ontheflyspec as ofs
from tests.data.files import RATE, cut, made, tone

SECONDS = (1.0, 0.26, 0.05)
LASTS = {
    "pad": [[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0.0, 0.1], [0.0]],
    "keep": [[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0.0, 0.1], [0.0]],
    "drop": [[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0.0], []],
}
"""Starts of windows of 0.2 s every 0.1 s."""


def windowed(paths, targets=None, *, window=0.2, hop=0.1, **options):
    return made(paths, targets, window_seconds=window, hop_seconds=hop, **options)


def located(clips):
    return clips.locate([clips[ofs.Draw(place)].id for place in range(len(clips))])


@pytest.mark.parametrize("rate", [RATE, 8_000, 44_100])
@pytest.mark.parametrize("last", LASTS)
def test_windows_are_slices_of_the_whole(audio, last, rate):
    paths = [audio(f"{place}.wav", tone(round(part * rate), seed=place), rate) for place, part in enumerate(SECONDS)]
    clips, wholes = windowed(paths, last=last), made(paths)
    places = located(clips)
    expected = [(path, start) for path, starts in zip(paths, LASTS[last], strict=True) for start in starts]
    assert [(place.path, pytest.approx(place.start_s)) for place in places] == expected
    for index, (place, clip) in enumerate(zip(places, clips, strict=True)):
        assert (place.index, place.root_index) == (index, index)
        whole = wholes[paths.index(place.path)].wave
        first = round(place.start_s * RATE)
        part = whole[first : first + 3_200]
        if last != "keep":
            part = torch.nn.functional.pad(part, (0, 3_200 - len(part)))
        assert len(clip.wave) == clips.lengths[index] == len(part)
        # A crop of a resampled file is off by the resampler's own error beyond the margin that is read.
        np.testing.assert_allclose(clip.wave, part, atol=0 if rate == RATE else 2e-5)


def test_a_hop_longer_than_a_window_leaves_gaps(audio):
    clips = windowed([audio("a.wav", 16_000)], window=0.1, hop=0.5)
    assert [place.start_s for place in located(clips)] == [0, 0.5]


def test_windows_of_parts_of_files(tmp_path, audio):
    audio("a.wav", np.arange(16_000) / 32768)
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,offset,duration\na.wav,0.25,0.5\n")
    clips = ofs.AudioDataset.from_manifest(manifest, sample_rate=RATE, window_seconds=0.2)
    waves = [clip.wave for clip in clips]
    assert [place.start_s for place in located(clips)] == pytest.approx([0.25, 0.45, 0.65])
    assert [int(wave[0] * 32768) for wave in waves] == [4_000, 7_200, 10_400]
    assert not waves[2][1_600:].any()


def test_labels_are_cut_along(audio):
    paths = [audio("a.wav", 16_000), audio("b.wav", 8_000)]
    frames = ofs.FrameLabels.pad([torch.arange(10.0)[None], torch.arange(5.0)[None]], rate=10.0)
    clips = windowed(paths, frames, hop=0.2)
    found = [clips[place][1].data.flatten().tolist() for place in range(len(clips))]
    assert found == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [0, 1], [2, 3], [4, 0]]
    _, labels = next(iter(ofs.AudioLoader(clips, [[7, 1]])))
    assert labels.data[:, 0].tolist() == [[4, 0], [2, 3]]
    segments = ofs.Segments([[(0.1, 0.5, "dog")], []])
    clips = windowed(paths, segments, hop=0.2)
    assert [pytest.approx(part[:2]) for part in clips[0][1].items[0]] == [(0.1, 0.2)]
    assert [pytest.approx(part[:2]) for part in clips[1][1].items[0]] == [(0.0, 0.2)]
    assert clips[3][1].items == [[]]
    names = windowed(paths, ["dog", "cat"], hop=0.2)
    assert (names.targets.tolist(), names.classes) == ([1] * 5 + [0] * 3, ["cat", "dog"])


def test_labels_follow_a_random_crop(audio):
    numbers = ofs.FrameLabels.pad([torch.arange(100.0)[None]], rate=100.0)
    clips = made([audio("a.wav", 16_000)], [numbers], max_seconds=0.1)
    for epoch in range(5):
        clip, labels = clips[ofs.Draw(0, epoch=epoch)]
        (place,) = clips.locate([clip.id])
        assert labels.lengths.tolist() == [10]
        assert abs(float(labels.data[0, 0, 5]) - 100 * place.start_s - 5) <= 1


def test_scores_go_back_to_their_recordings(audio):
    paths = [audio("a.wav", 16_000), audio("b.wav", 8_000)]
    clips = windowed(paths)
    order = np.random.default_rng(0).permutation(len(clips)).tolist()
    batches = list(ofs.AudioLoader(clips, [order[:5], order[5:]]))
    ids = torch.cat([batch.ids for batch in batches])
    merged = clips.merge_windows(torch.tensor(order).float()[:, None], ids)
    assert [one.path for one in merged] == paths
    assert [one.scores.flatten().tolist() for one in merged] == [[*range(9)], [9, 10, 11, 12]]
    torch.testing.assert_close(merged[0].start_s, torch.arange(9, dtype=torch.float64) / 10)
    times = torch.cat([batch.data.unfold(-1, 160, 160)[..., 0] for batch in batches]).unsqueeze(1)
    framed = clips.merge_windows(times, ids, rate=100.0)
    for one, path in zip(framed, paths, strict=True):
        assert torch.allclose(one.scores[0], torch.from_numpy(soundfile.read(path, dtype="float32")[0][::160]))
    (part,) = clips.merge_windows(times[:1], ids[:1], rate=100.0)
    assert int(part.scores.isnan().sum()) == part.scores.shape[-1] - 20


def test_what_cannot_be_merged_is_named(audio):
    clips, whole = windowed([audio("a.wav", 16_000)]), made([audio("a.wav", 16_000)])
    with pytest.raises(ValueError, match=r"windows of recordings, got whole files\. Build the data set"):
        whole.merge_windows(torch.ones(1, 2), [0])
    with pytest.raises(ValueError, match=r"floats \[1, \.\.\.\], a row an id, got torch.float32 \[2, 2\]"):
        clips.merge_windows(torch.ones(2, 2), [0])


def test_a_bad_recording_is_one_failure(audio):
    paths = [audio("a.flac", 16_000), audio("b.wav", 8_000)]
    clips = windowed(paths, on_error="skip")
    cut(paths[0], 0.7)
    assert [clip.wave.shape for clip in clips.__getitems__([8, 9])] == [(3_200,)]
    batches = list(ofs.AudioLoader(clips, [[0, 10], [5, 11]]))
    assert [place.path for batch in batches for place in clips.locate(batch.ids)] == [paths[1]] * 2
    assert [failure.path for failure in clips.failures] == [paths[0]]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"window_seconds": 0.1, "max_seconds": 1.0},
            "max_seconds or window_seconds, got max_seconds with",
        ),
        ({"hop_seconds": 0.1}, "window_seconds with hop_seconds or last, got none"),
        ({"last": "drop"}, "window_seconds with hop_seconds or last, got none"),
        ({"window_seconds": 0.1, "last": "cut"}, "last to be one of"),
        ({"window_seconds": 2.0, "last": "drop"}, "a file of 2 s or more, got 1 s at most"),
        ({"window_seconds": 0.0}, "window_seconds"),
        ({"window_seconds": 0.1, "hop_seconds": -1.0}, "hop_seconds"),
    ],
)
def test_bad_windows_are_named(audio, options, match):
    with pytest.raises(ValueError, match=match):
        made([audio("a.wav", 16_000)], **options)
