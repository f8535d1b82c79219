"""The device stage: plain on the CPU, in the right order on a side stream, with states of what was handed out."""

import copy
import json
import threading

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchdata.nodes import Loader, Mapper, ParallelMapper, SamplerWrapper
from torchdata.stateful_dataloader import StatefulDataLoader

import ontheflyspec as ofs
from ontheflyspec import transfer
from ontheflyspec.data import device as module
from ontheflyspec.data import moving
from tests.data.batches import ahead_on_the_cpu

LENGTHS = [7, 3, 9, 4, 4, 8, 1, 6, 2, 5, 9, 3]
CUDA = torch.device("cuda", 0)


def batch(value, *, dtype=torch.float32):
    return ofs.pad([torch.full((3,), value, dtype=dtype)], rate=8_000, ids=[value])


def values(batches):
    return [int(one.data.flatten()[0]) for one in batches]


def sampler(**options):
    return ofs.BucketBatchSampler(LENGTHS, max_samples=18, **options)


class Tones(torch.utils.data.Dataset):
    """Clips that know their draw."""

    def __getitem__(self, draw):
        return ofs.Clip(torch.full((LENGTHS[draw],), 1.0 + draw), 8_000, 100 * draw.epoch + int(draw)), int(draw)


class Mode(nn.Module):
    """Adds 100 where it trains, and 10 where a part of it does."""

    def __init__(self, *, trainable=False):
        super().__init__()
        self.part = nn.Identity()
        self.weight = nn.Parameter(torch.zeros(()), requires_grad=trainable)

    def forward(self, x):
        return x._replace(data=x.data + 100 * self.training + 10 * self.part.training + self.weight)


def ids(batches):
    return [one.ids.tolist() for one, _ in batches]


def test_on_the_cpu_batches_come_one_by_one():
    taken = []

    def source():
        for value in range(3):
            taken.append(value)
            yield batch(value)

    got = []
    for one in ofs.DeviceLoader(source(), lambda x: x._replace(data=x.data + 10), device="cpu"):
        got.append(int(one.data[0, 0]))
        assert len(taken) == len(got)
    assert got == [10, 11, 12]


def test_it_is_as_long_as_its_loader_and_starts_anew():
    loader = ofs.DeviceLoader([batch(value) for value in range(4)], device="cpu")
    assert len(loader) == 4
    assert values(loader) == values(loader) == [0, 1, 2, 3]


def test_integers_become_floats_but_for_steps_that_know_them():
    seen = []
    given = [[batch(16384, dtype=torch.int16), "name"]]
    ((plain, name),) = ofs.DeviceLoader(given, device="cpu")
    assert (plain.data.dtype, plain.data[0, 0].item(), name) == (torch.float32, 0.5, "name")
    list(ofs.DeviceLoader(given, lambda x: seen.append(x[0].data.dtype), device="cpu"))
    assert seen == [torch.float32]
    gain = ofs.Gain(gain_db=0.0)
    gain.register_forward_pre_hook(lambda _, given: seen.append(given[0][0].data.dtype))
    list(ofs.DeviceLoader(given, gain, device="cpu"))
    assert seen == [torch.float32, torch.int16]
    (half,) = ofs.DeviceLoader([batch(1, dtype=torch.float16)], device="cpu")
    assert half.data.dtype == torch.float16
    assert given[0][0].data.dtype == torch.int16


def test_everything_but_lengths_and_ids_moves():
    target = {"class": torch.ones(1), "name": "a", "more": [torch.ones(2), 5]}
    moved, where = moving.moved((batch(1), target), torch.device("meta"), None)
    assert (moved.data.device.type, moved.lengths.device.type, moved.ids.device.type) == ("meta", "cpu", "cpu")
    assert (where["class"].device.type, where["more"][0].device.type) == ("meta", "meta")
    assert (where["name"], where["more"][1]) == ("a", 5)
    assert target["class"].device.type == "cpu"


def test_a_module_is_moved_to_the_device():
    mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=64, n_mels=4)
    ofs.DeviceLoader([], mel, device="meta")
    assert {tensor.device.type for tensor in mel.buffers()} == {"meta"}


