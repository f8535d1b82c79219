"""Trains with one trainer in all the ways that users would, and writes down which clips came when.

Called as ``program.py TRAINER FOLDER``, alone or by torchrun: ``FOLDER/RANK.json`` holds for each way a list of
(epoch, ids of a batch), or the error that it ended with.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import ontheflyspec as ofs

RATE, CLIPS, EPOCHS = 8_000, 60, 3
RANK, WORLD = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def data_set(folder: Path) -> ofs.AudioDataset:
    """Returns clips of unlike length with numbers as targets, written if they are not there."""
    paths = [folder / f"{place:02d}.wav" for place in range(CLIPS)]
    if not folder.exists():
        (made := folder.with_suffix(f".{RANK}")).mkdir()
        draws = np.random.default_rng(0)
        for path in paths:
            soundfile.write(made / path.name, draws.uniform(-0.1, 0.1, draws.integers(800, 8_000)), RATE)
        with contextlib.suppress(OSError):  # another rank was faster
            made.rename(folder)
    return ofs.AudioDataset(paths, list(range(CLIPS)), sample_rate=RATE, progress=False)


class Net(nn.Module):
    """A model that writes down what it sees."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(20, CLIPS)
        self.seen: list[Any] = []
        self.checked: list[Any] = []

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.linear(features.mean(-1))

    def loss(self, pair: Any, epoch: int, model: nn.Module | None = None) -> torch.Tensor:
        """Returns the loss of a batch, by the model that wraps this one if there is one."""
        batch, targets = pair
        (self.seen if self.training else self.checked).append((epoch, batch.ids.tolist()))
        return nn.functional.cross_entropy((model or self)(batch.data), targets)

    def found(self) -> dict[str, Any]:
        return {"seen": self.seen, "checked": self.checked, "weights": self.linear.weight.flatten().tolist()}


class Setting:
    """Loaders of the kinds that users have, each with a fresh sampler."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train, self.valid = data_set(folder / "clips").split(0.8, seed=0, stratify=False)
        self.mel = ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, hop_length=128, n_mels=20)

    def loader(self, kind: str, clips: ofs.AudioDataset) -> Any:
        sampler = ofs.BucketBatchSampler(clips.lengths, max_samples=40_000, shuffle=clips is self.train)
        if kind == "AudioLoader":
            return ofs.AudioLoader(clips, sampler, transform=self.mel)
        if kind == "DeviceLoader":
            plain = DataLoader(clips, batch_sampler=sampler, collate_fn=ofs.collate, num_workers=1)
            return ofs.DeviceLoader(plain, self.mel, device="cpu")
        collate = ofs.Collate(transform=self.mel)
        if kind == "StatefulDataLoader":
            return StatefulDataLoader(clips, batch_sampler=sampler, collate_fn=collate, num_workers=1)
        return DataLoader(clips, batch_sampler=sampler, collate_fn=collate, num_workers=1)

    def loaders(self, kind: str) -> tuple[Any, Any]:
        return self.loader(kind, self.train), self.loader(kind, self.valid)


def torchrun(setting: Setting) -> dict[str, Any]:
    """A loop of one's own, with `set_epoch` and without, and ranks whose lists differ."""
    torch.distributed.init_process_group("gloo")

    def epochs(tells: bool, loader: Any) -> Any:
        net = Net()
        next(iter(loader))  # a look moves nothing
        for epoch in range(EPOCHS):
            if tells:
                loader.set_epoch(epoch)
            for pair in loader:
                net.loss(pair, epoch)
        return net.found()

    def unlike(kind: str) -> Any:
        clips = setting.train.subset(range(len(setting.train) - RANK))
        if kind == "names":  # alike in all lengths
            clips = setting.train.subset([0, 0, 1, 1] if RANK else [0, 0, 0, 1])
            sampler = ofs.BucketBatchSampler([8_000] * 4, max_samples=16_000)
        else:
            sampler = ofs.BucketBatchSampler(clips.lengths, max_samples=40_000)
        if RANK:
            torch.distributed.barrier()  # after the other one has begun
        running = iter(ofs.AudioLoader(clips, sampler))
        try:
            next(running)
        finally:
            if not RANK:
                torch.distributed.barrier()
        return "begun"

    ways = {
        f"{kind} {tells}": (lambda kind=kind, tells=tells: epochs(tells, setting.loader(kind, setting.train)))
        for kind in ("AudioLoader", "DeviceLoader")
        for tells in (True, False)
    }
    ways |= {"unlike lengths": lambda: unlike("lengths"), "unlike names": lambda: unlike("names")}
    return {name: outcome(way) for name, way in ways.items()}


