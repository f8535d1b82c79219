"""Files against soundfile, soxr and what was written; every way in which a file can lie."""

from __future__ import annotations

import builtins
import errno
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given
from hypothesis import strategies as st

import ontheflyspec as ofs
from ontheflyspec.data import audio as reader
from ontheflyspec.data.faults import BadFile
from ontheflyspec.data.header import INTEGER, PLAIN
from tests.data.files import cut, tone

OGG = {"format": "OGG"}
FORMATS = {
    "a.wav": {"subtype": "PCM_16"},
    "b.wav": {"subtype": "PCM_U8"},
    "c.wav": {"subtype": "PCM_24"},
    "d.wav": {"subtype": "FLOAT"},
    "e.wav": {"subtype": "DOUBLE"},
    "f.wav": {"format": "WAVEX", "subtype": "PCM_16"},
    "g.flac": {"subtype": "PCM_16"},
    "h.flac": {"subtype": "PCM_24"},
    "i.ogg": {},
    "j.opus": {"format": "OGG", "subtype": "OPUS"},
    "k.aiff": {"subtype": "PCM_16"},
    "l.mp3": {},
    "m.au": {"subtype": "PCM_16"},
    "n.rf64": {"subtype": "PCM_16"},
    "o.w64": {"subtype": "PCM_16"},
    "p.caf": {"subtype": "PCM_16"},
}
SMALL = [name for name, options in FORMATS.items() if options.get("subtype") in ("PCM_16", "PCM_U8")]
TRUNCATABLE = [name for name in FORMATS if name[0] not in "bcdefh"]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", FORMATS)
def test_load_equals_soundfile(audio, name, channels):
    path = audio(name, tone(9_600, channels=channels), 48_000 if name == "j.opus" else 16_000, **FORMATS[name])
    with soundfile.SoundFile(path) as file:
        expected = file.read(dtype="float32").T
    clip = ofs.load(path)
    assert clip.wave.dtype == torch.float32
    assert clip.rate == (48_000.0 if name == "j.opus" else 16_000.0)
    assert clip.id is None
    np.testing.assert_array_equal(clip.wave.numpy(), expected)


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, "float32") for name in FORMATS), *((name, "int16") for name in SMALL)]
)
def test_blocks_are_parts_of_the_whole(audio, name, kind):
    path = audio(name, tone(9_600, channels=2), 48_000 if name == "j.opus" else 16_000, **FORMATS[name])
    header = reader.probe(path)
    assert bool(header.layout & INTEGER) == (name in SMALL)
    whole = np.empty((header.frames, 2), kind)
    reader.read_into(path, header, 0, whole)
    for start, count in ((0, 10), (1, 100), (4_097, 3_000), (header.frames - 1, 1)):
        part = np.empty((count, 2), kind)
        reader.read_into(path, header, start, part)
        np.testing.assert_array_equal(part, whole[start : start + count])


def test_plain_and_coded_reads_agree_over_work_buffers(audio):
    path = audio("long.wav", 150_001)
    expected, _ = soundfile.read(path, dtype="float32")
    header = reader.probe(path)
    assert header.layout == PLAIN | INTEGER
    for start, count in ((0, 150_001), (17, 40_000), (100_000, 50_001)):
        out = np.empty(count, np.float32)
        reader.read_into(path, header, start, out)
        np.testing.assert_array_equal(out, expected[start : start + count])


