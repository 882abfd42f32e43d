"""Pipelines: sizes, randomness that a seed fixes, and errors that name the entry."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")

from runners.engine.classification import settings, transforms  # noqa: E402
from runners.engine.classification.pipeline import Pipeline, evaluation_entries  # noqa: E402
from runners.engine.core.images import upright_rgb  # noqa: E402
from runners.engine.errors import SpecError  # noqa: E402

EVERYTHING: list[dict[str, Any]] = [
    {"type": "LoadImageFromFile"},
    {"type": "RandomCrop", "size": [30, 28], "padding": 2},
    {"type": "RandomRotation", "degrees": 10},
    {"type": "RandomFlip", "flip_prob": 0.5, "direction": "vertical"},
    {"type": "ColorJitter", "brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
    {"type": "RandomGrayscale", "gray_prob": 0.3},
    {"type": "RandomErasing", "erase_prob": 0.5},
    {"type": "Resize", "size": 26},
    {"type": "CenterCrop", "crop_size": 24},
    {"type": "Pad", "size": 25},
    {"type": "RandomResizedCrop", "size": (16, 20)},
    {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    {"type": "ToTensor"},
]


def image(width: int = 40, height: int = 32) -> Any:
    return Image.fromarray(np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_the_table_of_names_and_the_steps_agree() -> None:
    assert set(transforms.STEPS) == set(settings.PIPELINE)
    assert {entry["type"] for entry in EVERYTHING} - set(settings.PIPELINE_SILENT) == set(settings.PIPELINE)


def test_every_step_in_a_row_depends_on_the_seed_alone() -> None:
    pipeline = Pipeline(EVERYTHING, "dataset.data.train")

    same = [pipeline(image(), Random(5)) for _ in range(2)]
    other = pipeline(image(), Random(6))

    assert pipeline.size == (16, 20)
    assert same[0].dtype == np.uint8
    assert same[0].shape == (16, 20, 3)
    assert (same[0] == same[1]).all()
    assert (same[0] != other).any()


def test_normalising_is_left_to_the_batch_and_brought_to_0_255() -> None:
    norm = Pipeline(EVERYTHING, "x").norm

    assert norm is not None
    assert norm.mean == [127.5] * 3
    assert Pipeline([{"type": "CenterCrop", "crop_size": 8}], "x").norm is None


def test_flip_mirrors() -> None:
    flip = transforms.RandomFlip(1.0, "horizontal")

    assert (np.array(flip(image(), Random(0))) == np.array(image())[:, ::-1]).all()


def test_center_crop_of_a_smaller_image_is_padded_with_black() -> None:
    cropped = np.array(transforms.CenterCrop(40)(image(20, 20), Random(0)))

    assert cropped.shape == (40, 40, 3)
    assert (cropped[:10] == 0).all()
    assert (cropped[10:30, 10:30] == np.array(image(20, 20))).all()


def test_resize_of_the_shorter_side_keeps_the_shape() -> None:
    assert transforms.Resize(16)(image(40, 32), Random(0)).size == (20, 16)
    assert transforms.Resize([16, -1])(image(40, 32), Random(0)).size == (20, 16)
    assert transforms.Resize([10, 12])(image(40, 32), Random(0)).size == (12, 10)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"type": "Mixup"}], r"dataset\.data\.train\.pipeline\[0\]\.type 'Mixup' .* RandomResizedCrop"),
        ([{"type": "CenterCrop", "size_of_crop": 3}], r"pipeline\[0\]\.size_of_crop is not known for CenterCrop"),
        ([{"type": "Resize"}], r"pipeline\[0\] \(Resize\) lacks size"),
        ([{"type": "RandomFlip", "flip_prob": 2}], r"flip_prob must lie in \[0, 1\]"),
        ([{"type": "RandomResizedCrop", "size": "big"}], r"pipeline\[0\] \(RandomResizedCrop\)"),
        ([{"type": "Resize", "size": 32}], "unlike sizes"),
        ([], "unlike sizes"),
    ],
)
def test_a_wrong_entry_is_named(entries: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Pipeline(entries, "dataset.data.train")


@pytest.mark.parametrize(
    ("train", "resized", "cropped"),
    [
        ({"type": "RandomResizedCrop", "size": 224}, 256, 224),
        ({"type": "RandomResizedCrop", "size": 32}, 32, 32),
        ({"type": "RandomCrop", "size": 96}, 96, 96),
    ],
)
def test_evaluation_follows_the_train_pipeline(train: dict[str, Any], resized: int, cropped: int) -> None:
    resize, crop = evaluation_entries(Pipeline([train], "x"))

    assert (resize["size"], crop["crop_size"]) == (resized, cropped)


def test_images_of_any_mode_become_rgb() -> None:
    for mode in ("L", "P", "RGBA", "1", "CMYK", "I", "LA"):
        assert upright_rgb(Image.new(mode, (4, 4))).mode == "RGB"
    deep = Image.fromarray(np.full((4, 4), 65535, dtype=np.uint16))
    assert (np.array(upright_rgb(deep)) == 255).all()
