"""Odd input at the borders: each is taken as it is meant, or refused by name."""

from __future__ import annotations

import gzip
import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

import ontheflyspec as ofs
from tests.data.files import RATE, made, tone


def manifest(tmp_path, text, name="m.csv", **options):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return ofs.AudioDataset.from_manifest(tmp_path / name, **({"sample_rate": RATE} | options))


@pytest.fixture
def four(audio):
    return [audio(f"s{place}.wav", 100 + place) for place in range(4)]


def test_a_manifest_that_was_cut_after_it_was_compressed(four, tmp_path):
    data = gzip.compress(b"path,label\ns0.wav,a\n" * 50)
    with pytest.raises(ValueError, match=r"a whole gzip file, got .* in '.*m\.csv\.gz'\. Compress the manifest again"):
        manifest(tmp_path, data[:-12], "m.csv.gz")


@pytest.mark.parametrize("letter", ["\u2028", "\u0085", "\x0b", "\x0c"])
def test_letters_that_are_no_ends_of_lines(four, tmp_path, letter):
    row = {"path": "s0.wav", "text": f"a{letter}b"}
    texts = manifest(tmp_path, json.dumps(row, ensure_ascii=False) + "\n", "m.jsonl").targets
    assert list(texts) == [f"a{letter}b"]
    for name, split in (("m.csv", ","), ("m.tsv", "\t")):
        text = f"path{split}text\r\ns0.wav{split}a{letter}b\rs1.wav{split}c\n"
        assert list(manifest(tmp_path, text, name).targets) == [f"a{letter}b", "c"]


def test_wrong_channels_in_a_manifest(audio, tmp_path):
    audio("st.wav", tone(100, channels=2))
    text = "path, Channel ,label\nst.wav,0,a\nst.wav,left,b\nst.wav,2,c\nst.wav,,d\nst.wav,1,e\n"
    clips = manifest(tmp_path, text, channel="channel", on_error="skip")
    assert [clips.classes[label] for label in clips.targets] == ["a", "e"]
    assert {failure.index for failure in clips.failures} == {1, 2, 3}
    with pytest.raises(ValueError, match=r"a channel from 0 to 1 of '.*st\.wav', got 'left'\. Correct it"):
        manifest(tmp_path, text, channel="channel")


def test_labels_as_names(four, tmp_path):
    train = manifest(tmp_path, "path,label\ns0.wav,0013\ns1.wav,7\n")
    assert train.classes == ["0013", "7"]
    test = manifest(tmp_path, "path,label\ns0.wav,7\ns1.wav,7\n", classes=train.classes)
    assert test.targets.tolist() == [1, 1]
    mixed = '{"path": "s0.wav", "label": "a"}\n{"path": "s1.wav", "label": 3}\n'
    assert manifest(tmp_path, mixed, "m.jsonl").classes == ["3", "a"]
    with pytest.raises(ValueError, match="NaN, which is no number in line 1"):
        manifest(tmp_path, '{"path": "s0.wav", "label": NaN}\n', "m.jsonl")
    assert manifest(tmp_path, "path,label\ns0.wav,99999999999999999999\ns1.wav,1\n").classes == ["1", "9" * 20]


def test_wrong_lines_count_as_failures(four, tmp_path):
    text = "path,label\ns0.wav,a\n,b\n,c\n"
    assert len(manifest(tmp_path, text, on_error="skip", max_failures=2)) == 1
    with pytest.raises(RuntimeError, match=r"at most max_failures = 1 bad files, got 2 \(.*line 3: expected path"):
        manifest(tmp_path, text, on_error="skip", max_failures=1)
    with pytest.raises(ValueError, match=r"UTF-16 without a byte order mark"):
        manifest(tmp_path, text.encode("utf-16-le"))
    with pytest.raises(ValueError, match="text=True without separator and classes, got separator"):
        made(four, list("abcd"), text=True, separator=";")


def test_lists_of_floats_have_one_type_in_all_loaders(four):
    clips = made(four, [[1.5, 2], [3, 4], [5, 6], [7, 8]])
    plain = next(iter(DataLoader(clips, batch_size=2, collate_fn=ofs.collate)))
    assert plain[1].dtype == next(iter(ofs.AudioLoader(clips, [[0, 1]])))[1].dtype == torch.float32


def test_dictionaries_keep_one_form():
    collate = ofs.Collate(rate=RATE, key="audio")
    for lists in ([[1, 2], [3, 4]], [[1, 2], [1, 2, 3]]):
        values, lengths = collate([{"audio": torch.ones(5), "tokens": row} for row in lists])["tokens"]
        assert [row[:size].tolist() for row, size in zip(values, lengths, strict=True)] == lists
    sound = {"array": np.ones(900), "sampling_rate": RATE}
    batch = ofs.Collate(key="audio")([{"audio": sound, "clean": sound}] * 2)
    crop = ofs.Compose([ofs.augment.RandomCrop(seconds=0.02)], key="audio")
    assert crop(batch)["clean"].lengths.tolist() == [320, 320]
    table = crop.draw(batch)
    assert crop.replay(batch, table)["audio"].lengths.tolist() == [320, 320]