@given(frames=st.integers(1, 500), rates=st.permutations([8_000, 11_025, 16_000, 22_050, 44_100, 48_000]))
def test_resampled_length_is_the_ceiling(frames, rates):
    wave = tone(frames).astype(np.float32)
    assert len(reader.resample(wave, rates[0], rates[1])) == -(-frames * rates[1] // rates[0])


@pytest.mark.parametrize(("old", "new"), [(44_100, 16_000), (8_000, 16_000), (48_000, 22_050), (16_000, 16_000)])
def test_load_resamples_as_soxr(audio, old, new):
    path = audio("a.flac", tone(5_001, channels=2), old)
    wave, _ = soundfile.read(path, dtype="float32")
    expected = soxr.resample(wave, old, new).T
    clip = ofs.load(path, sample_rate=new)
    assert clip.rate == new
    assert clip.wave.shape == (2, math.ceil(5_001 * new / old))
    np.testing.assert_allclose(clip.wave.numpy()[:, : expected.shape[1]], expected, atol=1e-6)


def test_resampled_tone_keeps_frequency_phase_and_level():
    old, new, hz = 44_100, 16_000, 1_000.0
    wave = np.sin(2 * np.pi * hz * np.arange(44_100) / old).astype(np.float32)
    out = reader.resample(wave, old, new)
    expected = np.sin(2 * np.pi * hz * np.arange(16_000) / new)
    np.testing.assert_allclose(out[500:-500], expected[500:-500], atol=1e-4)


@pytest.mark.parametrize("name", TRUNCATABLE)
@pytest.mark.parametrize("part", [0.5, 0.93])
def test_truncated_file_is_an_error(audio, name, part):
    path = cut(audio(name, 48_000, 48_000 if name == "j.opus" else 16_000, **FORMATS[name]), part)
    rule = "every frame that the header promises|a readable audio file" if "caf" in name else "every frame that the"
    with pytest.raises(ValueError, match=rf"^load: expected ({rule}.*), got .+ in '.*{name}'\. [A-Z].+\.$"):
        ofs.load(path)


@pytest.mark.parametrize("name", ["i.ogg", "j.opus"])
def test_ogg_cut_between_pages_is_an_error(audio, name):
    path = audio(name, 48_000, 48_000, **FORMATS[name])
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: whole.rfind(b"OggS")])
    with pytest.raises(ValueError, match="no last page"):
        ofs.load(path)
    Path(path).write_bytes(whole + b"\0" * 1_000)
    assert ofs.load(path).wave.shape == (48_000,)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_wav_that_lacks_its_last_frame_is_an_error(audio, missing):
    path = Path(audio("a.wav", 1_000))
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ValueError, match=r"got 99[89] of 1000 frames"):
        ofs.load(path)


@pytest.mark.parametrize("name", ["a.wav", "c.wav", "g.flac", "i.ogg"])
def test_no_frames_is_an_error(audio, name):
    path = audio(name, np.zeros(0), **FORMATS[name])
    with pytest.raises(ValueError, match=r"load: expected at least one frame, got 0 frames in|a readable audio file"):
        ofs.load(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_not_finite_are_an_error(audio, value, subtype):
    wave = tone(1_000)
    wave[17] = value
    path = audio("a.wav", wave, subtype=subtype)
    with pytest.raises(ValueError, match=rf"load: expected finite samples, got {value} at frame 17 in .*Repair"):
        ofs.load(path)


def test_finite_samples_whose_sum_is_not_are_fine(audio):
    path = audio("a.wav", np.full(1_000, 3e38), subtype="FLOAT")
    assert ofs.load(path).wave.min() == np.float32(3e38)


def test_what_is_no_audio_is_an_error(tmp_path):
    (tmp_path / "text.wav").write_text("hello " * 100)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder.wav").mkdir()
    for name in ("text", "empty", "folder"):
        with pytest.raises(
            ValueError, match=rf"load: expected a readable audio file, got .* in '.*{name}.wav'. Convert"
        ):
            ofs.load(tmp_path / f"{name}.wav")
    for name in ("none.wav", "text.wav/none.wav"):
        with pytest.raises(FileNotFoundError, match=r"load: expected an existing file, got .*none.wav'. Correct the p"):
            ofs.load(tmp_path / name)


def test_header_that_claims_more_than_the_file_can_hold_is_an_error(audio):
    path = Path(audio("a.flac", 4_800))
    data = bytearray(path.read_bytes())
    (total,) = struct.unpack(">Q", data[18:26])
    data[18:26] = struct.pack(">Q", total | 0xFFFFFFFFF)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"got \d+ bytes for 68719476735 frames in"):
        ofs.load(path)