def test_the_mode_is_that_of_the_start_of_the_pass():
    front_end = Mode()
    front_end.part.eval()
    running = iter(ofs.DeviceLoader([batch(value) for value in range(3)], front_end, device="cpu"))
    assert int(next(running).data[0, 0]) == 100
    front_end.eval()
    front_end.part.train()
    assert int(next(running).data[0, 0]) == 101
    assert not front_end.training
    assert front_end.part.training
    assert values(ofs.DeviceLoader([batch(0)], front_end, device="cpu")) == [10]
    front_end.train().part.eval()
    assert int(next(running).data[0, 0]) == 102


def test_an_empty_chain_is_a_transform_too():
    assert values(ofs.DeviceLoader([batch(1)], nn.Sequential(), device="cpu")) == [1]


def test_the_thread_count_is_asked_for_before_a_loader_starts(monkeypatch):
    order = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: order.append("asked") or 1)

    class Starts:
        def __iter__(self):
            order.append("started")
            return iter([])

    list(ofs.DeviceLoader(Starts(), device="cpu"))
    assert order == ["asked", "started"]


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", r"DeviceLoader: expected a device such as 'auto', 'cpu' or 'cuda:0', got 'gpu'\. Change device"),
        (None, "got None"),
        ("cuda:0", r"a device that is there, got 'cuda:0'\. Pass device='auto'"),
    ],
)
def test_bad_devices_are_named(device, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=words):
        ofs.DeviceLoader([], device=device)


def test_auto_takes_cuda_if_there_is_one(monkeypatch):
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert module.find_device("here", "auto").type == name


@pytest.mark.parametrize("item", [torch.zeros(3), (torch.zeros(3), 1), [], {"audio": 1}])
def test_a_loader_of_something_else_is_named(item):
    with pytest.raises(TypeError, match=r"a loader of PaddedBatch, .*got one of .*collate_fn=ofs\.collate"):
        list(ofs.DeviceLoader([item], device="cpu"))


# States


def plain_loader(workers):
    return DataLoader(Tones(), batch_sampler=sampler(), collate_fn=ofs.collate, num_workers=workers)


def stateful_loader(workers):
    return StatefulDataLoader(Tones(), batch_sampler=sampler(), collate_fn=ofs.collate, num_workers=workers)


def fetch(draws):
    return ofs.collate([Tones()[draw] for draw in draws])


def node_loader(threads):
    draws = SamplerWrapper(sampler())
    if threads:
        return Loader(ParallelMapper(draws, fetch, num_workers=threads, method="thread"))
    return Loader(Mapper(draws, fetch))


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("runs_ahead", [False, True])
@pytest.mark.parametrize(
    ("make", "workers"),
    [
        (plain_loader, 0),
        (plain_loader, 2),
        (stateful_loader, 0),
        (stateful_loader, 2),
        (node_loader, 0),
        (node_loader, 2),
    ],
)
def test_a_state_goes_on_behind_the_last_batch_that_was_handed_out(make, workers, runs_ahead, monkeypatch):
    if runs_ahead:
        ahead_on_the_cpu(monkeypatch)
    one = sampler()
    expected = [[[draw.epoch * 100 + draw for draw in draws] for draws in one] for _ in range(3)]
    loader = ofs.DeviceLoader(make(workers), device="cpu")
    loader.state_dict()
    assert ids(loader) == expected[0]
    states, running = [loader.state_dict()], iter(loader)
    for _ in expected[1]:
        next(running)
        states.append(loader.state_dict())
    assert list(running) == []
    assert len(states) > 3
    for step in range(len(states) - 1) if not workers else (0, 1, len(states) - 2):
        resumed = ofs.DeviceLoader(make(workers), device="cpu")
        resumed.load_state_dict(copy.deepcopy(states[step]))
        assert ids(resumed) == expected[1][step:]
        assert ids(resumed) == expected[2]


