"""One front end, unchanged, everywhere it attaches: equal output for equal clips."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data.datapipes.iter import IterableWrapper
from torchdata import nodes

import ontheflyspec as ofs
from ontheflyspec.identity import Identity

RATE = 8_000
LENGTHS = [1_900, 400, 2_600, 90, 3_000, 777, 1_200, 2_048, 333, 1_500, 0, 2_222]


class Clips(torch.utils.data.Dataset):
    """Seeded noise of unlike length, with ids as `AudioDataset` gives them."""

    def __len__(self):
        return len(LENGTHS)

    def __getitem__(self, draw):
        wave = 0.2 * torch.randn(LENGTHS[draw], generator=torch.Generator().manual_seed(int(draw)))
        return ofs.Clip(wave, RATE, Identity(draw, getattr(draw, "epoch", 0)).id()), int(draw)


def front_end():
    return ofs.Compose(
        [
            ofs.augment.Gain(gain_db=(-6.0, 6.0), p=0.5),
            ofs.augment.AddColoredNoise(snr_db=(5.0, 30.0), p=0.5),
            ofs.MelSpectrogram(sample_rate=RATE, n_fft=200, hop_length=80, n_mels=20),
            ofs.AmplitudeToDB(),
            ofs.augment.SpecAugment(time_mask_param=5, freq_mask_param=4),
        ],
        seed=3,
    )


def sampler():
    return ofs.BucketBatchSampler(LENGTHS, max_samples=6_000, seed=1)


def fetch(draws):
    return ofs.collate([Clips()[draw] for draw in draws])


def expected(epochs=1):
    """The batches of whole epochs, collated and transformed one after the other."""
    step, draws = front_end(), sampler()
    return [step(fetch(batch)) for _ in range(epochs) for batch in draws]


def assert_same(got, wanted):
    assert len(got) == len(wanted)
    for (batch, label), (other, names) in zip(got, wanted, strict=True):
        assert type(batch) is ofs.PaddedBatch
        assert torch.equal(batch.data, other.data)
        assert torch.equal(batch.lengths, other.lengths)
        assert torch.equal(batch.ids, other.ids)
        assert batch.rate == other.rate
        assert torch.equal(label, names)


def assert_close(got, wanted):
    """Within 1e-5 of each item's peak, the decibels undone."""
    assert len(got) == len(wanted)
    for (batch, label), (other, names) in zip(got, wanted, strict=True):
        assert torch.equal(batch.lengths, other.lengths)
        assert torch.equal(batch.ids, other.ids)
        assert torch.equal(label, names)
        for item, reference in zip(batch.unpad(), other.unpad(), strict=True):
            power, true = 10 ** (item.double() / 10), 10 ** (reference.double() / 10)
            if true.numel():
                assert (power - true).abs().max() <= 1e-5 * true.max()


def test_what_is_compared_is_augmented_and_differs_between_epochs():
    plain = [front_end().eval()(fetch(batch)) for batch in sampler()]
    first, second = expected(), expected(2)[len(sampler()) :]
    assert not any(torch.equal(one.data, other.data) for (one, _), (other, _) in zip(first, plain, strict=True))
    by_id = [{key for batch, _ in epoch for key in batch.ids.tolist()} for epoch in (first, second)]
    assert len(by_id[0]) == len(by_id[1]) == len(LENGTHS)
    assert not by_id[0] & by_id[1]


# In and behind a DataLoader


@pytest.mark.parametrize("workers", [0, 2])
def test_behind_a_loader_with_bare_collate(workers):
    loader = DataLoader(Clips(), batch_sampler=sampler(), collate_fn=ofs.collate, num_workers=workers)
    step = front_end()
    assert_same([step(batch) for batch in loader], expected())


@pytest.mark.parametrize("workers", [0, 2])
def test_behind_a_device_loader(workers):
    loader = DataLoader(Clips(), batch_sampler=sampler(), collate_fn=ofs.collate, num_workers=workers)
    behind = ofs.DeviceLoader(loader, front_end(), device="cpu")
    assert_same([batch for _ in range(2) for batch in behind], expected(2))


def test_in_collate_in_the_main_process():
    loader = DataLoader(Clips(), batch_sampler=sampler(), collate_fn=ofs.Collate(transform=front_end()))
    assert_same(list(loader), expected())


def test_in_collate_in_workers():
    loader = DataLoader(Clips(), batch_sampler=sampler(), collate_fn=ofs.Collate(transform=front_end()), num_workers=2)
    assert_close(list(loader), expected())


# In DataPipes


def test_in_a_data_pipe():
    items = [Clips()[index] for index in range(len(LENGTHS))]
    pipe = IterableWrapper(items).batch(5).collate(ofs.collate).map(front_end())
    wanted = [front_end()(ofs.collate(items[start : start + 5])) for start in (0, 5, 10)]
    assert_same(list(pipe), wanted)
    assert_same(list(DataLoader(pipe, batch_size=None)), wanted)