@pytest.mark.parametrize(
    ("riff", "size", "frames"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF, 1_000),
        (0x7FFFF024, 0x7FFFF000, 1_000),
        (0, 0, 1_000),
        (2_036, 0, 0),
        (2_036, 1_000, 500),
    ],
)
def test_wav_whose_size_was_left_open_goes_to_the_end_of_the_file(audio, riff, size, frames):
    path = Path(audio("a.wav", 1_000))
    expected, _ = soundfile.read(str(path), dtype="float32")
    data = bytearray(path.read_bytes())
    data[4:8], data[40:44] = struct.pack("<I", riff), struct.pack("<I", size)
    path.write_bytes(data)
    if not frames:
        with pytest.raises(ValueError, match="at least one frame"):
            ofs.load(path)
        return
    np.testing.assert_array_equal(ofs.load(path).wave, expected[:frames])


def test_wav_with_chunks_before_and_after_its_samples(audio):
    path = Path(audio("a.wav", 999, subtype="PCM_U8"))
    data = path.read_bytes()
    expected, _ = soundfile.read(str(path), dtype="float32")
    path.write_bytes(data[:12] + b"JUNK" + struct.pack("<I", 5_001) + b"x" * 5_002 + data[12:] + b"LIST????")
    np.testing.assert_array_equal(ofs.load(path).wave, expected)


def test_flac_of_unknown_length_is_counted(audio):
    path = Path(audio("a.flac", 70_000))
    data = bytearray(path.read_bytes())
    (total,) = struct.unpack(">Q", data[18:26])
    data[18:26] = struct.pack(">Q", total & ~0xFFFFFFFFF)
    expected, _ = soundfile.read(str(path), dtype="float32")
    path.write_bytes(data)
    np.testing.assert_array_equal(ofs.load(path).wave, expected)
    header = reader.probe(str(path))
    part = np.empty(20_000, np.int16)
    reader.read_into(str(path), header, 40_000, part)
    np.testing.assert_array_equal(part / np.float32(32768), expected[40_000:60_000])


def test_file_that_changed_since_its_header_was_read(audio):
    for name, other, rate, match in (
        ("a.wav", 900, 16_000, "900 frames where there were 1000"),
        ("b.wav", 1_000, 8_000, "8000 Hz where there were 16000"),
        ("c.flac", 900, 16_000, "900 frames where there were 1000"),
        ("d.flac", tone(1_000, channels=2), 16_000, "2 channels where there were 1"),
    ):
        path = audio(name, 1_000)
        header = reader.probe(path)
        audio(name, other, rate)
        with pytest.raises(BadFile, match=match):
            reader.read_into(path, header, 0, np.empty(1_000, np.int16))


def test_wav_that_was_only_touched_or_moved_inside_is_read(audio):
    path = Path(audio("a.wav", 1_000))
    header, data = reader.probe(str(path)), path.read_bytes()
    out, again = np.empty(1_000, np.int16), np.empty(1_000, np.int16)
    reader.read_into(str(path), header, 0, out)
    path.write_bytes(data[:12] + b"JUNK\x08\0\0\0xxxxxxxx" + data[12:])
    reader.read_into(str(path), header, 0, again)
    np.testing.assert_array_equal(out, again)


def test_want_of_file_handles_is_no_fault_of_the_file(audio, monkeypatch):
    path = audio("a.wav", 100)

    def refuse(*_args, **_options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        reader.probe(path)


@pytest.mark.parametrize("rate", [0, -1, 8_000.5, math.nan, "8000", True])
def test_sample_rate_must_be_whole_hertz(audio, rate):
    with pytest.raises((TypeError, ValueError), match=r"^load: expected sample_rate "):
        ofs.load(audio("a.wav", 100), sample_rate=rate)
