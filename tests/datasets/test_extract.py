"""Unpacking: every kind of archive, and everything that is rejected without leaving files."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taod.config import LimitsConfig
from taod.datasets.archive import tree_writer as tree_module
from taod.datasets.archive.extract import extract
from taod.datasets.archive.tree_writer import Stopped
from taod.errors import BadRequest, NoSpace

KINDS = ["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"]
CONTENT = {
    "images/a.png": b"a" * 3000,
    "images/deep/er/b.png": os.urandom(700_000),
    "empty.txt": b"",
    "images/" + "long" * 40 + ".png": b"long",
    "/".join(["folder" * 5] * 6) + "/ü→.txt": b"pax or GNU",
}
MIB = 1024**2


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "into"


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes an archive under a name without a suffix."""

    def write(content: bytes) -> Path:
        file = tmp_path / "upload"
        file.write_bytes(content)
        return file

    return write


@pytest.fixture
def rejection(archive: Callable[[bytes], Path], into: Path) -> Callable[..., str]:
    """Asserts that an archive is rejected and leaves nothing; returns the sentence."""

    def reject(content: bytes, limits: LimitsConfig | None = None) -> str:
        file = archive(content)
        beside = set(into.parent.iterdir())
        with pytest.raises(BadRequest) as raised:
            extract(file, into, limits or LimitsConfig())
        assert set(into.parent.iterdir()) == beside, "something was left"
        return str(raised.value)

    return reject


