"""The threaded loader against DataLoader, byte for byte; its memory and its transforms."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import ontheflyspec as ofs
from ontheflyspec.data.filling import Buffers
from tests.data.batches import ahead_on_the_cpu, by_torch, content, sampled
from tests.data.files import RATE, tone


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_those_of_dataloader(clips, threads, workers):
    ours = ofs.AudioLoader(clips, sampled(clips, max_items=2), threads=threads)
    theirs = by_torch(clips, sampled(clips, max_items=2), workers, persistent_workers=workers > 0)
    for _ in range(2):
        mine, expected = list(map(content, ours)), list(map(content, theirs))
        assert mine == expected
    assert {item[1] for item in mine} == {torch.float32}


@pytest.mark.parametrize(
    ("targets", "kind"),
    [([1, 2, 3, 4], torch.int64), ([0.5, 1, 2, 3], torch.float32), ([[1], [2, 3], [], [4]], None), (None, None)],
)
def test_targets_are_gathered_as_collate_does(audio, targets, kind):
    clips = ofs.AudioDataset([audio(f"{place}.wav", 10 + place) for place in range(4)], targets, sample_rate=RATE)
    batches = [[3, 1], [0, 2]]
    mine = list(map(content, ofs.AudioLoader(clips, batches)))
    theirs = list(map(content, by_torch(clips, batches)))
    assert [(*item[:6], *item[7:]) for item in mine] == [(*item[:6], *item[7:]) for item in theirs]
    assert [(item[6] is None, other[6]) for item, other in zip(mine, theirs, strict=True)] == [(False, None)] * 2
    assert mine[0][-1] == kind


def test_channels_kept(audio):
    paths = [audio(f"{place}.wav", tone(20 + place, channels=2)) for place in range(4)]
    clips = ofs.AudioDataset(paths, sample_rate=RATE, mono=False)
    mine = list(ofs.AudioLoader(clips, [[3, 1], [0, 2]], dtype=torch.float32))
    assert mine[0].data.shape == (2, 2, 23)
    for batch, expected in zip(mine, by_torch(clips, [[3, 1], [0, 2]]), strict=True):
        assert torch.equal(batch.data, expected.data)


def test_draws_of_a_foreign_sampler_are_counted(audio):
    """Its passes are epochs, and a clip that comes again in one is another draw; negative places are places."""
    paths = [audio(f"{place}.wav", 4_000) for place in range(3)]
    clips = ofs.AudioDataset(paths, sample_rate=RATE, max_seconds=0.1)
    loader = ofs.AudioLoader(clips, [[0, 1, -3], [0, 2]])
    next(iter(ofs.AudioLoader(clips, [[0]])))
    found = [[clips.locate(batch.ids) for batch in loader] for _ in range(2)]
    for epoch, batches in enumerate(found):
        told = [[(place.index, place.epoch, place.occurrence) for place in batch] for batch in batches]
        assert told == [[(0, epoch, 0), (1, epoch, 0), (0, epoch, 1)], [(0, epoch, 2), (2, epoch, 0)]]
    assert len({place.start_s for batches in found for batch in batches for place in batch if place.index == 0}) == 6


@pytest.mark.parametrize("foreign", [False, True])
def test_behind_a_device_loader_that_runs_ahead_a_look_moves_nothing(clips, foreign, monkeypatch):
    """The epoch ends with the last batch that this one hands out."""
    ahead_on_the_cpu(monkeypatch, spare=2)
    sampler = [[0, 1], [2, 3], [4]] if foreign else ofs.BucketBatchSampler(clips.lengths, max_samples=8_000, seed=3)
    loader = ofs.DeviceLoader(ofs.AudioLoader(clips, sampler), device="cpu")

    def epochs(item):
        return {place.epoch for place in clips.locate(item[0].ids)}

    for _ in range(3):
        assert epochs(next(iter(loader))) == {0}
    running = iter(loader)
    for _ in range(len(loader)):
        assert epochs(next(running)) == {0}
    assert epochs(next(iter(loader))) == {1}
    assert [epochs(item) for item in loader] == [{1}] * len(loader)
    assert epochs(next(iter(loader))) == {2}


MIXED = {"a.wav": 16_000, "b.wav": 16_000, "c.wav": 22_050, "d.wav": 22_050}
"""Files and their rates: two have samples that int16 holds at 16 kHz, two have not."""


@pytest.mark.parametrize("dtype", [torch.float32, None])
@pytest.mark.parametrize("files", [MIXED, {"a.wav": 16_000, "b.wav": 16_000}])
def test_one_type_whatever_the_files(audio, dtype, files):
    """The same in every batch and item, with and without our loader: float32, or int16 if it holds the whole set."""
    paths = [audio(name, np.full(rate // 10, 0.5), rate) for name, rate in files.items()]
    clips = ofs.AudioDataset(paths, sample_rate=RATE, dtype=dtype)
    kind, peak = (torch.int16, 16_384) if dtype is None and files is not MIXED else (torch.float32, 0.5)
    batches = [list(range(len(paths)))[place : place + 2] for place in range(0, len(paths), 2)]
    loaders = [ofs.AudioLoader(clips, batches, dtype=dtype), by_torch(clips, batches)]
    loaders.append(ofs.AudioLoader(clips, batches, dtype=dtype, transform=lambda batch: batch))
    for loader in loaders:
        assert [batch.data.dtype for batch in loader] == [kind] * len(batches)
        assert all(batch.data[:, 800].float().sub(peak).abs().max() < 0.01 for batch in loader)
    assert {clip.wave.dtype for clip in clips} == {kind}
    assert {clip.wave.dtype for clip in clips.subset([0, 1])} == {kind}  # decided for the set as it was built
    ours = ofs.AudioLoader(clips, batches, dtype=dtype, transform=ofs.PeakNormalize())
    assert {batch.data.dtype for batch in ours} == {torch.float32}
    for path, rate in files.items():
        whole = ofs.load(audio(path, np.full(rate // 10, 0.5), rate), sample_rate=RATE, dtype=dtype).wave
        assert whole.dtype == (torch.int16 if dtype is None and rate == RATE else torch.float32)


def test_integers_travel_to_our_steps_as_they_are(audio):
    """And to those of others as floats."""
    clips = ofs.AudioDataset([audio("a.wav", 100)], sample_rate=RATE)
    seen = []

    class Look(ofs.Transform):
        def transform(self, data, lengths):
            seen.append(data.dtype)
            return data

        def __call__(self, x):
            seen.append(x.data.dtype)
            return super().__call__(x)

    list(ofs.AudioLoader(clips, [[0]], transform=Look()))
    assert seen == [torch.int16, torch.float32]


@pytest.mark.parametrize("dtype", [torch.int16, torch.float64, "float32"])
def test_other_types_are_refused(audio, dtype):
    clips = ofs.AudioDataset([audio("a.wav", 100)], sample_rate=RATE)
    for where, work in {
        "AudioLoader": lambda: ofs.AudioLoader(clips, [[0]], dtype=dtype),
        "AudioDataset": lambda: ofs.AudioDataset(list(clips.paths), sample_rate=RATE, dtype=dtype),
        "load": lambda: ofs.load(clips.paths[0], dtype=dtype),
    }.items():
        with pytest.raises(
            TypeError, match=rf"^{where}: expected dtype None or torch.float32, got .*{dtype}.*\. Convert"
        ):
            work()


def test_samples_are_those_of_the_files(audio):
    paths = [audio(f"{place}.wav", 40_000 * place + 10) for place in range(3)]
    clips = ofs.AudioDataset(paths, sample_rate=RATE)
    (batch,) = ofs.AudioLoader(clips, [[0, 1, 2]])
    for row, length, path in zip(batch.data, batch.lengths, paths, strict=True):
        np.testing.assert_array_equal(row[:length].numpy(), soundfile.read(path, dtype="float32")[0])
        assert not row[length:].any()


def test_padding_is_zero_in_memory_that_was_used_before(audio):
    loud = audio("loud.wav", np.full(5_000, 0.5))
    clips = ofs.AudioDataset([loud, audio("short.wav", 10)], sample_rate=RATE)
    for place, batch in enumerate(ofs.AudioLoader(clips, [[0, 0], [0, 1]] * 20)):
        assert not batch.data[1, int(batch.lengths[1]) :].any()
        assert bool(batch.data[:, 10:].all()) == (place % 2 == 0)


KEPT = {
    "batch": lambda batch: batch,
    "tensor": lambda batch: batch.data,
    "row": lambda batch: batch.data[1],
    "slice": lambda batch: batch.data[:, 3:7],
    "numpy": lambda batch: batch.data.numpy()[1, 2:],
    "memoryview": lambda batch: memoryview(batch.data.numpy()),
    "view": lambda batch: batch.data.view(-1),
    "storage": lambda batch: batch.data.untyped_storage(),
    "detached": lambda batch: batch.data.detach()[0],
    "unpadded": lambda batch: batch.unpad()[0],
}


def bytes_of(kept):
    if isinstance(kept, ofs.PaddedBatch):
        kept = kept.data
    if isinstance(kept, torch.UntypedStorage):
        return bytes(kept.tolist())
    return kept.tobytes() if isinstance(kept, memoryview) else np.asarray(kept).tobytes()


@pytest.mark.parametrize("how", KEPT)
def test_what_is_kept_is_never_overwritten(audio, how):
    waves = [np.random.default_rng(place).integers(-(2**15), 2**15, 200).astype(np.int16) for place in range(40)]
    clips = ofs.AudioDataset([audio(f"{place}.wav", wave) for place, wave in enumerate(waves)], sample_rate=RATE)
    kept, seen = [], []
    loader = ofs.AudioLoader(clips, [[place, (place + 7) % 40] for place in range(40)], dtype=None)
    for place, batch in enumerate(loader):
        np.testing.assert_array_equal(batch.data[0].numpy(), waves[place])
        if place % 3 == 0:
            kept.append(KEPT[how](batch))
            seen.append(bytes_of(kept[-1]))
        del batch
    assert [bytes_of(one) for one in kept] == seen
    assert len(set(seen)) == len(seen)


def test_memory_is_used_again_when_nobody_sees_it(audio):
    clips = ofs.AudioDataset([audio("a.wav", 30_000)], sample_rate=RATE)
    places = [batch.data.data_ptr() for batch in ofs.AudioLoader(clips, [[0]] * 60)]
    assert len(set(places)) <= 8
    held = list(ofs.AudioLoader(clips, [[0]] * 20))
    assert len({batch.data.data_ptr() for batch in held}) == 20


def test_buffers_are_aligned_and_large_enough():
    buffers = Buffers(keep=2)
    sizes = []
    for count in (10, 1_000, 10, 500_000, 3, 1):
        rows = buffers.lease((count, 3), np.int16)
        rows[...] = 7
        assert rows.ctypes.data % 64 == 0
        assert (rows == 7).all()
        sizes.append(rows.base.nbytes)
        del rows
    assert sizes[1] == sizes[2]
    assert sizes[3] == sizes[4] == sizes[5]


def test_a_buffer_is_not_taken_where_its_alignment_would_not_fit():
    """1000 bytes lie in a buffer of an eighth more and 64: it does for 1125, not for a few more."""
    others = [Buffers(keep=1) for _ in range(16)]
    for buffers in others:
        buffers.lease((1_000,), np.uint8)
        assert buffers.lease((1_125,), np.uint8).base.nbytes == 1_189
    for buffers in others:
        assert buffers.lease((1_126,), np.uint8).base.nbytes > 1_189


def test_transform_is_called_in_the_main_thread_on_what_is_handed_out(clips):
    seen = []

    def note(item):
        seen.append((threading.current_thread(), type(item)))
        return item[0].lengths.sum().item()

    loader = ofs.AudioLoader(clips, sampled(clips), transform=note)
    plain = [int(batch.lengths.sum()) for batch, _ in ofs.AudioLoader(clips, sampled(clips))]
    assert list(loader) == plain
    assert seen == [(threading.main_thread(), tuple)] * len(plain)


def test_mode_is_read_when_the_first_batch_is_asked_for(clips):
    class Mode(nn.Module):
        def forward(self, item):
            return self.training

    mode = Mode()
    loader = ofs.AudioLoader(clips, [[0], [1]], transform=mode)
    running, later = iter(loader), iter(loader)
    assert next(running)
    mode.eval()
    assert list(running) == [True]
    assert list(later) == [False, False]


def test_a_look_moves_nothing(clips, monkeypatch):
    """Neither the epoch nor a file, though batches are read ahead; the epoch ends with the last batch handed out."""
    read = []
    monkeypatch.setattr(clips.source, "read", lambda part, out: read.append(part))
    loader = ofs.AudioLoader(clips, sampled(clips))
    looks = [iter(loader) for _ in range(3)]
    assert read == []
    first = [next(look)[0].ids.tolist() for look in looks]
    assert first[0] == first[1] == first[2]
    assert loader.state_dict()["consumed"] == 1
    running = iter(loader)
    epochs = [[place.epoch for _ in range(len(loader)) for place in clips.locate(next(running)[0].ids)]]
    epochs += [[place.epoch for batch, _ in loader for place in clips.locate(batch.ids)] for _ in range(2)]
    assert [set(one) for one in epochs] == [{0}, {1}, {2}]
    loader.set_epoch(7)
    assert {place.epoch for batch, _ in loader for place in clips.locate(batch.ids)} == {7}
    assert (loader.batch_sampler, loader.sampler.sampler) == (loader.sampler, loader.sampler)


def test_front_end_behind_either_loader(clips):
    front_end = ofs.Compose([ofs.augment.Gain(), ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, n_mels=20)], seed=1)
    mine = list(ofs.AudioLoader(clips, sampled(clips), transform=front_end))
    expected = [front_end(item) for item in by_torch(clips, sampled(clips))]
    assert list(map(content, mine)) == list(map(content, expected))
    again = ofs.DeviceLoader(ofs.AudioLoader(clips, sampled(clips)), front_end, device="cpu")
    assert list(map(content, again)) == list(map(content, expected))
