"""Uploads in parts: continued after an interruption, also by the next daemon; what is rejected; when they expire."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from store.records import DatasetRecord
from taod.config import LimitsConfig
from taod.datasets.upload import content_range
from taod.datasets.upload.content_range import Part, RangeRejected
from taod.datasets.upload.digests import parse, parse_hex
from taod.datasets.upload.ingest import DatasetIngest, UploadOptions
from taod.datasets.upload.progress import Stage
from taod.errors import BadRequest, NoSpace, NotFound, TooLarge
from taod.paths import Root
from taod.types.dataset import DatasetSummary, UploadMode, UploadProgress
from tests.patience import PATIENCE_S


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(tmp_path / "root")
    root.make()
    return root


@pytest.fixture
async def intake(root: Root) -> AsyncIterator[DatasetIngest]:
    intake = DatasetIngest(root, LimitsConfig())
    yield intake
    await intake.close()


@pytest.fixture
def dataset(make_dataset: Callable[..., DatasetRecord]) -> DatasetRecord:
    return make_dataset()


@pytest.fixture(params=["tar.gz", "tar", "zip", "tar.zst"])
def archive(request, digits, pack) -> bytes:
    return pack(digits, request.param)


async def body(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 100):
        yield content[at : at + 100]


async def send(intake: DatasetIngest, dataset: DatasetRecord, whole: bytes, start: int, end: int, **more) -> object:
    return await intake.accept_part(dataset, body(whole[start:end]), Part(start, end, len(whole)), **more)


def asks(whole: bytes) -> Part:
    return Part(None, None, len(whole))


async def test_parts_make_a_dataset(intake, root, dataset, digits, archive, files_of) -> None:
    edges = [0, 1, len(archive) // 3, len(archive) - 1]
    for start, end in itertools.pairwise(edges):
        assert await send(intake, dataset, archive, start, end) == end
        assert intake.progress(dataset.id).received == end
        assert not root.dataset(dataset.id).exists()
    summary = await send(intake, dataset, archive, edges[-1], len(archive))
    assert isinstance(summary, DatasetSummary)
    assert summary.images == 12
    assert files_of(root.dataset(dataset.id)) == digits
    assert intake.progress(dataset.id) is None
    await intake.settled()
    assert list(root.incoming.iterdir()) == []


async def test_an_upload_continues_in_the_next_daemon(intake, root, dataset, digits, archive, files_of) -> None:
    half = len(archive) // 2
    await send(intake, dataset, archive, 0, half)
    # The daemon is killed: nothing is closed, and half of the tree lies there.
    after = DatasetIngest(root, LimitsConfig())
    after.clean()
    await after.settled()
    assert [path.name for path in root.incoming.iterdir()] == [f"part-{dataset.id}"]
    assert after.progress(dataset.id) == UploadProgress(dataset.id, Stage.WAITING, half, len(archive))
    assert await after.accept_part(dataset, body(b""), asks(archive)) == half
    options = UploadOptions(sha256=hashlib.sha256(archive).digest())
    summary = await send(after, dataset, archive, half, len(archive), options=options)
    assert summary.images == 12
    assert files_of(root.dataset(dataset.id)) == digits


async def test_the_bytes_of_an_interrupted_part_are_kept(intake, root, dataset, digits, archive, files_of) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield archive[:200]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await intake.accept_part(dataset, breaking(), Part(0, len(archive), len(archive)))
    assert await intake.accept_part(dataset, body(b""), asks(archive)) == 200
    await send(intake, dataset, archive, 200, len(archive))
    assert files_of(root.dataset(dataset.id)) == digits


async def test_all_came_and_the_answer_did_not(root, dataset, digits, archive, files_of) -> None:
    """The daemon ends while it unpacks: the next one brings in what is here when it is asked."""
    intake = DatasetIngest(root, LimitsConfig())
    await send(intake, dataset, archive, 0, 50)
    (root.incoming / f"part-{dataset.id}" / "upload").write_bytes(archive)
    after = DatasetIngest(root, LimitsConfig())
    after.clean()
    summary = await after.accept_part(dataset, body(b""), asks(archive))
    assert summary.images == 12
    await intake.close()


async def test_a_part_out_of_its_place_is_answered_with_what_is_here(intake, dataset, archive) -> None:
    total = len(archive)
    with pytest.raises(RangeRejected, match="no upload is in progress here") as raised:
        await send(intake, dataset, archive, 10, 20)
    assert raised.value.headers == {}
    await send(intake, dataset, archive, 0, 10)
    for start, end in ((5, 20), (20, 30)):
        with pytest.raises(RangeRejected, match=rf"it has 10 of {total} bytes: continue with Content-Range") as raised:
            await send(intake, dataset, archive, start, end)
        assert raised.value.headers == {"Range": "bytes=0-9"}
    with pytest.raises(RangeRejected, match=f"is of {total} bytes; send byte 0 first"):
        await intake.accept_part(dataset, body(b"x"), Part(10, 11, total + 1))
    assert await intake.accept_part(dataset, body(b""), asks(archive)) == 10


async def test_a_part_from_byte_0_on_starts_over(intake, root, dataset, digits, archive, files_of) -> None:
    await intake.accept_part(dataset, body(b"something else"), Part(0, 14, 99))
    await send(intake, dataset, archive, 0, 30)
    await send(intake, dataset, archive, 30, len(archive))
    assert files_of(root.dataset(dataset.id)) == digits


@pytest.mark.parametrize(("sent", "words"), [(15, "has more than 10 bytes"), (5, "has 5 bytes, its range 10")])
async def test_a_part_of_another_length_than_its_range_is_discarded(intake, dataset, archive, sent, words) -> None:
    await send(intake, dataset, archive, 0, 20)
    with pytest.raises(BadRequest, match=words):
        await intake.accept_part(dataset, body(archive[20 : 20 + sent]), Part(20, 30, len(archive)))
    assert await intake.accept_part(dataset, body(b""), asks(archive)) == 20
    assert (await send(intake, dataset, archive, 20, len(archive))).images == 12


async def test_a_damaged_part_is_dropped_and_the_others_stay(intake, root, dataset, digits, archive, files_of) -> None:
    digest = hashlib.sha256(archive[60:120]).digest()
    options = UploadOptions(content_digest=digest)
    await send(intake, dataset, archive, 0, 60)
    with pytest.raises(BadRequest, match="Content-Digest: the part from byte 60 on was damaged"):
        await intake.accept_part(dataset, body(bytes(60)), Part(60, 120, len(archive)), options)
    await send(intake, dataset, archive, 60, 120, options=options)
    await send(
        intake, dataset, archive, 120, len(archive), options=UploadOptions(sha256=hashlib.sha256(archive).digest())
    )
    assert files_of(root.dataset(dataset.id)) == digits


async def test_a_wrong_digest_of_the_whole_leaves_nothing(intake, root, dataset, archive) -> None:
    await send(intake, dataset, archive, 0, 60)
    with pytest.raises(
        BadRequest, match=f"the archive: its SHA-256 is {hashlib.sha256(archive).hexdigest()}, expected"
    ):
        await send(intake, dataset, archive, 60, len(archive), options=UploadOptions(sha256=bytes(32)))
    assert list(root.incoming.iterdir()) == []
    with pytest.raises(BadRequest, match="Content-Digest"):
        await intake.accept(dataset, body(archive), UploadOptions(content_digest=bytes(32)))
    with pytest.raises(BadRequest, match="the archive"):
        await intake.accept(dataset, body(archive), UploadOptions(sha256=bytes(32)))
    assert list(root.incoming.iterdir()) == []
    right = hashlib.sha256(archive).digest()
    assert (await intake.accept(dataset, body(archive), UploadOptions(sha256=right, content_digest=right))).images == 12


async def test_an_entry_that_is_rejected_ends_it_before_the_rest_comes(intake, root, dataset, pack) -> None:
    content = pack({"../a": b"x"} | {f"{n}.bin": bytes(1000) for n in range(100)}, "tar")

    async def endless() -> AsyncIterator[bytes]:
        yield content[:5000]
        await asyncio.Event().wait()

    with pytest.raises(BadRequest, match="climbs out"):
        await asyncio.wait_for(intake.accept(dataset, endless()), PATIENCE_S)
    with pytest.raises(BadRequest, match="climbs out"):
        await asyncio.wait_for(intake.accept_part(dataset, endless(), Part(0, len(content), len(content))), PATIENCE_S)
    await intake.settled()
    assert list(root.incoming.iterdir()) == []
    assert intake.progress(dataset.id) is None


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.zst"])
async def test_files_are_unpacked_before_the_rest_of_the_archive_has_come(intake, dataset, digits, pack, kind) -> None:
    content = pack(digits | {f"images_train/one/big{n}.png": os.urandom(600_000) for n in range(8)}, kind)
    loop = asyncio.get_running_loop()
    unpacked = loop.create_future()

    def report(progress: UploadProgress) -> None:
        if progress.files and progress.received < len(content) and not unpacked.done():
            unpacked.set_result(progress)

    async def held() -> AsyncIterator[bytes]:
        # In pieces, as a batch is written only when it is full; the last bytes wait for files of the first ones.
        for at in range(0, len(content) - 10, 60_000):
            yield content[at : min(at + 60_000, len(content) - 10)]
        await asyncio.wait_for(asyncio.shield(unpacked), PATIENCE_S)
        yield content[-10:]

    summary = await asyncio.wait_for(intake.accept(dataset, held(), on_progress=report), PATIENCE_S)
    assert summary.images == 20
    assert unpacked.result().files >= 1


async def test_what_waits_too_long_is_given_up(root, dataset, archive, tmp_path) -> None:
    limits = LimitsConfig(upload_expiry_s=0.05)
    intake = DatasetIngest(root, limits)
    await send(intake, dataset, archive, 0, 50)
    folder = root.incoming / f"part-{dataset.id}"
    gone = asyncio.Event()
    real = intake._resumable.drop

    async def dropped(dataset_id: str) -> None:
        await real(dataset_id)
        gone.set()

    intake._resumable.drop = dropped
    await asyncio.wait_for(gone.wait(), PATIENCE_S)
    assert not folder.exists()
    assert intake.progress(dataset.id) is None
    # One that an earlier daemon left is judged by its file's age.
    first = DatasetIngest(root, LimitsConfig())
    await send(first, dataset, archive, 0, 50)
    await first.close()
    later = DatasetIngest(root, LimitsConfig(upload_expiry_s=1e-9))
    later.clean()
    await later.settled()
    assert list(root.incoming.iterdir()) == []


async def test_it_can_be_given_up(intake, root, dataset, archive) -> None:
    with pytest.raises(NotFound):
        await intake.give_up(dataset.id)
    await send(intake, dataset, archive, 0, 50)
    await intake.give_up(dataset.id)
    assert list(root.incoming.iterdir()) == []


async def test_after_a_power_cut_only_what_was_flushed_counts(root, dataset, archive, monkeypatch) -> None:
    intake = DatasetIngest(root, LimitsConfig())
    await send(intake, dataset, archive, 0, 50)
    await intake.close()
    with (root.incoming / f"part-{dataset.id}" / "upload").open("ab") as file:
        file.write(bytes(30))
    again = DatasetIngest(root, LimitsConfig())
    again.clean()
    assert again.progress(dataset.id).received == 80
    monkeypatch.setattr(content_range, "boot", lambda: "another")
    again = DatasetIngest(root, LimitsConfig())
    again.clean()
    assert again.progress(dataset.id).received == 50


async def test_limits_are_checked_before_a_byte_is_read(root, dataset) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("a byte was asked for")
        yield b""

    small = DatasetIngest(root, LimitsConfig(upload_bytes=1000))
    with pytest.raises(TooLarge, match=r"has 2000 bytes, over the 1000 of limits\.upload_bytes"):
        await small.accept(dataset, never(), UploadOptions(body_bytes=2000))
    with pytest.raises(TooLarge):
        await small.accept_part(dataset, never(), Part(0, 10, 2000))
    intake = DatasetIngest(root, LimitsConfig(upload_bytes=2**62))
    for attempt in (
        intake.accept(dataset, never(), UploadOptions(body_bytes=2**61)),
        intake.accept_part(dataset, never(), Part(0, 10, 2**61)),
    ):
        with pytest.raises(
            NoSpace, match=f"the upload needs {2**61} bytes, and the disk of .* has \\d+ bytes free; make room"
        ):
            await attempt
    kept = DatasetIngest(root, LimitsConfig(), keep_free=2**61)
    with pytest.raises(NoSpace, match=r"of which storage\.keep_free_bytes keeps"):
        await kept.accept(dataset, never(), UploadOptions(body_bytes=1))
    assert list(root.incoming.iterdir()) == []


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes 0-9/10", Part(0, 10, 10)),
        (" bytes  5-5/10 ", Part(5, 6, 10)),
        ("bytes */10", Part(None, None, 10)),
        (None, None),
    ],
)
def test_content_ranges(header, part) -> None:
    assert content_range.parse(header) == part


@pytest.mark.parametrize(
    "header", ["bytes 0-10/10", "bytes 5-4/10", "bytes 0-9/*", "0-9/10", "bytes=0-9", "lines 0-1/2", ""]
)
def test_content_ranges_that_are_none(header) -> None:
    with pytest.raises(BadRequest, match="Content-Range"):
        content_range.parse(header)


def test_digest_headers() -> None:
    header = "sha-256=:RBNvS1ueLvYHEsjxvMsNH9Ri9Yq7Oiu2LkMBYvqWo5I=:"
    assert len(parse("Repr-Digest", header)) == 32
    assert parse("Repr-Digest", f"sha-512=:AAAA:, {header}") == parse("Repr-Digest", header)
    assert parse("Repr-Digest", None) is None
    for wrong in ("sha-256=abc", "sha-512=:AAAA:", "sha-256=:AAAA:", "sha-256=:A:", "md5", "sha-256=:é:"):
        with pytest.raises(BadRequest, match="Repr-Digest"):
            parse("Repr-Digest", wrong)
    assert parse_hex("sha256", "ab" * 32) == b"\xab" * 32
    with pytest.raises(BadRequest, match="sha256=xyz"):
        parse_hex("sha256", "xyz")


# Adding to what is there.

ADD = UploadOptions(mode=UploadMode.ADD)


@pytest.mark.parametrize("leading", ["", "more/", "a/b/"])
async def test_files_are_added_and_the_new_one_of_two_counts(
    intake, root, dataset, digits, pack, files_of, leading
) -> None:
    await intake.accept(dataset, body(pack(digits)))
    new = {"images_train/one/0.png": b"new", "images_train/two/9.png": b"nine", "notes.txt": b"n"}
    summary = await intake.accept(dataset, body(pack({leading + name: content for name, content in new.items()})), ADD)
    assert summary.images == 13
    assert files_of(root.dataset(dataset.id)) == digits | new
    await intake.settled()
    assert list(root.incoming.iterdir()) == []


async def test_another_split_is_added_without_leading_folders_being_mistaken(
    intake, root, dataset, digits, pack, files_of
) -> None:
    train = {name: content for name, content in digits.items() if "_val" not in name}
    val = {name: content for name, content in digits.items() if "_val" in name}
    await intake.accept(dataset, body(pack(train)))
    await intake.accept(dataset, body(pack(val, "zip")), ADD)
    assert files_of(root.dataset(dataset.id)) == digits


async def test_what_cannot_be_added_leaves_what_is_there(intake, root, dataset, digits, pack, files_of) -> None:
    assert (await intake.accept(dataset, body(pack(digits)), ADD)).images == 12, "nothing is there yet"
    for tree, words in (
        (
            {"images_train/One/1.png": b"x"},
            r"'images_train/One' differs from 'images_train/one', which .* in case only",
        ),
        ({"images_train/one": b"x"}, "'images_train/one' is a file where the dataset has a folder"),
        ({"classes.txt/x": b"x"}, r"'classes\.txt' is a folder where the dataset has a file"),
        ({"images_train/three/1.png": b"x"}, "which classes.txt does not name"),
    ):
        with pytest.raises(BadRequest, match=words):
            await intake.accept(dataset, body(pack(tree)), ADD)
        assert files_of(root.dataset(dataset.id)) == digits
    dataset.state = "linked"
    with pytest.raises(BadRequest, match="which is never changed"):
        await intake.accept(dataset, body(pack(digits)), ADD)


async def test_lists_of_images_are_made_again(intake, root, make_dataset, pack, files_of) -> None:
    dataset = make_dataset("semantic_segmentation", "raw")
    await intake.accept(dataset, body(pack({"images/a.png": b"x", "masks/a.png": b"x"})))
    await intake.accept(dataset, body(pack({"images/b.png": b"x", "masks/b.png": b"x"})), ADD)
    assert files_of(root.dataset(dataset.id))["images.txt"] == b"images/a.png\nimages/b.png\n"


async def test_what_one_dataset_holds_is_not_written_to_through_another_name(
    intake, root, dataset, digits, pack, files_of, tmp_path
) -> None:
    """Data that was added to shares its files with what is moved away, and only with that."""
    await intake.accept(dataset, body(pack(digits)))
    await intake.accept(dataset, body(pack({"images_train/one/9.png": b"x"})), ADD)
    await intake.settled()
    assert {path.stat().st_nlink for path in root.dataset(dataset.id).rglob("*.png")} == {1}


# New data that is in place and not on record.


async def test_a_kill_between_the_swap_and_its_record_is_made_up_for(root, dataset, digits, pack) -> None:
    class Killed(BaseException):
        pass

    def killed(summary: DatasetSummary) -> None:
        raise Killed

    intake = DatasetIngest(root, LimitsConfig())
    with pytest.raises(Killed):
        await intake.accept(dataset, body(pack(digits)), on_placed=killed)
    after = DatasetIngest(root, LimitsConfig())
    after.clean()
    (unrecorded,) = after.unrecorded().items()
    assert unrecorded[0] == dataset.id
    assert (unrecorded[1].state, unrecorded[1].images) == ("ready", 12)
    after.recorded(dataset.id)
    assert after.unrecorded() == {}
    await after.settled()
    assert list(root.incoming.iterdir()) == []


async def test_a_note_of_data_that_never_got_in_place_is_not_believed(root, dataset, digits, pack, monkeypatch) -> None:
    real = Path.rename

    class Killed(BaseException):
        pass

    def killed(path: Path, target: Path) -> Path:
        if path.name == "tree":
            raise Killed
        return real(path, target)

    intake = DatasetIngest(root, LimitsConfig())
    await intake.accept(dataset, body(pack(digits)))
    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(Killed):
        await intake.accept(dataset, body(pack(digits | {"x.txt": b"x"})))
    monkeypatch.setattr(Path, "rename", real)
    after = DatasetIngest(root, LimitsConfig())
    assert after.clean() == [dataset.id]
    assert after.unrecorded() == {}
    assert not (root.dataset(dataset.id) / "x.txt").exists()
