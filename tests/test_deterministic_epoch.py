"""An epoch is decided by its seed: not by batch size, threads, workers, ranks or interruptions.

Files of several kinds are read, cropped at random, augmented and transformed; what is compared is a hash of each
clip's valid features, so a single bit counts.
"""

import hashlib
import itertools
import json

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import ontheflyspec as ofs

RATE = 8_000
EPOCHS = 2
LONGEST = RATE


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Fourteen short files: 16-bit and float WAV, FLAC, one at another rate; the longest are cropped."""
    folder = tmp_path_factory.mktemp("clips")
    draw = np.random.default_rng(0)
    paths = []
    for place in range(14):
        rate = 11_025 if place == 7 else RATE
        kind, subtype = {3: ("flac", "PCM_16"), 5: ("wav", "FLOAT")}.get(place, ("wav", "PCM_16"))
        wave = 0.2 * draw.standard_normal(int(draw.uniform(0.05, 1.5) * rate))
        paths.append(folder / f"{place:02d}.{kind}")
        soundfile.write(paths[-1], wave.clip(-1, 1), rate, subtype=subtype)
    return ofs.AudioDataset(paths, list(range(14)), sample_rate=RATE, max_seconds=LONGEST / RATE, progress=False)


def front_end():
    return ofs.Compose(
        [
            ofs.augment.Gain(gain_db=(-6.0, 6.0), p=0.5),
            ofs.augment.TimeShift(shift_s=(-0.05, 0.05)),
            ofs.augment.AddColoredNoise(snr_db=(5.0, 30.0), p=0.8),
            ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=80, n_mels=24),
            ofs.AmplitudeToDB(),
            ofs.augment.SpecAugment(time_mask_param=6, freq_mask_param=4),
        ],
        seed=5,
    )


def sampler(clips, **options):
    return ofs.BucketBatchSampler(clips.lengths, **{"max_samples": 4 * LONGEST, "seed": 2, **options})


def audio_loader(clips, threads=2, **options):
    return ofs.AudioLoader(clips, sampler(clips, **options), transform=front_end(), threads=threads)


def device_loader(clips, workers=0, **options):
    loader = DataLoader(clips, batch_sampler=sampler(clips, **options), collate_fn=ofs.collate, num_workers=workers)
    return ofs.DeviceLoader(loader, front_end(), device="cpu")


def stateful_loader(clips, workers=0, **options):
    step = front_end()
    return StatefulDataLoader(
        clips,
        batch_sampler=sampler(clips, **options),
        collate_fn=ofs.Collate(transform=step),
        num_workers=workers,
    )


def hashes(batch):
    """The id of each clip of a batch, its target, and a hash of its features."""
    features, targets = batch
    return [
        (key, target, hashlib.sha256(item.contiguous().numpy().tobytes()).hexdigest())
        for key, target, item in zip(features.ids.tolist(), targets.tolist(), features.unpad(), strict=True)
    ]


def played(loader, epochs=EPOCHS):
    return [[hashes(batch) for batch in loader] for _ in range(epochs)]


def flat(epochs):
    return [sorted(clip for batch in epoch for clip in batch) for epoch in epochs]


@pytest.fixture(scope="module")
def reference(clips):
    return flat(played(audio_loader(clips, threads=1)))


def test_the_reference_has_every_clip_anew_in_each_epoch(clips, reference):
    first, second = reference
    assert len(first) == len(second) == len(clips)
    assert not {key for key, _, _ in first} & {key for key, _, _ in second}
    assert not {value for *_, value in first} & {value for *_, value in second}


@pytest.mark.parametrize("options", [{"max_items": 1}, {"max_items": 3}, {"max_samples": 20 * LONGEST}, {"seed": 9}])
def test_batch_size_mates_and_order_change_nothing(clips, reference, options):
    assert flat(played(audio_loader(clips, **options))) == reference


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_change_nothing(clips, reference, threads):
    assert flat(played(audio_loader(clips, threads=threads))) == reference


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(clips, reference, workers):
    assert flat(played(device_loader(clips, workers=workers))) == reference


def test_ranks_change_nothing(clips, reference):
    ranks = [played(audio_loader(clips, rank=rank, world_size=3)) for rank in range(3)]
    assert flat([*map(itertools.chain, *ranks)]) == reference


def test_the_global_random_state_changes_nothing(clips, reference):
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert flat(played(device_loader(clips))) == reference
    torch.manual_seed(99)
    state = torch.get_rng_state()
    played(audio_loader(clips), 1)
    assert torch.equal(torch.get_rng_state(), state)


def worker_loader(clips):
    return device_loader(clips, workers=2)


def stateful_worker_loader(clips):
    return stateful_loader(clips, workers=2)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("make", [audio_loader, device_loader, worker_loader, stateful_loader, stateful_worker_loader])
def test_an_interrupted_epoch_goes_on_with_the_very_same_batches(clips, make):
    uninterrupted = played(make(clips), 3)
    loader = make(clips)
    assert [hashes(batch) for batch in loader] == uninterrupted[0]
    running, states = iter(loader), []
    for _ in uninterrupted[1]:
        next(running)
        states.append(loader.state_dict())
    assert len(states) > 3
    every = make in (audio_loader, device_loader, stateful_loader)
    for step in range(1, len(states)) if every else (1, len(states) - 1):
        resumed = make(clips)
        resumed.load_state_dict(states[step - 1])
        assert [hashes(batch) for batch in resumed] == uninterrupted[1][step:]
        assert hashes(next(iter(resumed))) == uninterrupted[2][0]


@pytest.mark.parametrize("make", [audio_loader, device_loader])
def test_other_ranks_finish_an_interrupted_epoch(clips, reference, make):
    """Three ranks stop, two go on: every clip of the epoch once, its features the same."""
    seen, states = [], []
    for rank in range(3):
        loader = make(clips, rank=rank, world_size=3, max_items=2)
        running = iter(loader)
        seen += [clip for _ in range(2) for clip in hashes(next(running))]
        states.append(json.dumps(loader.state_dict()))
    assert len(set(states)) == 1
    for rank in range(2):
        loader = make(clips, rank=rank, world_size=2, max_items=2)
        loader.load_state_dict(json.loads(states[0]))
        seen += [clip for batch in loader for clip in hashes(batch)]
    assert sorted(seen) == reference[0]


def test_collate_in_workers_agrees_with_the_main_process(clips):
    """Workers compute with one thread: within 1e-5 of each clip's peak, the decibels undone."""
    step = front_end()
    loader = DataLoader(clips, batch_sampler=sampler(clips), collate_fn=ofs.Collate(transform=step), num_workers=2)
    for (one, _), (other, _) in zip(loader, audio_loader(clips), strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        for got, wanted in zip(one.unpad(), other.unpad(), strict=True):
            power, true = 10 ** (got.double() / 10), 10 ** (wanted.double() / 10)
            assert (power - true).abs().max() <= 1e-5 * true.max()
