"""Our member against the usual plain SMP training script: same encoder, crops, batch and number of steps.

    python -m bench.quality camvid PATH [--steps 150] [--seeds 3]
    python -m bench.quality nuclei PATH

The plain script: smp.Unet(resnet18) from random weights, Adam 1e-3, cross-entropy (BCE for nuclei), random crops and
horizontal flips, ImageNet normalisation, whole-image evaluation. Ours: the same network through the recipe's defaults
(dataset statistics, AdamW with warm-up and poly, clipping, EMA, loss + dice, scale and brightness augmentation).
Both answer at native size without TTA; the score is IoU, pixels pooled over all validation images, mean over classes.
camvid: train -> val, 11 classes, value 11 ignored. nuclei: every fifth image by sorted name is validation.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional

from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import build
from maskwright.core.stop import Stop
from maskwright.data.audit import audit
from maskwright.data.dataset import preprocess_for, read_item
from maskwright.data.sources.base import Source, limited
from maskwright.data.sources.open import open_source
from maskwright.inference.predict import predict_image
from maskwright.models.weights import load_model
from maskwright.scoring.counts import Counts, count
from maskwright.scoring.scores import score
from maskwright.training.fit import FoldJob, fit_fold

CROP, BATCH, LIMIT = 192, 8, 10**9
SLIM = {"decoder_channels": [128, 64, 48, 32, 16]}
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Setting:
    """A data set opened for both contestants."""

    recipe: Recipe
    train: Source
    valid: Source
    steps: int


def open_set(name: str, root: Path, steps: int) -> Setting:
    """Open camvid or nuclei."""
    if name == "camvid":
        classes = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "person", "bike"]
        task = {"kind": "multiclass", "classes": classes, "ignore": 11}
        data = {
            "train": {"format": "folder", "images": "train", "masks": "trainannot"},
            "test": {"format": "folder", "images": "val", "masks": "valannot"},
        }
        augment = ["hflip", {"scale_crop": {"scale": [0.75, 1.5]}}, {"brightness_contrast": {"p": 0.5}}]
    else:
        task = {"kind": "binary", "classes": ["nucleus"]}
        table = {"format": "rle_csv", "images": "images", "table": "labels_rle.csv", "order": "column"}
        data = {"train": {**table, "rows": "instance"}}
        augment = ["d4", {"scale_crop": {"scale": [0.75, 1.5]}}, {"brightness_contrast": {"p": 0.5}}]
    member = {
        "model": {"architecture": "unet", "encoder": "resnet18", "options": SLIM},
        "augment": augment,
        "optimizer": {"lr": 2e-3},
        "train": {
            "epochs": 5,
            "steps_per_epoch": steps // 5,
            "batch_size": BATCH,
            "crop": CROP,
            "ema": 0.97,
            "validate_every": 5,
        },
    }
    recipe = build({"name": name, "task": task, "data": {"root": str(root), **data}, "members": {"ours": member}})
    source = open_source(recipe.data.train, root, recipe.task)
    if recipe.data.test is not None:
        return Setting(recipe, source, open_source(recipe.data.test, root, recipe.task), steps)
    held = source.keys[::5]
    return Setting(
        recipe, limited(source, [key for key in source.keys if key not in held]), limited(source, held), steps
    )


def plain(setting: Setting, seed: int) -> float:
    """Train and score the plain script's network."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    task = setting.recipe.task
    model = smp.Unet("resnet18", encoder_weights=None, classes=task.planes, **SLIM).to(
        memory_format=torch.channels_last
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    items = [read_item(setting.train, key, task, LIMIT) for key in setting.train.keys]
    model.train()
    order: list[int] = []
    for _ in range(setting.steps):
        images, labels = [], []
        for _ in range(BATCH):
            order = order or list(rng.permutation(len(items)))
            image, label = plain_sample(items[order.pop()], rng)
            images.append(image)
            labels.append(label)
        x = torch.from_numpy(np.stack(images)).contiguous(memory_format=torch.channels_last)
        y = torch.from_numpy(np.stack(labels))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        logits = logits.float()
        if task.kind == "binary":
            loss = functional.binary_cross_entropy_with_logits(logits[:, 0][y != 255], y[y != 255].float())
        else:
            loss = functional.cross_entropy(logits, y, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return evaluate(setting, lambda image: plain_answer(model, image, task.kind == "binary"))


def plain_sample(item, rng) -> tuple[np.ndarray, np.ndarray]:
    """Crop (padded with zeros where the image is smaller), flip, normalise."""
    label = np.where(item.valid, item.label, 255).astype(np.int64)
    image = (item.image[..., :3].astype(np.float32) / 255 - MEAN) / STD
    rows, cols = max(CROP - image.shape[0], 0), max(CROP - image.shape[1], 0)
    image = np.pad(image, ((0, rows), (0, cols), (0, 0)))
    label = np.pad(label, ((0, rows), (0, cols)), constant_values=255)
    row, col = (int(rng.integers(0, size - CROP + 1)) for size in label.shape)
    image, label = image[row : row + CROP, col : col + CROP], label[row : row + CROP, col : col + CROP]
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    return np.ascontiguousarray(image.transpose(2, 0, 1)), np.ascontiguousarray(label)


@torch.inference_mode()
def plain_answer(model, image: np.ndarray, binary: bool) -> np.ndarray:
    """Pad to a multiple of 32, predict, crop back."""
    model.train(False)
    x = torch.from_numpy(((image[..., :3].astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1))[None]
    height, width = x.shape[-2:]
    logits = model(functional.pad(x, (0, -width % 32, 0, -height % 32)))[0, :, :height, :width]
    return ((logits[0] >= 0) if binary else logits.argmax(0)).numpy().astype(np.uint8)


def ours(setting: Setting, seed: int, folder: Path) -> float:
    """Train and score a member, as `maskwright train` does it."""
    task, member = setting.recipe.task, setting.recipe.members["ours"]
    fingerprint = audit.check(setting.train, task, setting.recipe.data, Silent())
    preprocess = preprocess_for(setting.recipe.data, fingerprint)
    job = FoldJob(
        member=member,
        task=task,
        source=setting.train,
        train_keys=setting.train.keys[:-1],
        valid_keys=setting.train.keys[-1:],  # one image, only so that the trainer has something to validate
        preprocess=preprocess,
        max_pixels=LIMIT,
        seed=seed,
        metric="iou",
    )
    fit_fold(job, folder, Silent(), Stop())
    model, _ = load_model(folder / "last.safetensors")

    def answer(image: np.ndarray) -> np.ndarray:
        probability = predict_image([model], preprocess(image), member.predict, task)
        found = probability[0] >= 0.5 if task.kind == "binary" else probability.argmax(0)
        return found.astype(np.uint8)

    return evaluate(setting, answer)


def evaluate(setting: Setting, answer) -> float:
    """Pool counts over all validation images at native size."""
    task = setting.recipe.task
    total = Counts.zero(task.planes)
    for key in setting.valid.keys:
        item = read_item(setting.valid, key, task, LIMIT)
        total = total + count(item.label, answer(item.image), item.valid, task)
    return score(total, "iou")


def main() -> None:
    """Run both contestants with every seed, in changing order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=["camvid", "nuclei"])
    parser.add_argument("root", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    setting = open_set(chosen.set, chosen.root, chosen.steps)
    found: dict[str, list[float]] = {"plain": [], "ours": []}
    for seed in range(chosen.seeds):
        for name in ("plain", "ours") if seed % 2 == 0 else ("ours", "plain"):
            started = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                value = plain(setting, seed) if name == "plain" else ours(setting, seed, Path(folder))
            found[name].append(value)
            print(f"{chosen.set} seed {seed} {name}: IoU {value:.4f} in {time.monotonic() - started:.0f} s", flush=True)
    for name, values in found.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{chosen.set} {name}: mean IoU {statistics.mean(values):.4f}, standard deviation {spread:.4f}")


if __name__ == "__main__":
    main()
