"""Finding images by class folder, and the errors of folders that are not as they must be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("PIL")

from runners.engine.classification import images
from runners.engine.classification.settings import Split
from runners.engine.errors import DataError

Make = Callable[..., Split]


@pytest.fixture
def tree(tmp_path: Path) -> Make:
    def make(classes_file: str | None = None, **folders: list[str]) -> Split:
        for name, files in folders.items():
            (tmp_path / "images" / name).mkdir(parents=True)
            for file in files:
                path = tmp_path / "images" / name / file
                path.parent.mkdir(exist_ok=True)
                path.touch()
        if classes_file is not None:
            (tmp_path / "classes.txt").write_text(classes_file)
        return Split(data_prefix=str(tmp_path / "images"))

    return make


def test_the_classes_file_decides_the_order(tree: Make) -> None:
    found = images.in_classes(tree("dog\ncat\n", cat=["b.png", "a.JPG", "note.txt"], dog=["deep/c.jpeg"]), "w")

    assert found.classes == ["dog", "cat"]
    assert found.names == ["cat/a.JPG", "cat/b.png", "dog/deep/c.jpeg"]
    assert found.labels == [1, 1, 0]


def test_without_a_classes_file_folders_are_sorted(tree: Make) -> None:
    assert images.in_classes(tree(zebra=["a.png"], ant=["b.png"]), "w").classes == ["ant", "zebra"]


def test_the_digest_distinguishes_listings(tree: Make) -> None:
    found = images.in_classes(tree(a=["1.png"], b=["2.png"]), "w")
    Path(found.folder, "a", "3.png").touch()

    assert images.in_classes(Split(data_prefix=found.folder), "w").digest() != found.digest()


def test_errors_name_folder_and_class(tree: Make, tmp_path: Path) -> None:
    split = tree("cat\ndog\n", cat=["a.png"], dog=[], cow=["b.png"])
    with pytest.raises(DataError, match="class folder 'cow', not among the classes file"):
        images.in_classes(split, "dataset.data.train")

    (tmp_path / "images" / "cow" / "b.png").unlink()
    (tmp_path / "images" / "cow").rmdir()
    with pytest.raises(DataError, match="no images of class 'dog'"):
        images.in_classes(split, "dataset.data.train", every=True)
    assert images.in_classes(split, "dataset.data.val").labels == [0]

    (tmp_path / "classes.txt").write_text("cat\ndog\ncat\n")
    with pytest.raises(DataError, match="'cat' more than once"):
        images.in_classes(split, "w")


def test_errors_of_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.data\.train\.data_prefix is not set"):
        images.in_classes(Split(), "dataset.data.train.data_prefix")
    with pytest.raises(DataError, match="is not a folder"):
        images.in_classes(Split(data_prefix=str(tmp_path / "none")), "w")
    with pytest.raises(DataError, match="has no class folders"):
        images.in_classes(Split(data_prefix=str(tmp_path)), "w")
    with pytest.raises(DataError, match="has no images"):
        images.unsorted_images(Split(data_prefix=str(tmp_path)), "w")


def test_a_plain_folder_is_read_at_any_depth(tree: Make) -> None:
    split = tree(a=["1.png"], b=["x/2.png"])

    assert images.unsorted_images(split, "w").names == ["a/1.png", "b/x/2.png"]