def test_the_samplers_state_is_plain_and_asked_before_the_first_batch():
    loader = ofs.DeviceLoader(plain_loader(0), device="cpu")
    assert loader.state_dict() == sampler().state_at(0, 0)
    running = iter(loader)
    assert loader.state_dict() == sampler().state_at(0, 0)
    next(running)
    state = json.loads(json.dumps(loader.state_dict()))
    assert state == sampler().state_at(0, 1)
    loader.load_state_dict(state)
    assert loader.state_dict() == state
    rest = iter(loader)
    next(rest)
    assert loader.state_dict() == sampler().state_at(0, 2)


def test_a_loader_without_a_state_is_named():
    loader = ofs.DeviceLoader([batch(1)], device="cpu")
    with pytest.raises(TypeError, match="a BucketBatchSampler as its batch_sampler, got list"):
        loader.state_dict()
    with pytest.raises(TypeError, match="a BucketBatchSampler as its batch_sampler, got list"):
        loader.load_state_dict({})


# The CUDA path, with recorders in place of streams


class Recorder:
    """Stands for torch.cuda: streams and events that write down what is asked of them."""

    def __init__(self, monkeypatch):
        self.log = []
        self.current = "consumer"
        self.done = set()
        self.events = self.streams = 0
        log, recorder = self.log, self

        class Event:
            def __init__(self):
                recorder.events += 1
                self.number = recorder.events

            def query(self):
                return self.number in recorder.done

            def synchronize(self):
                log.append(f"host waits for event {self.number}")

        class Stream:
            def __init__(self, device=None, name=None):
                recorder.streams += name is None
                self.name = name or {1: "copies", 2: "work"}[recorder.streams]

            def wait_stream(self, other):
                log.append(f"{self.name} waits for {other.name}")

            def record_event(self):
                event = Event()
                log.append(f"{self.name} records event {event.number}")
                return event

            def wait_event(self, event):
                log.append(f"{self.name} waits for event {event.number}")

        class Inside:
            def __init__(self, stream):
                self.stream = stream

            def __enter__(self):
                recorder.current = self.stream.name

            def __exit__(self, *_):
                recorder.current = "consumer"

        def place(value, device):
            log.append(f"copy {number(value)} on {recorder.current}")
            return value

        def number(value):
            return values([value[0] if type(value) is tuple else value])[0]

        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "stream", Inside)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(name=recorder.current))
        monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: tensor.dtype == torch.float32))
        monkeypatch.setattr(
            torch.Tensor, "record_stream", lambda tensor, stream: log.append(f"{tensor.dim()}-d used on {stream.name}")
        )
        monkeypatch.setattr(moving, "placed", place)
        module._streams.cache_clear()

    def transform(self, x):
        first = x[0] if type(x) is tuple else x
        self.log.append(f"transform {values([first])[0]} on {self.current}")
        return x


def test_cuda_runs_one_batch_ahead_in_the_right_order(monkeypatch):
    recorder = Recorder(monkeypatch)
    batches = ((batch(value), torch.ones(1)) for value in range(3))
    running = module.stage(batches, recorder.transform, CUDA)
    assert recorder.log == []
    first = next(running)
    assert recorder.log == [
        "work waits for consumer",
        "copy 0 on copies",
        "copies records event 1",
        "work waits for event 1",
        "1-d used on work",
        "2-d used on work",
        "transform 0 on work",
        "work records event 2",
        "copy 1 on copies",
        "copies records event 3",
        "work waits for event 3",
        "1-d used on work",
        "2-d used on work",
        "transform 1 on work",
        "work records event 4",
        "consumer waits for event 2",
        "1-d used on consumer",
        "2-d used on consumer",
    ]
    assert int(first[0].data[0, 0]) == 0
    recorder.log.clear()
    assert [int(one.data[0, 0]) for one, _ in running] == [1, 2]
    assert recorder.log == [
        "copy 2 on copies",
        "copies records event 5",
        "work waits for event 5",
        "1-d used on work",
        "2-d used on work",
        "transform 2 on work",
        "work records event 6",
        "consumer waits for event 4",
        "1-d used on consumer",
        "2-d used on consumer",
        "consumer waits for event 6",
        "1-d used on consumer",
        "2-d used on consumer",
        "host waits for event 1",
        "host waits for event 3",
        "host waits for event 5",
    ]