def tar_of(*members: tarfile.TarInfo | tuple[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_recognised_by_its_content(kind, pack, archive, into, files_of) -> None:
    done = extract(archive(pack(CONTENT, kind)), into, LimitsConfig())
    assert files_of(into) == CONTENT
    assert done == (len(CONTENT), sum(map(len, CONTENT.values())))


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_of_both_tars(format, pack, archive, into, files_of) -> None:
    extract(archive(pack(CONTENT, "tar", format)), into, LimitsConfig())
    assert files_of(into) == CONTENT


@pytest.mark.parametrize("option", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_what_the_tar_program_writes(option, make_tree, tmp_path, into, files_of) -> None:
    tree = {"images/a.png": b"a" * 600, "classes.txt": b"x", "images/" + "n" * 80: b"x"}
    file = tmp_path / "upload"
    subprocess.run(["tar", f"--format={option}", "-C", make_tree(tree), "-cf", file, "."], check=True)
    extract(file, into, LimitsConfig())
    assert files_of(into) == tree


def test_members_glued_together_by_parallel_compressors(pack, archive, into, files_of) -> None:
    plain = pack(CONTENT, "tar")
    for compress in (
        gzip.compress,
        bz2.compress,
        lzma.compress,
        zstandard.ZstdCompressor().compress,
    ):
        glued = b"".join(compress(plain[at : at + 300_000]) for at in range(0, len(plain), 300_000))
        extract(archive(glued), into, LimitsConfig())
        assert files_of(into) == CONTENT
        into.rename(into.parent / f"done-{len(glued)}")


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not installed")
@pytest.mark.parametrize("options", [["-1"], ["-19", "--no-check"], ["--long"], ["--ultra", "-20", "-T2"]])
def test_what_the_zstd_program_writes(options, pack, archive, into, files_of) -> None:
    plain = pack(CONTENT | {"zeros.bin": bytes(3 * MIB)}, "tar")
    packed = subprocess.run(["zstd", *options, "-c"], input=plain, capture_output=True, check=True).stdout
    skippable = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    extract(archive(skippable + packed + skippable), into, LimitsConfig())
    assert files_of(into) == CONTENT | {"zeros.bin": bytes(3 * MIB)}


def test_a_zstd_file_cut_anywhere_is_rejected(pack, rejection) -> None:
    whole = pack({"a.bin": os.urandom(300), "b.bin": bytes(300_000)}, "tar.zst")
    for length in range(1, len(whole)):
        said = rejection(whole[:length])
        assert "truncated" in said or "not an archive of a known kind" in said


def test_modes_and_owners_of_the_archive_are_not_taken_over(archive, into) -> None:
    info = tarfile.TarInfo("run.sh")
    info.mode, info.uid = 0o6777, 12345
    folder = special("bin", tarfile.DIRTYPE)
    folder.mode = 0o7777
    extract(archive(tar_of(info, folder)), into, LimitsConfig())
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((into / "run.sh").stat().st_mode) == 0o644 & ~umask
    assert stat.S_IMODE((into / "bin").stat().st_mode) == 0o755 & ~umask
    assert (into / "run.sh").stat().st_uid == os.getuid()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_leftovers_of_operating_systems_are_left_out(kind, pack, archive, into, files_of) -> None:
    tree = {"a/1.png": b"x", "a/._1.png": b"j", "__MACOSX/a/._1.png": b"j", ".DS_Store": b"j", "a/.keep": b""}
    assert extract(archive(pack(tree, kind)), into, LimitsConfig()).files == 2
    assert files_of(into) == {"a/1.png": b"x", "a/.keep": b""}


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "a/..", ".."])
def test_a_name_that_climbs_out_is_rejected(kind, name, pack, rejection) -> None:
    said = rejection(pack({"fine.txt": b"x", name: b"x"}, kind))
    assert f"archive entry '{name}' climbs out of the archive; pack the folder with relative names" in said


def test_an_absolute_name_is_rejected(rejection, pack) -> None:
    assert "archive entry '/tmp/out.txt' has an absolute name" in rejection(pack({"/tmp/out.txt": b"x"}, "tar"))
    assert "archive entry '/C:/out.txt' has an absolute name" in rejection(pack({"C:\\out.txt": b"x"}, "zip"))


def test_backslashes_in_a_zip_are_separators(pack, archive, into, rejection) -> None:
    assert "climbs out" in rejection(pack({"a\\..\\..\\out.txt": b"x"}, "zip"))
    extract(archive(pack({"images\\a.png": b"x"}, "zip")), into, LimitsConfig())
    assert (into / "images" / "a.png").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.CHRTYPE, "is a character device"),
        (tarfile.BLKTYPE, "is a block device"),
        (tarfile.FIFOTYPE, "is a fifo"),
        (tarfile.GNUTYPE_SPARSE, "is a sparse file"),
        (b"M", "is a part of a multi-volume archive"),
        (b"Z", "is a member of type 'Z'"),
    ],
)
def test_what_is_neither_file_nor_folder_is_rejected(kind, words, rejection) -> None:
    said = rejection(tar_of(("fine.txt", b"x"), special("odd", kind)))
    assert f"archive entry 'odd' {words}; only files and folders are taken" in said


def test_a_device_in_a_zip_is_rejected(rejection) -> None:
    info = zipfile.ZipInfo("dev")
    info.create_system, info.external_attr = 3, (stat.S_IFCHR | 0o600) << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, b"")
    assert "archive entry 'dev' is a device or a fifo" in rejection(out.getvalue())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/etc/passwd", "outside"),
        ("../../etc/passwd", "outside"),
        ("a/../../x", "outside"),
        ("later.txt", "not a file that came before it"),
        ("folder", "not a file that came before it"),
        ("", "not a file that came before it"),
    ],
)
def test_a_link_out_of_the_tree_or_to_nothing_is_rejected(kind, target, words, rejection) -> None:
    said = rejection(
        tar_of(special("folder", tarfile.DIRTYPE), special("link", kind, target), ("later.txt", b"x")),
    )
    assert said.startswith("archive entry 'link': the ")
    assert words in said
    assert "tar --dereference" in said


def test_a_folder_cannot_be_replaced_by_a_link_to_write_through(rejection, tmp_path) -> None:
    said = rejection(tar_of(special("a", tarfile.SYMTYPE, str(tmp_path)), ("a/out.txt", b"x")))
    assert "outside" in said
    assert not (tmp_path / "out.txt").exists()


