"""Folders of classes and manifests."""

from __future__ import annotations

import gzip
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


FORMATS = {".sph": "NIST", ".voc": "VOC", ".sf": "IRCAM", ".paf": "PAF", ".iff": "SVX", ".pvf": "PVF", ".avr": "AVR"}


@pytest.mark.parametrize("ending", FORMATS)
def test_less_common_formats_are_found_and_read(audio, tmp_path, ending):
    path = audio(f"set/speech/a{ending}", 300, format=FORMATS[ending], subtype="PCM_16")
    clips = ofs.AudioDataset.from_folder(tmp_path / "set", sample_rate=RATE)
    assert list(clips.paths) == [path]
    np.testing.assert_array_equal(clips[0][0].wave, samples(path))


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


@pytest.fixture
def three(audio):
    """Writes three files of 10, 20 and 30 samples."""
    for place, name in enumerate("abc"):
        audio(f"{name}.wav", 10 * (place + 1))


def test_quotation_marks_are_letters_between_tabs(three, tmp_path):
    clips = manifest(tmp_path, "m.tsv", 'path\tsentence\na.wav\t"Yes\nb.wav\tno" he said\nc.wav\t"all"\n')
    assert list(clips.targets) == ['"Yes', 'no" he said', '"all"']
    assert clips.lengths.tolist() == [10, 20, 30]


def test_headers_are_matched_without_case_and_spaces_and_the_rest_is_kept(three, tmp_path):
    text = "Path, Label ,speaker,AGE\na.wav,dog,s1,\nb.wav,cat,s2,30\nc.wav,dog,s3,40\n"
    clips = manifest(tmp_path, "m.csv", text)
    assert (clips.classes, clips.targets.tolist()) == (["cat", "dog"], [1, 0, 1])
    assert {name: list(values) for name, values in clips.columns.items()} == {
        "speaker": ["s1", "s2", "s3"],
        "AGE": [None, "30", "40"],
    }
    assert list(clips.subset([2, 0]).columns["speaker"]) == ["s3", "s1"]
    both = ofs.AudioDataset.concat([clips, manifest(tmp_path, "n.csv", "path,class,set\na.wav,bee,x\n")])
    assert both.classes == ["bee", "cat", "dog"]
    assert both.columns["speaker"] == ["s1", "s2", "s3", None]
    assert both.columns["set"] == [None, None, None, "x"]


@pytest.mark.parametrize("name", ["class", "target", "category", "CLASS"])
@pytest.mark.parametrize(
    "labels", [["0013", "0002", "0013"], ["1e1", "2e1", "1e1"], ["nan", "1", "nan"], ["+1", "2", "+1"]]
)
def test_labels_that_are_no_numbers_as_written_stay_names(three, tmp_path, name, labels):
    rows = "\n".join(f"{file}.wav,{label}" for file, label in zip("abc", labels, strict=True))
    clips = manifest(tmp_path, "m.csv", f"path,{name}\n{rows}\n")
    assert clips.classes == sorted(set(labels))
    assert [clips.classes[code] for code in clips.targets] == labels


@pytest.mark.parametrize("name", ["text", "sentence", "transcript"])
def test_texts_stay_texts(three, tmp_path, name):
    clips = manifest(tmp_path, "m.csv", f"path,{name}\na.wav,1\nb.wav,2\nc.wav,1\n")
    assert (list(clips.targets), clips.classes) == (["1", "2", "1"], None)


def test_parts_by_start_and_end(audio, tmp_path):
    audio("a.wav", 16_000)
    clips = manifest(tmp_path, "m.csv", "path,start,end\na.wav,0.25,0.5\na.wav,,0.1\na.wav,0.9,\n")
    assert clips.lengths.tolist() == [4_000, 1_600, 1_600]
    for text, match in (
        ("path,start,end\na.wav,0.5,0.25\n", "an end after the start, got 0.5 to 0.25 in line 2"),
        ("path,start,duration\na.wav,0.5,0.25\n", "offset and duration, or start and end, got some of both in line 2"),
    ):
        with pytest.raises(ValueError, match=match):
            manifest(tmp_path, "m.csv", text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_that_are_read(three, tmp_path, encoding, packed):
    data = "path,label\na.wav,é\nb.wav,b\n".encode(encoding)
    name = "m.csv.gz" if packed else "m.csv"
    (tmp_path / name).write_bytes(gzip.compress(data) if packed else data)
    assert ofs.AudioDataset.from_manifest(tmp_path / name, sample_rate=RATE).classes == ["b", "é"]


def test_tables_that_are_wrong(three, tmp_path):
    (tmp_path / "m.csv").write_bytes("path,label\na.wav,b\nb.wav,é\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"text in UTF-8, got byte 0xe9 in line 3 of '.*m.csv'\. Save the manifest as"):
        ofs.AudioDataset.from_manifest(tmp_path / "m.csv", sample_rate=RATE)
    for name, text, match in (
        ("m.csv", "path,label\na.wav,x\nb.wav,y, z\n", r"at most 2 fields, as in the header, got 3 in line 3 .*\. Put"),
        ("m.tsv", "path\tlabel\na.wav\tx\ty\n", r"at most 2 fields, as in the header, got 3 in line 2 .*\. Remove"),
        ("m.csv", 'path,label\na.wav,"x\nb.wav,y\nc.wav,z\n', r"CSV, got unexpected end of data in line 2"),
        ("m.csv", 'path,label\na.wav,"x\nb.wav,"y\n', r"CSV, got .* in line 2 of .*\. Close quotation marks"),
    ):
        with pytest.raises(ValueError, match=match):
            manifest(tmp_path, name, text)


def test_relative_paths_survive_another_working_folder(three, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text("path\nb.wav\n")
    made = [ofs.AudioDataset(["b.wav"], sample_rate=RATE), ofs.AudioDataset.from_manifest("m.csv", sample_rate=RATE)]
    made.append(ofs.AudioDataset.from_folder(".", sample_rate=RATE).subset([1]))
    monkeypatch.chdir("/")
    assert [len(clips[0].wave) for clips in made] == [20, 20, 20]


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