def lightning(setting: Setting) -> dict[str, Any]:
    """`Trainer.fit` with all kinds of loaders, with and without `use_distributed_sampler`; a checkpoint in an epoch."""
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def training_step(self, pair: Any, index: int) -> torch.Tensor:
            return self.net.loss(pair, self.current_epoch)

        def validation_step(self, pair: Any, index: int) -> None:
            if not self.trainer.sanity_checking:
                self.net.loss(pair, self.current_epoch)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}

    def fit(kind: str, stage: str = "whole", **options: Any) -> Any:
        if WORLD > 1:
            options |= {"devices": WORLD, "strategy": "ddp"}
        module, loaders, kept = Module(), setting.loaders(kind), setting.folder / f"{kind}.kept"
        calls = []
        if stage == "first":
            calls = [ModelCheckpoint(kept, save_last=True, every_n_train_steps=1)]
            options["max_steps"] = len(loaders[0]) - 1
        trainer = L.Trainer(max_epochs=EPOCHS, callbacks=calls, enable_checkpointing=bool(calls), **quiet, **options)
        if stage == "rest":
            trainer.fit(module, *loaders, ckpt_path=kept / "last.ckpt", weights_only=False)
        else:
            trainer.fit(module, *loaders)
        return module.net.found()

    found = {
        kind: outcome(lambda kind=kind: fit(kind)) for kind in ("AudioLoader", "DeviceLoader", "StatefulDataLoader")
    }
    for kind in ("AudioLoader", "DeviceLoader", "StatefulDataLoader"):
        for stage in ("whole", "first", "rest"):
            found[f"{kind} {stage}"] = outcome(
                lambda kind=kind, stage=stage: fit(kind, stage, use_distributed_sampler=False)
            )
    return found


def accelerate(setting: Setting) -> dict[str, Any]:
    """`prepare` of loaders and of a DataLoader."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)

    def run(kind: str, tells: bool) -> Any:
        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), 0.01)
        model, optimizer, *loaders = accelerator.prepare(net, optimizer, *setting.loaders(kind))
        for epoch in range(EPOCHS):
            if tells:
                loaders[0].set_epoch(epoch)
            net.train()
            for pair in loaders[0]:
                accelerator.backward(net.loss(pair, epoch, model))
                optimizer.step(), optimizer.zero_grad()
            net.eval()
            for pair in loaders[1]:
                net.loss(pair, epoch)
        return net.found()

    kinds = ("AudioLoader", "DeviceLoader", "DataLoader")
    return {f"{kind} {tells}": outcome(lambda k=kind, t=tells: run(k, t)) for kind in kinds for tells in (True, False)}


def transformers(setting: Setting) -> dict[str, Any]:
    """The Trainer, whole and resumed within an epoch."""
    from benchmarks import peers

    peers.without_extension()
    import transformers as hf

    hf.logging.set_verbosity_error()

    def train(kind: str, stage: str) -> Any:
        net, loaders = Net(), setting.loaders(kind)

        class Trainer(hf.Trainer):
            def get_train_dataloader(self) -> Any:
                return loaders[0]

            def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
                return loaders[1]

            def compute_loss(self, model: Any, inputs: Any, **others: Any) -> torch.Tensor:
                return net.loss(inputs, int(self.state.epoch or 0), model)

            def prediction_step(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
                loss = net.loss(self._prepare_inputs(inputs), round(self.state.epoch or 0) - 1)
                return loss.detach(), None, None

        steps = EPOCHS * len(loaders[0])
        arguments = hf.TrainingArguments(
            str(setting.folder / f"hf {kind}"),
            num_train_epochs=EPOCHS,
            max_steps=len(loaders[0]) - 1 if stage == "first" else steps,
            save_strategy="steps" if stage == "first" else "no",
            save_steps=1,
            eval_strategy="epoch",
            lr_scheduler_type="constant",
            use_cpu=True,
            report_to=[],
            logging_strategy="no",
        )
        trainer = Trainer(net, arguments, train_dataset=setting.train, eval_dataset=setting.valid)
        trainer.remove_callback(hf.ProgressCallback)
        trainer.train(resume_from_checkpoint=stage == "rest")
        return net.found()

    return {
        f"{kind} {stage}": outcome(lambda kind=kind, stage=stage: train(kind, stage))
        for kind in ("AudioLoader", "DeviceLoader")
        for stage in ("whole", "first", "rest")
    }


def outcome(way: Any) -> Any:
    """Returns what a way found, or the error that it ended with."""
    try:
        return way()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    place = Path(sys.argv[2])
    result = globals()[sys.argv[1]](Setting(place))
    (place / f"{RANK}.json").write_text(json.dumps(result))