def test_a_link_inside_becomes_a_second_name(archive, into) -> None:
    extract(
        archive(
            tar_of(
                ("d/a.txt", b"content"),
                special("d/sym.txt", tarfile.SYMTYPE, "a.txt"),
                special("hard.txt", tarfile.LNKTYPE, "./d/a.txt"),
                special("up/sym.txt", tarfile.SYMTYPE, "../d/a.txt"),
            )
        ),
        into,
        LimitsConfig(),
    )
    for name in ("d/sym.txt", "hard.txt", "up/sym.txt"):
        assert (into / name).read_bytes() == b"content"
        assert not (into / name).is_symlink()


def test_links_in_a_zip_follow_the_same_rules(archive, into, rejection) -> None:
    def linked(target: str) -> bytes:
        out = io.BytesIO()
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("a.txt", b"content")
            archive.writestr(info, target)
        return out.getvalue()

    assert "points to '../x', outside" in rejection(linked("../x"))
    extract(archive(linked("a.txt")), into, LimitsConfig())
    assert (into / "link").read_bytes() == b"content"


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("a/Cat.png", "a/cat.png", "archive entry 'a/cat.png' differs from 'a/Cat.png' in case only"),
        ("A/x.png", "a/y.png", "archive entry 'a/y.png' differs from 'A' in case only"),
        ("straße", "STRASSE", "archive entry 'STRASSE' differs from 'straße' in case only"),
        ("a/b", "a/b/c", "archive entry 'a/b/c' is both a file and a folder"),
        ("a/b/c", "a/b", "archive entry 'a/b' is both a file and a folder"),
    ],
)
def test_names_that_collide_are_rejected(kind, first, second, words, pack, rejection) -> None:
    assert words in rejection(pack({first: b"1", second: b"2"}, kind))


def test_a_name_that_comes_twice_is_rejected(rejection) -> None:
    assert "archive entry './a' comes twice" in rejection(tar_of(("a", b"1"), ("./a", b"2")))


def test_a_folder_may_come_twice(archive, into) -> None:
    folder = special("a", tarfile.DIRTYPE)
    extract(archive(tar_of(special(".", tarfile.DIRTYPE), folder, folder, ("a/b", b"x"))), into, LimitsConfig())
    assert (into / "a" / "b").is_file()


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "tar.bz2", "tar.zst", "zip"])
@pytest.mark.slow
def test_a_bomb_is_rejected_by_its_ratio(kind, pack, rejection) -> None:
    said = rejection(pack({f"{n}.bin": bytes(8 * MIB) for n in range(9)}, kind))
    assert "over 200 times its own size" in said
    assert "limits.archive_ratio" in said


@pytest.mark.slow
def test_the_ratio_does_not_count_up_to_64_mib(pack, archive, into) -> None:
    done = extract(archive(pack({f"{n}.bin": bytes(8 * MIB) for n in range(8)}, "tar.xz")), into, LimitsConfig())
    assert done.bytes == 64 * MIB


@pytest.mark.parametrize("kind", KINDS)
def test_the_total_size_is_limited(kind, pack, rejection) -> None:
    said = rejection(pack({"a": os.urandom(1000), "b": os.urandom(1001)}, kind), LimitsConfig(archive_bytes=2000))
    assert "archive entry 'b': with it the archive unpacks to 2001 bytes or more, over the 2000" in said


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_the_number_of_entries_is_limited(kind, pack, rejection) -> None:
    said = rejection(pack({str(n): b"" for n in range(6)}, kind), LimitsConfig(archive_files=5))
    assert "limits.archive_files" in said


def test_folders_count_as_entries_too(rejection) -> None:
    folders = [special(str(n), tarfile.DIRTYPE) for n in range(6)]
    assert "more than 5 entries" in rejection(tar_of(*folders), LimitsConfig(archive_files=5))