def test_windows_of_joined_sets_merge_by_recording(audio):
    one, two = made([audio("a.wav", 5_000)], window_seconds=0.1), made([audio("b.wav", 4_000)], window_seconds=0.1)
    both = ofs.AudioDataset.concat([one, two])
    ids, scores = [], []
    for batch in ofs.AudioLoader(both, [list(range(len(both)))]):
        ids, scores = batch.ids, torch.arange(len(both)).float()[:, None]
    merged = both.merge_windows(scores, ids)
    assert [len(one.scores) for one in merged] == [4, 3]
    again = ofs.AudioDataset.concat([both, one]).subset(range(7))
    assert [len(one.scores) for one in again.merge_windows(scores, ids)] == [4, 3]


def test_a_derived_set_is_not_joined(four):
    class Louder(ofs.AudioDataset):
        def __getitem__(self, index):
            return super().__getitem__(index).wave * 2

    with pytest.raises(TypeError, match="read their own files, got Louder with its own __getitem__"):
        ofs.AudioDataset.concat([made(four), Louder(four, sample_rate=RATE)])


def test_a_look_with_workers_moves_nothing(four):
    clips = made(four * 6)
    sampler = ofs.BucketBatchSampler(clips.lengths, max_samples=300)
    loader = ofs.DeviceLoader(
        DataLoader(clips, batch_sampler=sampler, collate_fn=ofs.collate, num_workers=2), device="cpu"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(iter(loader))
        assert len(list(loader)) == len(sampler)


@pytest.mark.parametrize(("rank", "world_size"), [("2", "2"), ("x", "2"), ("0", "x")])
def test_an_environment_that_is_no_rank(monkeypatch, rank, world_size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world_size)
    with pytest.raises(ValueError, match=f"RANK below WORLD_SIZE in the environment, got RANK={rank}"):
        ofs.BucketBatchSampler([10] * 8, max_samples=20)


def test_a_sampler_of_another_data_set(four):
    with pytest.raises(ValueError, match="a sampler of the data set's 4 clips, got one of 3"):
        ofs.AudioLoader(made(four), ofs.BucketBatchSampler([1, 2, 3], max_samples=10))
    with pytest.raises(TypeError, match="lists of indices, got NoneType"):
        ofs.AudioLoader(made(four), None)


def test_ogg_cut_within_a_page_head():
    file = io.BytesIO()
    soundfile.write(file, tone(5_000), RATE, format="OGG")
    data = file.getvalue()
    for wrong in (data[:20], data + data[:20], data + b"OggS"):
        with pytest.raises(ValueError, match="no whole page at byte"):
            ofs.load(wrong)


@pytest.mark.parametrize("ending", ["w64", "voc", "avr", "sph", "rf64", "caf"])
def test_other_formats_that_are_cut(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    if ending == "sph":
        head = (
            b"NIST_1A\n   1024\nsample_count -i 5000\nchannel_count -i 1\nsample_n_bytes -i 2\nsample_rate -i 16000\n"
        )
        head += b"sample_byte_format -s2 01\nsample_sig_bits -i 16\nsample_coding -s3 pcm\nend_head\n"
        path.write_bytes(head.ljust(1024) + bytes(10_000))
    else:
        soundfile.write(path, tone(5_000), RATE, subtype="PCM_16")
    data = path.read_bytes()
    assert ofs.load(data).wave.shape == (5_000,)
    for cut in (len(data) // 2, len(data) - 40):
        with pytest.raises(ValueError, match=r"every frame that the header promises|file is malformed"):
            ofs.load(data[:cut])


def test_banks_on_disk_resample_as_those_in_memory(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(30_000), 44_100)
    banks = [ofs.WaveformBank.from_folder(tmp_path, sample_rate=RATE, keep=keep) for keep in ("memory", "disk")]
    steps = [ofs.augment.AddBackgroundNoise(bank, snr_db=0.0) for bank in banks]
    batch = ofs.pad([torch.ones(1_000), torch.ones(700)], rate=RATE, ids=[1, 2])
    table = steps[1].draw(batch)
    one, other = (step.replay(batch, table).data for step in steps)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_names_that_are_not_utf_8_by_torchcodec(tmp_path):
    from ontheflyspec.data import codec

    if not codec.there():
        pytest.skip("torchcodec is not installed, or does not find FFmpeg")
    from torchcodec.encoders import AudioEncoder

    AudioEncoder(torch.zeros(1, 48_000), sample_rate=48_000).to_file(tmp_path / "a.m4a")
    odd = Path(str(tmp_path) + "/\udcff.m4a")
    (tmp_path / "a.m4a").rename(odd)
    assert ofs.load(odd).rate == 48_000
