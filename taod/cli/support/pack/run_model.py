#!/usr/bin/env python3
"""Run the model of this folder on images: `python run_model.py IMAGE...`; needs numpy, pillow and onnxruntime.

Reads model.json. A classifier prints the best classes of each image, a detector its boxes in pixels; a segmenter writes
the mask of class numbers, and a detector the image with its boxes, into the folder that --output names.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageOps

Document = dict[str, typing.Any]

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "nearest_neighbor": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
}
TOP = 5
OTHER_STAGES = (
    "LoadImageFromFile",
    "Normalize",
    "ImageToTensor",
    "ToTensor",
    "Collect",
    "PackClsInputs",
    "PackInputs",
    "DefaultFormatBundle",
)
"""Steps of a pipeline that do not change the size of an image."""


def fitted(image: Image.Image, about: Document, width: int, height: int) -> tuple[Image.Image, tuple[int, int]]:
    """The image at the model's size, and the (width, height) that its content has within it."""
    if str(about.get("channels")).startswith("grey"):
        image = image.convert("L").convert("RGB")
    if "pipeline" in about:
        for step in about["pipeline"]:
            image = apply(step, image)
        return image, image.size
    fit = about.get("fit", {})
    factor = min(width / image.width, height / image.height)
    if "shorter" in fit:
        factor = min(factor, fit["shorter"] / min(image.size))
    inner = (
        (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        if fit.get("keep_ratio")
        else (width, height)
    )
    image = image.resize(inner, RESAMPLING[fit.get("method", "bilinear").lower()])
    return image.crop((0, 0, width, height)), inner


def apply(step: Document, image: Image.Image) -> Image.Image:
    """One step of a classifier's pipeline."""
    kind = step["type"]
    if kind == "Resize":
        size = step["size"]
        sides = [size, -1] if isinstance(size, int) else [*size, -1][:2]
        if sides[1] == -1:
            factor = sides[0] / min(image.size)
            target = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        else:
            target = (sides[1], sides[0])
        return image.resize(target, RESAMPLING[step.get("interpolation", "bilinear")])
    if kind in ("CenterCrop", "Pad"):
        size = step["crop_size"] if "crop_size" in step else step["size"]
        height, width = (size, size) if isinstance(size, int) else size
        if kind == "Pad":
            return image.crop((0, 0, max(width, image.width), max(height, image.height)))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))
    if kind in OTHER_STAGES or (kind == "RandomGrayscale" and step.get("gray_prob") == 1.0):
        return image
    raise SystemExit(f"model.json: the step {kind} of the pipeline is not known here")


def prepared(image: Image.Image, about: Document, shape: list[int]) -> tuple[np.ndarray, tuple[int, int]]:
    """The input [1, channels, height, width] of an image, and the size of its content in it."""
    channels, height, width = shape[1:]
    small, inner = fitted(image, about, width, height)
    pixels = np.asarray(small.convert("L") if channels == 1 else small, dtype=np.float32).reshape(
        height, width, channels
    )
    if about.get("channels") == "blue, green, red":
        pixels = pixels[..., ::-1]
    mean, std = (np.asarray(about[key], dtype=np.float32) for key in ("mean", "std"))
    return ((pixels - mean) / std).transpose(2, 0, 1)[None].astype(np.float32), inner


def classify(model: Document, logits: np.ndarray) -> list[str]:
    """The best classes of an image with their probabilities, a line for each task."""
    lines, start = [], 0
    for task in model["postprocessing"].get("tasks") or [{"name": "", "classes": model["classes"]}]:
        own = logits[start : start + len(task["classes"])]
        start += len(task["classes"])
        shares = np.exp(own - own.max())
        shares /= shares.sum()
        best = [f"{task['classes'][index]} {shares[index]:.4f}" for index in np.argsort(-shares, kind="stable")[:TOP]]
        lines.append(f"{task['name']} {', '.join(best)}".strip())
    return lines


def main() -> None:
    """Run the model on the images of the command line."""
    parser = argparse.ArgumentParser(description="Run the model of this folder on images.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--output", type=Path, default=Path("predictions"), help="folder for masks and drawn boxes")
    parser.add_argument("--confidence", type=float, default=0.3, help="least score of a detection")
    given = parser.parse_args()
    here = Path(__file__).resolve().parent
    model = json.loads((here / "model.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(str(here / model["file"]), providers=onnxruntime.get_available_providers())
    task, entry = model["task"], model["inputs"][0]
    for path in given.images:
        try:
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
        except OSError as error:
            sys.exit(f"{path} cannot be read: {error}")
        pixels, inner = prepared(image, model["preprocessing"], entry["shape"])
        outputs = session.run(None, {entry["name"]: pixels})
        if task == "classification":
            for line in classify(model, outputs[0][0]):
                print(f"{path}: {line}")
        elif task == "segmentation":
            numbers = outputs[0][0].argmax(axis=0).astype(np.uint8)[: inner[1], : inner[0]]
            mask = Image.fromarray(numbers).resize(image.size, Image.Resampling.NEAREST)
            given.output.mkdir(parents=True, exist_ok=True)
            target = given.output / f"{path.stem}.png"
            mask.save(target)
            shares = np.bincount(np.asarray(mask).ravel(), minlength=len(model["classes"])) / (mask.width * mask.height)
            found = [f"{name} {share:.1%}" for name, share in zip(model["classes"], shares) if share]  # noqa: B905
            print(f"{path}: {', '.join(found)}; mask in {target}")
        else:
            detect(model, path, image, outputs, inner, given.output, given.confidence)


def detect(
    model: Document,
    path: Path,
    image: Image.Image,
    outputs: list[np.ndarray],
    inner: tuple[int, int],
    folder: Path,
    confidence: float,
) -> None:
    """Print the detections of an image in pixels of its file, and draw them."""
    count, boxes, scores, classes = (np.asarray(part)[0] for part in outputs[:4])
    factors = np.array([image.width / inner[0], image.height / inner[1]] * 2)
    drawing = ImageDraw.Draw(image)
    for row in range(int(np.reshape(count, -1)[0])):
        if scores[row] < confidence:
            continue
        left, top, right, bottom = np.clip(boxes[row] * factors, 0, [image.width, image.height] * 2)
        name = model["classes"][int(classes[row])]
        print(f"{path}: {name} {scores[row]:.4f} {left:.1f} {top:.1f} {right:.1f} {bottom:.1f}")
        if len(outputs) > 4:
            mask = Image.fromarray((outputs[4][0, row] * 255).astype(np.uint8))
            inside = mask.resize((max(1, round(right - left)), max(1, round(bottom - top))), RESAMPLING["bilinear"])
            image.paste("lime", (round(left), round(top)), inside.point(lambda value: 96 if value > 127 else 0))
        drawing.rectangle((left, top, right, bottom), outline="lime", width=2)
        drawing.text((left + 2, top + 1), name, fill="lime")
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{path.stem}.png")


if __name__ == "__main__":
    main()
