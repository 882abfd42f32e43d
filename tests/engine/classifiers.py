"""Data and specifications of classifiers that train within seconds: shapes, and for several tasks their sizes."""

from __future__ import annotations

import os
from pathlib import Path

from taod.catalogue.network import get_network
from taod.catalogue.schema.merge import merge, over_default
from taod.documents import Document

SIDE = 32
SHAPES = ("circle", "square", "triangle")
_COLOURS = {"circle": (220, 70, 60), "square": (60, 190, 80), "triangle": (70, 90, 230)}

EVERY = "TAOD_EVERY_NETWORK" in os.environ
NETWORKS = ("classification_tf1", "classification_tf2", "multitask_classification")
CHOSEN = NETWORKS if EVERY else ("multitask_classification",)
EPOCHS = {"classification_tf1": 6, "classification_tf2": 12, "multitask_classification": 8}
ACCURACY = {
    "classification_tf1": "validation_accuracy",
    "classification_tf2": "val_accuracy",
    "multitask_classification": "mean accuracy",
}


def write(folder: Path, train: int, held_out: int, *, tables: bool) -> Path:
    """`images_train/`, `images_val/` and, of the same images, `images_test/`; with `tables` train.csv and val.csv, else
    class folders: an evaluation of classification_tf1 reads the inference dataset's where there is one."""
    import numpy as np
    from PIL import Image, ImageDraw

    for split, count in (("train", train), ("val", held_out), ("test", held_out)):
        random = np.random.default_rng(1 if split == "train" else 2)
        rows = ["fname,shape,size"]
        for number in range(count):
            image = Image.fromarray(random.integers(60, 140, (SIDE, SIDE, 3), dtype=np.uint8))
            name, large = SHAPES[number % 3], bool(number // 3 % 2)
            side = (20 if large else 10) * random.uniform(0.85, 1.2)
            left, top = random.uniform(0, SIDE - side, 2)
            box = (left, top, left + side, top + side)
            colour = tuple(int(value + random.integers(-40, 40)) for value in _COLOURS[name])
            draw = ImageDraw.Draw(image)
            if name == "circle":
                draw.ellipse(box, fill=colour)
            elif name == "square":
                draw.rectangle(box, fill=colour)
            else:
                draw.polygon([(left + side / 2, top), (box[2], box[3]), (left, box[3])], fill=colour)
            place = folder / f"images_{split}" / ("" if tables else name) / f"{number:04d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            image.save(place)
            rows.append(f"{number:04d}.png,{name},{'large' if large else 'small'}")
        if tables and split != "test":
            (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return folder


def changes(network: str, epochs: int) -> Document:
    """What to save over the default specification of a training."""
    if network == "classification_tf2":
        return {
            "train": {
                "batch_size_per_gpu": 8, "num_epochs": epochs, "checkpoint_interval": epochs,
                "optim_config": {"lr": 0.01, "decay": 0, "momentum": 0.9},
            },
            "model": {"input_width": 2 * SIDE, "input_height": 2 * SIDE},
        }  # fmt: skip
    model = {"arch": "resnet", "n_layers": 10, "input_image_size": f"3,{SIDE},{SIDE}"}
    if network == "classification_tf1":
        rate = {"learning_rate": 0.02, "soft_start": 0.1, "annealing_points": [0.7], "annealing_divider": 10}
        return {
            "model_config": model,
            "train_config": {
                "batch_size_per_gpu": 8, "n_epochs": epochs, "mixup_alpha": 0.1, "label_smoothing": 0.05,
                "lr_config": {"step": None, "soft_anneal": rate},
            },
            "eval_config": {"top_k": 2},
        }  # fmt: skip
    schedule = {"min_learning_rate": 1e-3, "max_learning_rate": 0.02, "soft_start": 0.1, "annealing": 0.6}
    return {
        "model_config": model,
        "training_config": {
            "batch_size_per_gpu": 8, "num_epochs": epochs, "checkpoint_interval": epochs,
            "learning_rate": {"soft_start_annealing_schedule": schedule},
        },
    }  # fmt: skip


def document(network: str, epochs: int, data: Path) -> Document:
    """The whole specification of a training, for the engine itself."""
    found: Document = merge(over_default(get_network(network), "train", {}), changes(network, epochs))
    train, held_out = f"{data}/images_train", f"{data}/images_val"
    if network == "classification_tf2":
        found["dataset"] |= {"train_dataset_path": train, "val_dataset_path": held_out}
    elif network == "classification_tf1":
        found["train_config"] |= {"train_dataset_path": train, "val_dataset_path": held_out}
        found["eval_config"] |= {"eval_dataset_path": held_out}
    else:
        found["dataset_config"] = {
            "train_csv_path": f"{data}/train.csv",
            "val_csv_path": f"{data}/val.csv",
            "image_directory_path": train,
        }
    return found
