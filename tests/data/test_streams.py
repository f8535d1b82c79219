"""Streams that decoders read in part: MP3 whose length no tag tells, joined files, WAV written into a pipe.

The right samples come from the same streams with their tags, one by one, or before their sizes were left open.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import ontheflyspec as ofs
from ontheflyspec.data import codec, mpeg
from tests.data.files import RATE, made, tone

DELAYS = 576 + 529
"""Samples that LAME and a decoder add in front, and that a tag leaves out."""


def encoded(wave, rate=RATE, **options):
    """Returns an MP3 of variable bit rate with a tag."""
    file = io.BytesIO()
    options = {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.5} | options
    soundfile.write(file, wave, rate, **options)
    return file.getvalue()


def changing(frames, seed=0):
    """Returns soft and loud noise in turns, so that bit rates vary."""
    return tone(frames, seed=seed) * np.repeat([0.001, 1.0], -(-frames // 2))[:frames]


def without_tag(data):
    """Returns an MP3 without its first frame, which holds the tag."""
    first = mpeg.begins(data)
    return data[first + mpeg.frame_at(data, first).size :]


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_without_a_tag_is_read_whole(rate, channels):
    wave = changing(60_000) if channels == 1 else np.stack([changing(60_000), changing(60_000, 1)], 1)
    data = encoded(wave, rate)
    expected = ofs.load(data).wave.numpy()
    assert expected.shape[-1] == 60_000
    found = ofs.load(without_tag(data)).wave.numpy()
    frame = mpeg.frame_at(data, mpeg.begins(data))
    assert found.shape[-1] % frame.samples == 0
    assert found.shape[-1] >= 60_000 + DELAYS
    np.testing.assert_allclose(found[..., DELAYS : DELAYS + 60_000], expected, atol=1e-6)


def test_parts_of_an_mp3_without_a_tag(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(without_tag(encoded(changing(60_000))))
    whole = ofs.load(path).wave
    windows = made([path], window_seconds=1.0, last="keep")
    assert windows.lengths.sum() == len(whole)
    for place in range(len(windows)):
        assert windows[place].wave.equal(whole[place * RATE : (place + 1) * RATE])


@pytest.mark.parametrize("tags", ["both", "none", "first", "second", "with players' tags", "stale"])
def test_joined_mp3_is_read_whole(tags):
    one, two = encoded(changing(50_000)), encoded(tone(30_000, seed=3))
    if tags == "with players' tags":
        one = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + one + b"TAG" + bytes(125)
        two = b"ID3\x03\0\0\0\0\1\0" + bytes(128) + two + b"APETAGEX" + struct.pack("<IIIQ", 2000, 32, 0, 0)
    pieces = [
        without_tag(one) if tags in ("none", "second") else one,
        without_tag(two) if tags in ("none", "first") else two,
    ]
    if tags == "stale":
        pieces.append(b"TAG" + bytes(125))
    found = ofs.load(b"".join(pieces)).wave.numpy()
    apart = [ofs.load(piece).wave.numpy() for piece in pieces[:2]]
    assert len(found) >= 50_000 + 30_000
    np.testing.assert_allclose(found[: len(apart[0])], apart[0], atol=1e-6)
    # The second stream begins anew, at a frame; its first frames lack those before them.
    tail = apart[1][4_000:28_000]
    starts = range(len(found) - 30_000 - 4_000, len(found) - 24_000 + 1)
    assert (
        min(
            abs(found[start + 4_000 : start + 28_000][:24_000] - tail).max()
            for start in starts
            if len(found[start + 4_000 : start + 28_000]) == 24_000
        )
        < 1e-6
    )


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 2), (24_000, 1)])
def test_joined_mp3_of_unlike_kind_is_a_bad_file(rate, channels):
    data = encoded(tone(20_000)) + encoded(tone(20_000, channels=channels), rate)
    with pytest.raises(ValueError, match=rf"streams of one kind, got {rate} Hz and {channels} channels after 16000"):
        ofs.load(data)


def test_a_tag_that_is_wrong_about_bytes_or_counts_its_own_frame():
    data = bytearray(encoded(changing(60_000)))
    whole = ofs.load(bytes(data)).wave
    tag = data.find(b"Xing") if b"Xing" in data else data.find(b"Info")
    assert data[tag + 7] & 3 == 3
    frames, size = struct.unpack(">II", data[tag + 8 : tag + 16])
    for counts in ((frames, size + 2_000), (frames, size - 2_000), (frames, 0)):
        data[tag + 8 : tag + 16] = struct.pack(">II", *counts)
        assert ofs.load(bytes(data)).wave.equal(whole)
    older = data[: tag + 120] + bytes(36) + data[tag + 156 :]  # whose encoder is not named
    older[tag + 8 : tag + 16] = struct.pack(">II", frames + 1, size)
    found = ofs.load(bytes(older)).wave[DELAYS:]
    torch.testing.assert_close(found[: len(whole)], whole, rtol=0, atol=1e-6)
    data[tag + 8 : tag + 16] = struct.pack(">II", frames, size)
    last = 0
    place = mpeg.begins(bytes(data))
    while place < len(data):
        last, place = place, place + mpeg.frame_at(bytes(data), place).size
    with pytest.raises(ValueError, match=f"{frames - 1} of {frames} frames of MPEG audio"):
        ofs.load(bytes(data[:last]))


@pytest.mark.parametrize("damage", ["cut", "cut within", "cut without a tag", "zeroed", "overwritten", "frames lost"])
def test_damaged_mp3_is_found_before_the_decoder_speaks(tmp_path, damage):
    data = encoded(changing(60_000))
    middle = len(data) // 2
    data = {
        "cut": data[:middle],
        "cut within": data[:-7],
        "cut without a tag": without_tag(data)[:-7],
        "zeroed": data[:middle] + bytes(300) + data[middle + 300 :],
        "overwritten": data[:middle] + b"\x55" * 700 + data[middle + 700 :],
        "frames lost": data[:middle] + data[middle + 1_000 :],
    }[damage]
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    script = f"import ontheflyspec as ofs\ntry:\n    ofs.load({str(path)!r})\nexcept ValueError as e:\n    print(e)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "load: expected every frame that the header promises, got" in done.stdout
    assert done.stderr == ""


def test_layer_ii_that_is_cut_is_a_bad_file():
    """Frames of silence: 48 kHz, mono, 64 kbit/s, no scale factors."""
    frame = bytes([0xFF, 0xFD, 0x44, 0xC0]).ljust(192, b"\0")
    assert mpeg.frame_at(frame, 0) == mpeg.Frame(192, 3, 48_000, 1, 2)
    assert ofs.load(frame * 20).wave.shape == (20 * 1_152,)
    with pytest.raises(ValueError, match="100 of 192 bytes of frame 20"):
        ofs.load(frame * 20 + frame[:100])


def test_a_recording_that_begins_within_a_frame(tmp_path):
    data = without_tag(encoded(tone(40_000), bitrate_mode="CONSTANT"))
    size = mpeg.frame_at(data, 0).size
    whole, rest = ofs.load(data).wave, ofs.load(data[size // 2 :]).wave
    assert len(whole) - len(rest) == mpeg.frame_at(data, 0).samples


OGG = {"vorbis": ("VORBIS", RATE), "opus": ("OPUS", 48_000)}


def stream(wave, rate, subtype):
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="OGG", subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("kind", OGG)
@pytest.mark.parametrize("count", [2, 3])
def test_chained_ogg_is_read_whole(tmp_path, kind, count):
    subtype, rate = OGG[kind]
    links = [stream(tone(9_000 + 500 * place, seed=place), rate, subtype) for place in range(count)]
    links.append(links[0])  # the very same stream again
    expected = np.concatenate([ofs.load(link).wave.numpy() for link in links])
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(links))
    np.testing.assert_array_equal(ofs.load(path).wave.numpy(), expected)
    clips = made([path], sample_rate=rate, window_seconds=0.1, last="keep")
    found = np.concatenate([clips[place].wave.numpy() for place in range(len(clips))])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("other", "channels"), [(RATE, 2), (8_000, 1)])
def test_chained_ogg_of_unlike_kind_is_a_bad_file(other, channels):
    data = stream(tone(9_000), RATE, "VORBIS") + stream(tone(9_000, channels=channels), other, "VORBIS")
    with pytest.raises(ValueError, match=rf"streams of one kind, got .*{other} Hz with {channels} channels"):
        ofs.load(data)


def test_a_chain_that_is_cut_is_a_bad_file():
    one, two = (stream(tone(9_000, seed=seed), RATE, "VORBIS") for seed in (0, 1))
    for data in (one + two[:-50], one[: one.rfind(b"OggS")] + two, one + two[: two.rfind(b"OggS")]):
        with pytest.raises(ValueError, match="every frame that the header promises"):
            ofs.load(data)


@pytest.mark.parametrize("rate", [RATE, 8_000])
def test_joined_flac_is_a_bad_file(audio, rate):
    path = Path(audio("a.flac", 9_000))
    path.write_bytes(path.read_bytes() + Path(audio("b.flac", 4_000, rate)).read_bytes())
    with pytest.raises(ValueError, match="got several FLAC streams"):
        ofs.load(path)
    clips = made([path, audio("c.flac", 100)], on_error="skip")
    assert len(clips.__getitems__([0, 1])) == 1
    assert [failure.index for failure in clips.failures] == [0]
    with pytest.raises(ValueError, match="got several FLAC streams"):
        ofs.load(path.read_bytes())


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF])
@pytest.mark.parametrize(
    "subtype", ["PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "ALAW", "MS_ADPCM", "IMA_ADPCM"]
)
def test_wav_written_into_a_pipe_is_read_whole(audio, subtype, size):
    """The writer could not seek back, so that sizes are left open."""
    path = Path(audio("a.wav", tone(9_000, channels=2), subtype=subtype))
    expected = ofs.load(path).wave
    data = bytearray(path.read_bytes())
    for place in (4, data.find(b"data") + 4):
        data[place : place + 4] = struct.pack("<I", size - (place > 4) * 36 if size < 0xFFFFFFFF else size)
    path.write_bytes(data)
    assert ofs.load(path).wave.equal(expected)
    assert made([path]).lengths.tolist() == [9_000 if "ADPCM" not in subtype else expected.shape[-1]]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are of characters there")
@pytest.mark.parametrize("name", ["a.wav", "b24.wav", "c.flac", "d.ogg", "e.mp3"])
def test_names_that_are_not_utf_8(audio, tmp_path, name):
    path = audio(name, 5_000, **({"subtype": "PCM_24"} if "24" in name else {}))
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(folder)
    odd = folder + b"/\xfd." + name.split(".")[1].encode()
    os.rename(path, odd)
    whole = ofs.load(os.fsdecode(odd)).wave
    assert len(whole) == 5_000
    clips = ofs.AudioDataset.from_folder(tmp_path, sample_rate=RATE)
    assert clips[0][0].wave.equal(whole)
    assert clips.paths == [os.fsdecode(odd)]
    Path(os.fsdecode(odd)).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"udcfd"):
        ofs.load(os.fsdecode(odd))


@pytest.mark.parametrize("name", ["a.wav", "b24.wav", "c.flac", "d.ogg", "e.mp3"])
def test_bytes_and_open_files(audio, name):
    path = Path(audio(name, 5_000, **({"subtype": "PCM_24"} if "24" in name else {})))
    whole, data = ofs.load(path).wave, path.read_bytes()
    with path.open("rb") as first, path.open("rb") as second:
        for given in (data, bytearray(data), memoryview(data), io.BytesIO(data), first):
            assert ofs.load(given).wave.equal(whole)
        clips = made([path, data, io.BytesIO(data), second], [0, 1, 2, 3])
    assert clips.paths == [str(path), "<bytes 1>", "<file 2>", str(path)]
    batch, targets = next(iter(ofs.AudioLoader(clips, [[3, 0, 1, 2]])))
    assert targets.tolist() == [3, 0, 1, 2]
    assert all(wave.equal(whole) for wave in batch.unpad())
    joined = ofs.AudioDataset.concat([clips.subset([1]), clips.subset([0])])
    assert joined[0][0].wave.equal(whole)
    assert made([path, data], window_seconds=0.1)[5].wave.equal(whole[1_600:3_200])
    assert pickle.loads(pickle.dumps(clips))[1][0].wave.equal(whole)


def test_what_is_no_file(audio):
    for given in (3, None, ["a.wav"]):
        with pytest.raises(
            TypeError, match=r"load: expected a path, bytes or a binary file, got (int|NoneType|list)\."
        ):
            ofs.load(given)
    with pytest.raises(TypeError, match=r'expected a binary file, got one that reads str. Open it with "rb"'):
        ofs.load(io.StringIO("text"))
    with pytest.raises(TypeError, match="got int as item 1"):
        made([audio("a.wav", 10), 3])
    with pytest.raises(ValueError, match=r"a readable audio file, got .* in '<bytes 0>'"):
        made([b"no audio"])
    with pytest.raises(TypeError, match="paths as a list, got b'RIFF"):
        made(Path(audio("b.wav", 10)).read_bytes())


@pytest.mark.skipif(not codec.there(), reason="torchcodec is not installed, or does not find FFmpeg")
@pytest.mark.parametrize("ending", ["m4a", "webm", "mka"])
def test_what_torchcodec_reads(tmp_path, ending):
    from torchcodec.encoders import AudioEncoder

    folder = tmp_path / "a"
    folder.mkdir()
    wave = np.sin(2 * np.pi * 440 * np.arange(96_000) / 48_000) * 0.5
    AudioEncoder(torch.from_numpy(wave).float()[None], sample_rate=48_000).to_file(folder / f"a.{ending}")
    clips = ofs.AudioDataset.from_folder(tmp_path, sample_rate=48_000, max_seconds=1.0)
    assert clips.lengths.tolist() == [48_000]
    whole = ofs.load(folder / f"a.{ending}")
    assert (len(whole.wave), whole.rate) == (pytest.approx(96_000, abs=2_048), 48_000)
    middle = whole.wave[20_000:30_000].double().numpy()
    assert abs(np.abs(np.fft.rfft(middle)).argmax() * 4.8 - 440) < 5
    batch, _ = next(iter(ofs.AudioLoader(clips, [[ofs.Draw(0)]])))
    start = round(clips.locate(batch.ids)[0].start_s * 48_000)
    assert batch.data[0].equal(whole.wave[start : start + 48_000])
    data = (folder / f"a.{ending}").read_bytes()
    for part in (300, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match=r"by torchcodec|bytes of the segment|an element of Matroska"):
            ofs.load(data[:part])


def test_what_is_passed_over_is_named_by_class_once(audio, tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "there", lambda: False)
    audio("set/dog/a.wav", 100)
    audio("set/cat/a.wav", 100)
    for name in ("b.m4a", "c.M4A", "d.webm", "e.wma", "notes.txt"):
        (tmp_path / "set/dog" / name).write_bytes(b"-")
    (tmp_path / "set/cat/gone.flac").symlink_to(tmp_path / "nowhere.flac")
    rule = (
        r"from_folder: expected audio that can be read, got cat: 1 links to nowhere; "
        r"dog: 2 files of the kind \.m4a, which take torchcodec; "
        r"dog: 1 files of the kind \.webm, which take torchcodec; "
        r"dog: 1 files of the kind \.wma, which nothing here reads"
    )
    with pytest.warns(UserWarning, match=rule) as warned:
        clips = ofs.AudioDataset.from_folder(tmp_path / "set", sample_rate=RATE)
    assert len(warned) == 1
    assert len(clips) == 2
    names = [(Path(failure.path).name, failure.index) for failure in clips.failures]
    assert sorted(names) == [("b.m4a", -1), ("c.M4A", -1), ("d.webm", -1), ("e.wma", -1), ("gone.flac", -1)]
    assert clips.subset([0]).failures == []
    with pytest.warns(UserWarning, match="the folder: 1 links to nowhere"):
        bank = ofs.WaveformBank.from_folder(tmp_path / "set", sample_rate=RATE)
    assert len(bank.failures) == 5
    (tmp_path / "set/dog/a.wav").unlink()
    (tmp_path / "set/cat/a.wav").unlink()
    with pytest.raises(ValueError, match=r"none in .*, but 5 such as '.*gone.flac' \(links to nowhere\)"):
        ofs.AudioDataset.from_folder(tmp_path / "set", sample_rate=RATE)
