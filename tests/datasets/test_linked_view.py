"""What a conversion of a linked folder works on: a view of it, which takes the writes that the folder may not get."""

from __future__ import annotations

from pathlib import Path

from taod.datasets.linked_view import refresh

KITTI = ("images/1.png", "labels/1.txt")


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"original {name}")


def seen(folder: Path) -> set[str]:
    """Every file that a tool finds below a folder, links followed."""
    found: set[str] = set()
    for path in folder.iterdir():
        found |= {f"{path.name}/{each}" for each in seen(path)} if path.is_dir() else {path.name}
    return found


def test_the_view_reads_as_the_linked_folder(tmp_path: Path) -> None:
    linked, view = tmp_path / "linked", tmp_path / "view"
    fill(linked, *KITTI, "classes.txt")
    refresh(view, linked, ["tfrecords/*"])
    assert seen(view) == {*KITTI, "classes.txt"}
    assert (view / "labels/1.txt").read_text() == "original labels/1.txt"


def test_outputs_stay_in_the_view_and_are_never_written_through_a_link(tmp_path: Path) -> None:
    linked, view = tmp_path / "linked", tmp_path / "view"
    fill(linked, *KITTI, "tfrecords/tfrecords-0", "tfrecords/notes.md")
    refresh(view, linked, ["tfrecords/*"])
    assert not (view / "tfrecords/tfrecords-0").exists()
    (view / "tfrecords/tfrecords-0").write_text("converted")
    assert (linked / "tfrecords/tfrecords-0").read_text() == "original tfrecords/tfrecords-0"
    refresh(view, linked, ["tfrecords/*"])
    assert (view / "tfrecords/tfrecords-0").read_text() == "converted"


def test_outputs_deep_in_the_folder(tmp_path: Path) -> None:
    linked, view = tmp_path / "linked", tmp_path / "view"
    fill(linked, "train/gt_new.txt", "train/1.png", "character_list")
    refresh(view, linked, ["train/lmdb/*", "test/lmdb/*"])
    (view / "train/lmdb").mkdir(exist_ok=True)
    (view / "train/lmdb/data.mdb").write_text("converted")
    assert seen(linked) == {"train/gt_new.txt", "train/1.png", "character_list"}
    assert seen(view) == {"train/gt_new.txt", "train/1.png", "character_list", "train/lmdb/data.mdb"}
    assert not (view / "test").exists()


def test_outputs_beside_the_inputs(tmp_path: Path) -> None:
    linked, view = tmp_path / "linked", tmp_path / "view"
    fill(linked, "train2017/1.jpg", "train-fold-000-of-001", "coco_spec.json")
    refresh(view, linked, ["train-fold-*", "*mask*"])
    assert seen(view) == {"train2017/1.jpg", "coco_spec.json"}


def test_the_view_follows_the_linked_folder(tmp_path: Path) -> None:
    linked, view = tmp_path / "linked", tmp_path / "view"
    fill(linked, *KITTI, "old.txt")
    refresh(view, linked, ["tfrecords/*"])
    (linked / "old.txt").unlink()
    fill(linked, "images/2.png", "classes.txt")
    refresh(view, linked, ["tfrecords/*"])
    assert seen(view) == {*KITTI, "images/2.png", "classes.txt"}