def test_in_a_data_pipe_that_shuffles_and_shards():
    items = [Clips()[index] for index in range(len(LENGTHS))]
    alone = {clip.id: front_end()(ofs.collate([(clip, label)]))[0].unpad()[0] for clip, label in items}
    pipe = IterableWrapper(items).shuffle().sharding_filter().batch(4).collate(ofs.collate).map(front_end())
    seen = []
    for batch, _ in DataLoader(pipe, batch_size=None, num_workers=2):
        for key, item in zip(batch.ids.tolist(), batch.unpad(), strict=True):
            seen.append(key)
            torch.testing.assert_close(item, alone[key], rtol=0, atol=1e-3)
    assert sorted(seen) == sorted(alone)
    assert seen != list(alone)


# In torchdata.nodes


def mapped(step):
    return nodes.Mapper(nodes.Mapper(nodes.SamplerWrapper(sampler()), fetch), step)


def by_threads(step):
    read = nodes.ParallelMapper(nodes.SamplerWrapper(sampler()), fetch, num_workers=2, method="thread")
    return nodes.ParallelMapper(read, step, num_workers=2, method="thread")


def prefetched(step):
    return nodes.Prefetcher(mapped(step), prefetch_factor=2)


@pytest.mark.parametrize("build", [mapped, by_threads, prefetched])
def test_in_nodes_resumed_in_the_middle_of_an_epoch(build):
    wanted, n = expected(2), len(expected(1))
    loader = nodes.Loader(build(front_end()))
    assert_same(list(loader), wanted[:n])
    running = iter(loader)
    assert_same([next(running) for _ in range(3)], wanted[n : n + 3])
    state = loader.state_dict()
    resumed = nodes.Loader(build(front_end()))
    resumed.load_state_dict(state)
    assert_same(list(resumed), wanted[n + 3 :])


def test_in_nodes_behind_a_batcher():
    items = [Clips()[index] for index in range(len(LENGTHS))]
    node = nodes.Batcher(nodes.IterableWrapper(items), 5, drop_last=False)
    node = nodes.Mapper(nodes.Mapper(node, ofs.collate), front_end())
    wanted = [front_end()(ofs.collate(items[start : start + 5])) for start in (0, 5, 10)]
    assert_same(list(nodes.Loader(node)), wanted)


# In a model


class Net(nn.Module):
    """A front end as an ordinary layer before a convolution."""

    def __init__(self):
        super().__init__()
        self.front_end = front_end()
        self.conv = nn.Conv1d(20, 4, 3)

    def forward(self, x):
        features = self.front_end(x)
        return self.conv(features if isinstance(features, torch.Tensor) else features.data)


@functools.cache
def long_clips():
    """A batch of clips that leave frames enough to convolve."""
    return ofs.collate([Clips()[draw] for draw in (ofs.Draw(2, 0), ofs.Draw(4, 0), ofs.Draw(7, 0))])


def test_in_a_model_with_the_ids_of_the_batch():
    net = Net()
    batch, label = long_clips()
    assert_same([net.front_end((batch, label))], [front_end()((batch, label))])
    torch.testing.assert_close(net(batch), net.conv(front_end()(batch).data), rtol=0, atol=0)


def test_in_a_model_train_and_eval_reach_the_front_end():
    net = Net()
    batch, _ = long_clips()
    plain = nn.Sequential(*list(front_end().steps)[2:4])
    net.eval()
    torch.testing.assert_close(net(batch.data), net.conv(plain(batch.data)), rtol=0, atol=0)
    net.train()
    torch.manual_seed(0)
    first = net(batch.data)
    second = net(batch.data)
    torch.manual_seed(0)
    assert torch.equal(net(batch.data), first)
    assert not torch.equal(second, first)


def test_in_a_model_apply_copies_checkpoints_and_moves():
    net = Net()
    visited = []
    net.apply(lambda module: visited.append(type(module).__name__))
    assert {"Compose", "MelSpectrogram", "SpecAugment", "Conv1d", "Net"} <= set(visited)
    assert sorted(net.state_dict()) == ["conv.bias", "conv.weight"]
    batch, _ = long_clips()
    twin = copy.deepcopy(net)
    assert torch.equal(twin(batch), net(batch))
    other = Net()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(batch), net(batch))
    double = copy.deepcopy(net).to(torch.float64)
    exact = double(batch.to(dtype=torch.float64))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact.float(), net(batch), rtol=1e-3, atol=1e-3)


def test_in_a_model_gradients_pass_through_to_the_wave():
    net = Net().eval()
    batch, _ = long_clips()
    wave = batch.data.clone().requires_grad_()
    net(batch._replace(data=wave)).square().mean().backward()
    assert wave.grad.isfinite().all()
    assert wave.grad[0, : LENGTHS[2]].abs().sum() > 0
    assert wave.grad[0, LENGTHS[2] :].abs().sum() == 0