def test_a_zip_whose_members_lie_about_their_size_is_rejected(pack, rejection) -> None:
    honest = pack({"a.txt": b"x" * 5000}, "zip")
    lying = honest.replace(struct.pack("<I", 5000), struct.pack("<I", 50))
    assert "cannot be unpacked" in rejection(lying)
    lying = honest.replace(struct.pack("<I", 5000), struct.pack("<I", 50_000))
    assert "cannot be unpacked" in rejection(lying)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_a_truncated_archive_is_rejected(kind, share, pack, rejection) -> None:
    content = pack({f"{n}.bin": os.urandom(20_000) for n in range(20)}, kind)
    # Beyond the end marker a plain tar holds only padding.
    end = len(content) if kind != "tar" else 20 * (512 + 20_480)
    said = rejection(content[: int(end * share)])
    assert "the archive is truncated" in said or "the archive cannot be unpacked" in said


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"])
@pytest.mark.parametrize("cut", [1, 4, 8])
def test_the_last_bytes_missing_are_noticed(kind, cut, pack, rejection) -> None:
    said = rejection(pack({"a.bin": os.urandom(20_000)}, kind)[:-cut])
    assert "truncated" in said or "cannot be unpacked" in said


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"])
def test_a_flipped_byte_is_rejected(kind, pack, rejection) -> None:
    content = bytearray(pack({"a.bin": os.urandom(50_000)}, kind))
    content[len(content) // 2] ^= 0xFF
    assert "the archive cannot be unpacked" in rejection(bytes(content))


def test_a_tar_s_damaged_header_is_rejected(pack, rejection) -> None:
    content = bytearray(pack({"a.txt": b"x", "b.txt": b"y"}, "tar"))
    content[1024] ^= 1
    said = rejection(bytes(content))
    assert "after 1 whole files a header's checksum is wrong" in said


def test_a_compressed_thing_that_is_no_tar_is_rejected(rejection) -> None:
    assert "it is not a tar" in rejection(gzip.compress(b"just a text\n" * 100))


def test_glued_archives_are_rejected(pack, rejection) -> None:
    said = rejection(pack({"a": b"1"}, "tar.gz") + pack({"b": b"2"}, "tar.gz"))
    assert "as when archives are glued together" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the upload is empty (0 bytes)"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(600), "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "a 7z archive"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "an image"),
        (b'{"a": 1}', "it begins with b'{\"a\": 1}'"),
        (bytes(10240), "the archive holds no files"),
    ],
)
def test_what_is_no_archive_is_rejected_with_what_is_known(content, words, rejection) -> None:
    said = rejection(content)
    assert words in said
    assert ".tar.zst or .zip" in said


def test_an_archive_of_folders_only_is_rejected(rejection) -> None:
    assert "the archive holds no files" in rejection(tar_of(special("a", tarfile.DIRTYPE)))


def test_an_encrypted_zip_is_rejected(rejection, pack, tmp_path, make_tree) -> None:
    content = bytearray(pack({"a.txt": b"secret"}, "zip"))
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1
    assert "archive entry 'a.txt' is encrypted; pack it without a password" in rejection(bytes(content))


def test_an_unusual_compression_in_a_zip_is_rejected(rejection) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.txt", b"x" * 100)
    assert "archive entry 'a.txt' is compressed by bzip2; pack it with deflate" in rejection(out.getvalue())


@pytest.mark.slow
def test_a_zip64_s_count_is_read(archive, into, tmp_path) -> None:
    file = tmp_path / "upload"
    with zipfile.ZipFile(file, "w") as out:
        for n in range(0x10001):
            out.writestr(f"{n}", b"")
    with pytest.raises(BadRequest, match="holds 65537 entries, over the 65536"):
        extract(file, into, LimitsConfig(archive_files=0x10000))
    assert not into.exists()


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_too_long_are_rejected(format, rejection) -> None:
    assert "the name is too long" in rejection(tar_of(("n" * 256, b"x"), format=format))
    assert "the name is too long" in rejection(tar_of(("d/" * 65 + "n", b"x"), format=format))
    assert "the name is too long" in rejection(tar_of(("/".join(["n" * 200] * 6), b"x"), format=format))


