"""Folders of classes and manifests."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import ontheflyspec as ofs
from tests.data.files import RATE, floats, samples


def test_folder_of_classes(audio, tmp_path):
    for name in ("set/b/x.wav", "set/b/deep/y.FLAC", "set/a/z.ogg", "set/a/.hidden.wav", "set/.no/w.wav"):
        audio(name, 50)
    (tmp_path / "set/readme.txt").write_text("no audio")
    (tmp_path / "set/a/notes.md").write_text("no audio")
    (tmp_path / "set/c").mkdir()
    (tmp_path / "set/a/loop").symlink_to(tmp_path / "set/a")
    clips = ofs.AudioDataset.from_folder(tmp_path / "set", sample_rate=RATE)
    assert [os.path.relpath(path, tmp_path / "set") for path in clips.paths] == ["a/z.ogg", "b/deep/y.FLAC", "b/x.wav"]
    assert clips.classes == ["a", "b"]
    assert clips.targets.tolist() == [0, 1, 1]


def test_folder_without_classes_and_folders_that_are_none(audio, tmp_path):
    audio("flat/b.wav", 20)
    audio("flat/a.wav", 10)
    clips = ofs.AudioDataset.from_folder(tmp_path / "flat", sample_rate=RATE)
    assert (clips.lengths.tolist(), clips.targets, clips.classes) == ([10, 20], None, None)
    assert isinstance(clips[0], ofs.Clip)
    audio("flat/one/c.wav", 10)
    with pytest.raises(ValueError, match=r"every file in a sub-folder that names its class, got .*a\.wav\. Move it"):
        ofs.AudioDataset.from_folder(tmp_path / "flat", sample_rate=RATE)
    (tmp_path / "empty/sub").mkdir(parents=True)
    with pytest.raises(
        ValueError, match=r"AudioDataset.from_folder: expected audio files .*, got none in '.*empty'\. Put"
    ):
        ofs.AudioDataset.from_folder(tmp_path / "empty", sample_rate=RATE)
    with pytest.raises(FileNotFoundError, match=r"AudioDataset.from_folder: expected a folder, got '.*nowhere'\."):
        ofs.AudioDataset.from_folder(tmp_path / "nowhere", sample_rate=RATE)


def manifest(tmp_path, name, text, **options):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return ofs.AudioDataset.from_manifest(tmp_path / name, **({"sample_rate": RATE} | options))


def test_manifests(audio, tmp_path):
    absolute = audio("in/a.wav", 100)
    audio("in/b.wav", 50)
    lines = [{"audio_filepath": "in/b.wav", "label": "no"}, {"audio_filepath": absolute, "label": "yes"}]
    clips = manifest(tmp_path, "m.jsonl", "\n\n".join(map(json.dumps, lines)))
    assert (clips.lengths.tolist(), clips.targets.tolist(), clips.classes) == ([50, 100], [0, 1], ["no", "yes"])
    clips = manifest(tmp_path, "m.csv", "\ufeffpath,target\nin/a.wav,7\nin/b.wav,3\n")
    assert (clips.lengths.tolist(), clips.targets.tolist(), clips.classes) == ([100, 50], [7, 3], None)
    clips = manifest(tmp_path, "m.tsv", "path\ttext\nin/a.wav\tçà et là\nin/b.wav\t12\n")
    assert (list(clips.targets), clips.classes) == (["çà et là", "12"], None)
    assert clips.subset([1])[0][1] == "12"
    assert manifest(tmp_path, "n.csv", "path\nin/a.wav\n").targets is None


def test_manifest_with_parts_of_files(audio, tmp_path):
    path = audio("a.wav", 16_000)
    lines = [{"path": "a.wav", "offset": 0.25, "duration": 0.5}, {"path": "a.wav", "duration": 1.05, "offset": None}]
    clips = manifest(tmp_path, "m.jsonl", "\n".join(map(json.dumps, [*lines, {"path": "a.wav", "offset": 0.9}])))
    assert clips.lengths.tolist() == [8_000, 16_000, 1_600]
    for clip, (start, stop) in zip(clips, [(4_000, 12_000), (0, 16_000), (14_400, 16_000)], strict=True):
        np.testing.assert_array_equal(floats(clip.wave), samples(path, start, stop))
    short = manifest(tmp_path, "m.jsonl", json.dumps(lines[0]), max_seconds=0.1)
    whole = samples(path)
    for epoch in range(20):
        wave = floats(short[ofs.Draw(0, epoch=epoch)].wave)
        place = int(np.flatnonzero((whole[:-1] == wave[0]) & (whole[1:] == wave[1]))[0])
        assert 4_000 <= place <= 12_000 - 1_600


def test_manifest_with_parts_of_files_that_are_bad(audio, tmp_path):
    """They are left out, and neither parts nor texts slip to other clips."""
    path = audio("a.wav", 16_000)
    (tmp_path / "b.wav").write_bytes(b"nothing")
    lines = [{"path": name, "offset": offset, "text": str(offset)} for name, offset in (("b.wav", 7), ("a.wav", 0.5))]
    clips = manifest(tmp_path, "m.jsonl", "\n".join(map(json.dumps, lines)), on_error="skip")
    assert ([failure.index for failure in clips.failures], clips.lengths.tolist()) == ([0], [8_000])
    clip, text = clips[0]
    assert text == "0.5"
    np.testing.assert_array_equal(floats(clip.wave), samples(path, 8_000))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "at least one clip, got none in"),
        ("nonsense", "JSON Lines, got Expecting value in line 1 of .*one object a line"),
        ("[1]", "an object a line, got list in line 1"),
        ('{"file": "a.wav"}', "a key audio_filepath or path, got 'file' in"),
        ('{"path": "a.wav", "label": 1}\n{"path": "a.wav"}', "label for every clip, got none in line 2"),
        ('{"path": "a.wav", "offset": -1}', "offset in seconds, at least 0, got -1 in line 1"),
        ('{"path": "a.wav", "duration": "long"}', "duration in seconds, at least 0, got 'long' in line 1"),
        ('{"path": "a.wav", "duration": 2}', r"a part of '.*a.wav', 0 to 1 s, got 0 to 2 s. Correct offset"),
        ('{"path": "a.wav", "offset": 1}', r"a part of '.*a.wav', 0 to 1 s, got 1 to 1 s"),
    ],
)
def test_manifests_that_are_wrong(audio, tmp_path, text, match):
    audio("a.wav", 16_000)
    with pytest.raises(ValueError, match=f"^AudioDataset.from_manifest: expected {match}"):
        manifest(tmp_path, "m.jsonl", text)


def test_manifest_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a manifest file, got '.*none.csv'"):
        ofs.AudioDataset.from_manifest(tmp_path / "none.csv", sample_rate=RATE)
