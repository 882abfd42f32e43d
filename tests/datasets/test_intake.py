"""The whole way in: what an upload leaves behind in every outcome, crashes in the swap, linked folders."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from store.records import DatasetRecord
from taod.config import LimitsConfig
from taod.datasets.upload import atomic_replace
from taod.datasets.upload import upload_session as arrival_module
from taod.datasets.upload.ingest import DatasetIngest
from taod.datasets.upload.progress import Stage
from taod.errors import BadRequest, Conflict, NoSpace, TooLarge
from taod.ids import new_id
from taod.paths import Root
from taod.types.dataset import UploadProgress
from tests.patience import PATIENCE_S


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(tmp_path / "root")
    root.make()
    return root


@pytest.fixture
def intake(root: Root) -> DatasetIngest:
    return DatasetIngest(root, LimitsConfig())


@pytest.fixture
def dataset(make_dataset: Callable[..., DatasetRecord]) -> DatasetRecord:
    return make_dataset()


async def body(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 1000):
        yield content[at : at + 1000]


def classes(digits: dict[str, bytes], *more: str) -> dict[str, bytes]:
    """The digits with further classes."""
    tree = dict(digits)
    for name in more:
        tree["classes.txt"] += f"{name}\n".encode()
        tree |= {f"images_{split}/{name}/0.png": b"x" for split in ("train", "val", "test")}
    return tree


async def test_an_upload_comes_to_its_place_stripped_and_summarised(
    intake, root, dataset, digits, pack, files_of
) -> None:
    archive = pack({f"digits/{name}": content for name, content in digits.items()}, "tar.gz")
    summary = await intake.accept(dataset, body(archive))
    assert (summary.state, summary.images, summary.classes) == ("ready", 12, ["one", "two"])
    assert files_of(root.dataset(dataset.id)) == digits
    await intake.settled()
    assert list(root.incoming.iterdir()) == []
    assert not intake.is_busy(dataset.id)


async def test_a_second_upload_takes_the_place_of_the_first(intake, root, dataset, digits, pack, files_of) -> None:
    await intake.accept(dataset, body(pack(classes(digits, "three"))))
    summary = await intake.accept(dataset, body(pack(digits, "zip")))
    assert summary.classes == ["one", "two"]
    assert files_of(root.dataset(dataset.id)) == digits
    await intake.settled()
    assert list(root.incoming.iterdir()) == []


def test_a_fresh_dataset_s_empty_folder_does_not_matter(intake, root, dataset, digits, pack, files_of) -> None:
    root.dataset(dataset.id).mkdir()
    asyncio.run(intake.accept(dataset, body(pack(digits))))
    assert files_of(root.dataset(dataset.id)) == digits


async def test_segmentation_sets_get_their_lists(intake, root, make_dataset, pack, files_of) -> None:
    dataset = make_dataset("semantic_segmentation", "raw")
    tree = {"images/b.png": b"x", "images/a/1.png": b"x", "images/notes.txt": b"x", "masks/b.png": b"x"}
    await intake.accept(dataset, body(pack(tree)))
    files = files_of(root.dataset(dataset.id))
    assert files["images.txt"] == b"images/b.png\nimages/a/1.png\n"
    assert files["masks.txt"] == b"masks/b.png\n"


@pytest.fixture
async def settled(intake, root, dataset, digits, pack, files_of) -> AsyncIterator[DatasetRecord]:
    """A dataset with data; whatever the test does, that data must be there afterwards and nothing else."""
    await intake.accept(dataset, body(pack(digits)))
    await intake.settled()
    yield dataset
    assert list(root.incoming.iterdir()) == []
    assert files_of(root.dataset(dataset.id)) == digits
    assert not intake.is_busy(dataset.id)


async def test_a_rejected_archive_leaves_the_old_data(intake, settled, pack) -> None:
    with pytest.raises(BadRequest, match="climbs out"):
        await intake.accept(settled, body(pack({"a": b"x", "../b": b"x"})))


async def test_a_wrong_layout_leaves_the_old_data(intake, settled, pack) -> None:
    with pytest.raises(BadRequest, match=r"missing: classes\.txt"):
        await intake.accept(settled, body(pack({"images_train/a/1.png": b"x"})))


async def test_an_empty_image_leaves_the_old_data(intake, settled, digits, pack) -> None:
    with pytest.raises(BadRequest, match=r"'images_train/one/0\.png': there is an image of 0 bytes"):
        await intake.accept(settled, body(pack(digits | {"images_train/one/0.png": b""})))


async def test_too_large_an_upload_leaves_the_old_data(root, settled, pack) -> None:
    small = DatasetIngest(root, LimitsConfig(upload_bytes=50))
    with pytest.raises(TooLarge):
        await small.accept(settled, body(pack({"a": b"x"})))


async def test_a_full_disk_at_the_swap_leaves_the_old_data(intake, settled, digits, pack, monkeypatch) -> None:
    real = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name == "tree":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(NoSpace):
        await intake.accept(settled, body(pack(classes(digits, "three"))))


async def test_a_client_that_leaves_while_sending_leaves_the_old_data(intake, settled) -> None:
    async def leaving() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await intake.accept(settled, leaving())


async def test_a_client_that_leaves_while_unpacking_leaves_the_old_data(
    intake, settled, digits, pack, monkeypatch
) -> None:
    """The thread is waited for, so that it writes nothing after the cleaning."""
    loop, unpacking, proceed = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    real = arrival_module.extract

    def held(archive, into, limits, progress, **more):
        loop.call_soon_threadsafe(unpacking.set)
        assert proceed.wait(PATIENCE_S)
        return real(archive, into, limits, progress, **more)

    monkeypatch.setattr(arrival_module, "extract", held)
    task = asyncio.create_task(intake.accept(settled, body(pack(classes(digits, "three")))))
    await asyncio.wait_for(unpacking.wait(), PATIENCE_S)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    proceed.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE_S)


async def test_who_leaves_during_the_swap_is_too_late(
    intake, root, dataset, digits, pack, monkeypatch, files_of
) -> None:
    loop, swapping, proceed = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    real = atomic_replace.replace

    def held(*args):
        loop.call_soon_threadsafe(swapping.set)
        assert proceed.wait(PATIENCE_S)
        return real(*args)

    monkeypatch.setattr(atomic_replace, "replace", held)
    task = asyncio.create_task(intake.accept(dataset, body(pack(digits))))
    await asyncio.wait_for(swapping.wait(), PATIENCE_S)
    task.cancel()
    await asyncio.sleep(0)
    proceed.set()
    assert (await asyncio.wait_for(task, PATIENCE_S)).images == 12
    assert files_of(root.dataset(dataset.id)) == digits


async def test_a_second_upload_at_the_same_time_is_a_conflict(intake, dataset, digits, pack) -> None:
    receiving, proceed = asyncio.Event(), asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        receiving.set()
        await proceed.wait()
        yield pack(digits)

    first = asyncio.create_task(intake.accept(dataset, held()))
    await asyncio.wait_for(receiving.wait(), PATIENCE_S)
    assert intake.is_busy(dataset.id)
    with pytest.raises(Conflict, match="is being uploaded already"):
        await intake.accept(dataset, body(b""))
    proceed.set()
    assert (await asyncio.wait_for(first, PATIENCE_S)).images == 12


async def test_progress_goes_through_the_stages_on_the_loop(intake, dataset, digits, pack) -> None:
    seen: list[UploadProgress] = []
    threads: set[int] = set()

    def on_progress(progress: UploadProgress) -> None:
        seen.append(progress)
        threads.add(threading.get_ident())

    archive = pack(digits)
    await intake.accept(dataset, body(archive), on_progress=on_progress)
    stages = [progress.stage for progress in seen]
    assert list(dict.fromkeys(stages)) == [Stage.RECEIVING, Stage.UNPACKING, Stage.CHECKING]
    assert stages == sorted(stages, key=list(Stage).index)
    assert seen[-1] == UploadProgress(dataset.id, Stage.CHECKING, len(archive), None, 13, seen[-1].unpacked)
    assert threads == {threading.get_ident()}


# Crashes: the states that a kill can leave on disk, made by hand.


def fill(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "data.txt").write_text(text)


async def test_old_data_moved_aside_is_put_back(intake, root) -> None:
    dataset_id = new_id()
    fill(root.incoming / f"old-{dataset_id}", "old")
    fill(root.incoming / new_id() / "tree", "new")
    assert intake.clean() == [dataset_id]
    await intake.settled()
    assert (root.dataset(dataset_id) / "data.txt").read_text() == "old"
    assert list(root.incoming.iterdir()) == []


async def test_old_data_whose_replacement_is_in_is_deleted(intake, root) -> None:
    dataset_id = new_id()
    fill(root.incoming / f"old-{dataset_id}", "old")
    fill(root.dataset(dataset_id), "new")
    assert intake.clean() == []
    await intake.settled()
    assert (root.dataset(dataset_id) / "data.txt").read_text() == "new"
    assert list(root.incoming.iterdir()) == []


async def test_leftovers_of_any_kind_are_deleted_and_nothing_else(intake, root, tmp_path) -> None:
    kept = root.dataset(new_id())
    fill(kept, "kept")
    fill(tmp_path / "outside", "kept")
    fill(root.incoming / "trash-1", "x")
    fill(root.incoming / "old-no-id", "x")
    (root.incoming / "file").write_text("x")
    (root.incoming / "link").symlink_to(tmp_path / "outside")
    assert intake.clean() == []
    await intake.settled()
    assert list(root.incoming.iterdir()) == []
    assert (kept / "data.txt").exists()
    assert (tmp_path / "outside" / "data.txt").exists()


def test_a_crash_after_any_step_of_the_swap_leaves_old_or_new(intake, root, monkeypatch) -> None:
    """Each rename in turn is the last thing that happens."""
    real = Path.rename

    class Crash(BaseException):
        pass

    for steps in range(4):
        dataset_id = new_id()
        fill(root.dataset(dataset_id), "old")
        new = root.incoming / new_id() / "tree"
        fill(new, "new")
        left = steps

        def counted(path: Path, target: Path) -> Path:
            nonlocal left
            if not left:
                raise Crash
            left -= 1
            return real(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", counted)
            try:
                atomic_replace.replace(root, dataset_id, new)
            except Crash:
                assert steps < 3
        intake.clean()
        asyncio.run(intake.settled())
        assert (root.dataset(dataset_id) / "data.txt").read_text() == ("old" if steps < 2 else "new")
        assert list(root.incoming.iterdir()) == []


# Linked folders.


async def test_a_folder_is_linked_where_it_lies_and_not_changed(
    intake, dataset, digits, make_tree, tmp_path, files_of
) -> None:
    tree = {f"inner/{name}": content for name, content in digits.items()}
    folder = make_tree(tree)
    summary = await intake.link(dataset, str(folder), [tmp_path])
    assert (summary.state, summary.path, summary.images) == ("linked", str(folder / "inner"), 12)
    assert files_of(folder) == tree
    again = await intake.link(dataset, str(folder), [tmp_path])
    assert again.fingerprint == summary.fingerprint
    (folder / "inner" / "images_train" / "one" / "new.png").write_bytes(b"x")
    assert (await intake.link(dataset, str(folder), [tmp_path])).fingerprint != summary.fingerprint


async def test_a_tilde_is_the_daemon_s_home(intake, dataset, digits, make_tree, monkeypatch) -> None:
    folder = make_tree(digits)
    monkeypatch.setenv("HOME", str(folder.parent))
    assert (await intake.link(dataset, f"~/{folder.name}", ["~"])).path == str(folder)


async def test_a_segmentation_folder_gets_no_lists(intake, make_dataset, make_tree, tmp_path, files_of) -> None:
    folder = make_tree({"images/1.png": b"x"})
    await intake.link(make_dataset("semantic_segmentation", "raw"), str(folder), [tmp_path])
    assert set(files_of(folder)) == {"images/1.png"}


async def test_folders_that_may_not_be_linked(intake, root, dataset, digits, make_tree, tmp_path) -> None:
    folder = make_tree(digits)
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "escape").symlink_to(folder)
    (allowed / "file").write_text("x")
    outside = "lies outside the folders that may be linked"
    for path, roots, words in [
        (str(folder), [allowed], outside),
        (str(allowed / ".." / folder.name), [allowed], outside),
        (str(allowed / "escape"), [allowed], outside),
        (str(tmp_path / "nowhere"), [allowed], outside),
        (str(folder), [], f"{outside} \\(none\\)"),
        (str(allowed / "nowhere"), [allowed], "is not a folder on the daemon's machine"),
        (str(allowed / "file"), [allowed], "is not a folder on the daemon's machine"),
        ("digits", [tmp_path], "is relative; give an absolute path"),
        ("/a\0b", [tmp_path], "is not usable"),
        (str(root.datasets), [tmp_path], "overlaps the daemon's own folder"),
        (str(tmp_path), [tmp_path], "overlaps the daemon's own folder"),
        (str(allowed), [allowed], "holds '.*/escape', a symbolic link out of the folders that may be linked"),
    ]:
        with pytest.raises(BadRequest, match=words):
            await intake.link(dataset, path, roots)
