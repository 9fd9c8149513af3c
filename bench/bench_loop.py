"""Cost of the training loop itself: ours with everything on beside a bare torch loop, same batches, one thread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from bench.common import Row, contest, row
from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.core.recipe.members import Member, Model, Schedule, Train
from maskwright.core.recipe.trackers import TensorboardTracker
from maskwright.core.stop import Stop
from maskwright.data.dataset import Preprocess, Sample
from maskwright.models.adapt import SegModel
from maskwright.models.build import build_model
from maskwright.training.cluster import Cluster
from maskwright.training.fit import FoldJob, Training
from maskwright.training.loader import read_batches
from maskwright.training.plan import Deal
from maskwright.training.trackers import table
from maskwright.training.trackers.follow import Tracking

ITEMS = 64
EPOCH = 500
"""Steps after which a row, a state and news for the tracker are due."""
NOTE = (
    "floor: bare torch loop with loader; ours: clip, schedule, EMA, JSONL, stop flag, seeds; "
    f"each {EPOCH} steps a CSV row, a state, TensorBoard told by its thread"
)


class Net(torch.nn.Module):
    """A model of almost no cost."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.middle = torch.nn.Sequential(torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, padding=1))
        self.head = torch.nn.Conv2d(8, 3, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.middle(self.encoder(image)))


class Memory(Dataset[Any]):
    """Samples that are there already, by number or by ticket."""

    def __init__(self, side: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(ITEMS, 3, side, side, generator=generator)
        self.labels = torch.randint(0, 3, (ITEMS, side, side), generator=generator)
        self.valid = torch.ones(ITEMS, side, side, dtype=torch.bool)

    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, ticket: Any) -> Sample:
        index = (ticket if isinstance(ticket, int) else ticket[1]) % ITEMS
        return Sample(
            image=self.images[index], label=self.labels[index], valid=self.valid[index], index=index, log_size=0.0
        )


class Bench(Training):
    """Our training, reading from memory."""

    def __init__(self, make: Callable[[], SegModel], memory: Memory, job: FoldJob, folder: Path) -> None:
        self.make, self.memory = make, memory
        super().__init__(job, folder, Silent(), Stop(), Cluster())

    def build(self) -> SegModel:
        torch.manual_seed(0)
        return self.make().to(memory_format=torch.channels_last).train()

    def samples(self) -> Memory:
        return self.memory

    def close(self) -> None:
        """Let the tracker and the records end."""
        self._let_go(finished=True)
        assert self.records is not None
        self.records.close()


class Nothing:
    """A source that nobody reads."""

    keys = tuple(f"item_{number:03d}" for number in range(ITEMS))


def with_everything(make: Callable[[], SegModel], memory: Memory, folder: Path) -> Bench:
    """Return a training with clipping, schedule, average, records, a tracker, states, stop flag, seeds, checks."""
    train = Train(epochs=1000, steps_per_epoch=EPOCH, batch_size=4, clip=1.0, ema=0.999, precision="fp32", crop=16)
    job = FoldJob(
        member=Member(model=Model(), train=train, schedule=Schedule(warmup=100), loss={"cross_entropy": 1.0}),
        task=Task(kind="multiclass", classes=("a", "b", "c")),
        source=Nothing(),  # type: ignore[arg-type]
        train_keys=Nothing.keys,
        valid_keys=(),
        preprocess=Preprocess((0, 1, 2), 1.0, (0.0,) * 3, (1.0,) * 3),
        max_pixels=1,
        seed=0,
        metric="iou",
        facts={"member": "bench", "fold": 0},
        tracking=Tracking((TensorboardTracker(),), folder, "bench", {}, table.make),
    )
    return Bench(make, memory, job, folder / "members" / "bench" / "fold-0")


def ours(training: Bench, steps: int) -> Callable[[], None]:
    """Return a callable that takes some steps."""
    batches = read_batches(training.samples(), Deal(training.plan, 0, 0, 1), 0, pin=False)

    def run() -> None:
        with Silent().task("", 0) as tick:
            for _ in range(steps):
                training.take_step(batches, tick)

    return run


def bare(make: Callable[[], SegModel], memory: Memory, steps: int) -> Callable[[], None]:
    """Return a callable that takes some steps of the loop in every tutorial: loader, loss, backward, AdamW."""
    torch.manual_seed(0)
    model = make().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    loss_of = torch.nn.CrossEntropyLoss()

    def endless() -> Iterator[Any]:
        while True:
            yield from DataLoader(memory, batch_size=4, shuffle=True)

    batches = endless()

    def run() -> None:
        for _ in range(steps):
            batch = next(batches)
            loss = loss_of(model(batch["image"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def rows() -> list[Row]:
    """Compare on a model of almost no cost, where overhead is all there is, and on a real one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    cases = [
        ("training step, tiny model", 16, 20, lambda: SegModel(Net(), 1, 1), 1.3),
        ("training step, Unet-resnet18 at 128", 128, 1, lambda: build_model(Model(encoder="resnet18"), 3, 3), 1.1),
    ]
    made = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, side, steps, make, target in cases:
                memory = Memory(side)
                training = with_everything(make, memory, Path(folder) / name)
                contestants = {"ours": ours(training, steps), "floor": bare(make, memory, steps)}
                try:
                    times = contest(contestants, rounds=15)
                finally:
                    training.close()
                made.append(
                    row(name, {who: seconds / steps for who, seconds in times.items()}, target=target, note=NOTE)
                )
    finally:
        torch.set_num_threads(before)
    return made