def test_passes_share_their_streams(monkeypatch):
    """A stream keeps the memory that it used: one more for each pass would strand it."""
    recorder = Recorder(monkeypatch)
    for _ in range(3):
        list(module.stage(map(batch, range(2)), None, CUDA))
    assert recorder.streams == 2


@pytest.mark.parametrize(("pinned", "copies"), [(False, 1), (True, 0)])
def test_what_goes_to_cuda_goes_through_pinned_memory(pinned, copies, monkeypatch):
    """Else the host waits until the copy is done, which may stand behind others."""
    made = []
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda _: pinned)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: made.append(tensor) or tensor)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, non_blocking: (tensor, device, non_blocking))
    given = torch.ones(3)
    there = transfer.sent(given, CUDA)
    assert there[0] is given
    assert there[1:] == (CUDA, True)
    assert len(made) == copies


def test_host_memory_is_kept_until_it_was_copied(monkeypatch):
    recorder = Recorder(monkeypatch)
    ahead = module._Ahead(module._InMode(None), CUDA)
    ahead.send(batch(0))
    ahead.send(batch(1))
    assert len(ahead.copying) == 2
    recorder.done = {1, 3}
    ahead.send(batch(2))
    assert [event.number for event, _ in ahead.copying] == [5]
    recorder.log.clear()
    ahead.finish()
    assert recorder.log == ["host waits for event 5"]


def test_a_pass_that_is_given_up_waits_for_its_copies(monkeypatch):
    recorder = Recorder(monkeypatch)
    running = module.stage(map(batch, range(5)), None, CUDA)
    next(running)
    recorder.log.clear()
    running.close()
    assert recorder.log == ["host waits for event 1", "host waits for event 3"]


def test_a_trained_front_end_runs_as_its_batch_is_handed_out(monkeypatch):
    recorder = Recorder(monkeypatch)
    front_end = Mode(trainable=True)
    front_end.register_forward_hook(lambda *_: recorder.log.append(f"transform on {recorder.current}"))
    running = module.stage(map(batch, range(3)), front_end, CUDA)
    assert int(next(running).data[0, 0]) == 110
    assert recorder.log.count("transform on consumer") == 1
    assert "transform on work" not in recorder.log
    assert recorder.log.index("transform on consumer") > recorder.log.index("consumer waits for event 2")


@pytest.mark.parametrize("where", ["loader", "transform"])
def test_an_error_comes_after_the_batches_before_it(where, monkeypatch):
    Recorder(monkeypatch)

    def source():
        yield from (batch(0), batch(1))
        if where == "loader":
            raise OSError("the disk is gone")
        yield batch(2)

    def transform(x):
        if values([x]) == [2]:
            raise OSError("the disk is gone")
        return x

    running = module.stage(source(), transform, CUDA)
    assert values([next(running), next(running)]) == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(running)


def test_two_passes_at_once_keep_apart():
    """Two threads, each with its own loader and mode, over one front end in the mode they share."""
    front_end, got = Mode(), {}

    def run(name):
        got[name] = values(ofs.DeviceLoader([batch(value) for value in range(50)], front_end, device="cpu"))

    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got["a"] == got["b"] == [110 + value for value in range(50)]


def test_it_asks_for_nothing_before_its_first_batch_and_shows_what_trainers_look_for():
    loader = plain_loader(0)
    asked = []

    class Asked:
        dataset, batch_sampler = loader.dataset, loader.batch_sampler

        def __iter__(self):
            asked.append(True)
            return iter(loader)

        def __len__(self):
            return len(loader)

    mine = ofs.DeviceLoader(Asked(), device="cpu")
    running = iter(mine)
    assert asked == []
    next(running)
    assert asked == [True]
    assert (mine.dataset, mine.batch_sampler, mine.sampler) == (loader.dataset, *[loader.batch_sampler] * 2)
    mine.set_epoch(3)
    assert loader.batch_sampler.epoch == 3
    assert {value // 100 for batch in ids(mine) for value in batch} == {3}