def test_a_name_that_is_not_utf_8_is_rejected(rejection) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("häuser.txt"))
    assert r"the name 'h\xe4user.txt' is not UTF-8; rename the file" in rejection(out.getvalue())


def test_an_endless_extended_header_is_rejected(rejection) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    assert "an extended header claims" in rejection(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_a_full_disk_is_reported_and_leaves_nothing(pack, archive, into, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tree_module.os, "write", full)
    with pytest.raises(NoSpace, match="the disk is full"):
        extract(archive(pack(CONTENT)), into, LimitsConfig())
    assert not into.exists()


def test_a_cancelled_extraction_stops_and_leaves_nothing(pack, archive, into) -> None:
    cancel = threading.Event()
    seen: list[int] = []

    def progress(files: int, _size: int) -> None:
        seen.append(files)
        cancel.set()

    with pytest.raises(Stopped):
        extract(archive(pack({str(n): b"x" for n in range(100)})), into, LimitsConfig(), progress, cancel)
    assert seen == [0]
    assert not into.exists()


def test_progress_is_reported_ten_times_a_second_at_most_and_at_the_end(pack, archive, into, monkeypatch) -> None:
    now = iter(n / 1000 for n in range(100_000))
    monkeypatch.setattr(tree_module.time, "monotonic", lambda: 1 + next(now))
    seen: list[tuple[int, int]] = []
    extract(archive(pack({str(n): b"xy" for n in range(1000)})), into, LimitsConfig(), lambda *a: seen.append(a))
    assert 9 <= len(seen) <= 12
    assert seen == sorted(seen)
    assert seen[-1] == (1000, 2000)


FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SMALL = {"a/b.txt": b"x" * 700, "a/c.txt": b"y", "d.txt": b""}


def outcome(content: bytes, folder: Path) -> None:
    """Whatever the bytes: unpacked inside, or rejected in one sentence with no files left."""
    file, into = folder / "upload", folder / "into"
    file.write_bytes(content)
    beside = set(folder.iterdir())
    try:
        extract(file, into, LimitsConfig(archive_bytes=MIB, archive_files=100))
    except BadRequest:
        assert set(folder.iterdir()) == beside
    else:
        assert set(folder.iterdir()) == beside | {into}
        shutil.rmtree(into)


@FUZZ
@given(
    kind=st.sampled_from(KINDS),
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.integers(0, 1 << 16),
)
def test_no_damage_leads_to_an_unknown_error(kind, changes, cut, pack, tmp_path) -> None:
    content = bytearray(pack(SMALL, kind))
    for at, value in changes:
        content[at % len(content)] = value
    outcome(bytes(content[: None if cut is None else cut % len(content)]), tmp_path)


PARTS = st.sampled_from(["", ".", "..", "a", "A", "b.txt", "._x", "C:", "\\", "\n", "é", "…", "n" * 90])
NAMES = st.lists(PARTS, max_size=5).map("/".join)


@FUZZ
@given(
    members=st.lists(st.tuples(NAMES, st.sampled_from(b"0123456xgLKSVMD7"), NAMES, st.binary(max_size=60)), max_size=6)
)
def test_no_sound_tar_leads_out_of_the_tree(members, tmp_path) -> None:
    out = b""
    for name, kind, target, content in members:
        info = special(name, bytes([kind]), target)
        info.size = len(content)
        try:
            header = info.tobuf(tarfile.USTAR_FORMAT)
        except ValueError:
            continue
        out += header + (content + bytes(-len(content) % 512) if kind not in b"123456" else b"")
    outcome(out + bytes(1024), tmp_path)
