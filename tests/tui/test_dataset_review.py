"""Texts for a dataset's check, upload and statistics; images of half blocks."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from rich.console import Console, RenderableType

from taod.types.dataset import (
    BoxFigures,
    CheckState,
    DatasetProblem,
    DatasetReport,
    ImageFigures,
    Spread,
    UploadProgress,
)
from tui.datasets import review
from tui.image_widget import decode_image, fitted, half_blocks


def plain(shown: RenderableType) -> str:
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_problems_are_listed_by_file_and_line_and_the_rest_is_counted() -> None:
    first = [DatasetProblem(f"labels/{n}.txt", n, "no box", "a box") for n in range(40)]
    text = plain(review.report(DatasetReport(CheckState.DONE, "Checked", items=50, problems=99, first=first)))
    assert "labels/3.txt:3" in text
    assert "labels/0.txt " in text, "the whole file: no line"
    assert "labels/30.txt" not in text
    assert "and 69 more" in text
    assert "✓" not in text


def test_a_running_check_shows_progress_and_a_clean_one_shows_that_it_is_clean() -> None:
    assert "running  ━" in plain(review.report(DatasetReport(CheckState.RUNNING, "Reads labels", progress=0.4)))
    assert "40%" in plain(review.report(DatasetReport(CheckState.RUNNING, progress=0.4)))
    clean = DatasetReport(CheckState.DONE, "nothing is wrong", items=3, labels=3, deep=True)
    assert "✓ nothing is wrong\nimages decoded completely" in plain(review.report(clean))
    assert "✓" not in plain(review.report(DatasetReport(CheckState.OUTDATED, "old", items=3)))


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (UploadProgress("d", "receiving", 512, 1024, files=3, unpacked=99), "512 B of 1.0 KiB  uploading  3 files"),
        (UploadProgress("d", "receiving", 512), "512 B  uploading"),
        (UploadProgress("d", "waiting", 512, 1024), "waiting for the next part"),
        (UploadProgress("d", "failed", 1, 2, message="no archive"), "rejected  no archive"),
        (UploadProgress("d", "another"), "another"),
    ],
)
def test_an_upload_as_text(progress: UploadProgress, words: str) -> None:
    assert words in review.upload(progress).plain


def test_statistics_as_text() -> None:
    some = Spread(1.0, 12.0, 480.0)
    assert review.sizes(ImageFigures(1200, some, Spread(30.0, 30.0, 30.0))) == (
        "1 to 480, median 12 wide, 30 high (1,200 measured)"
    )
    assert review.boxes(BoxFigures(1234, some, some, Spread(1, 2, 3))).startswith("1,234: 1 to 480")


@pytest.mark.parametrize(
    ("size", "room", "found"),
    [
        ((40, 20), (40, 99), (40, 10)),
        ((40, 20), (20, 99), (20, 5)),
        ((20, 400), (40, 10), (1, 10)),
        ((400, 1), (40, 10), (40, 1)),
        ((16, 16), (40, 6), (12, 6)),
    ],
)
def test_an_image_keeps_its_proportions(size: tuple[int, int], room: tuple[int, int], found: tuple[int, int]) -> None:
    assert fitted(size, *room) == found


def test_each_cell_holds_one_pixel_over_another() -> None:
    image = Image.new("RGB", (2, 2))
    image.putpixel((0, 0), (255, 0, 0))
    image.putpixel((0, 1), (0, 0, 255))
    text = half_blocks(image, 2, 1)
    assert text.plain == "▀▀"
    style = text.spans[0].style
    assert (style.color.triplet.hex, style.bgcolor.triplet.hex) == ("#ff0000", "#0000ff")  # type: ignore[union-attr]


def test_shares_of_masks_are_listed_the_largest_first() -> None:
    assert review.shares({"background": 0.123456, "roof": 0.876544}) == "roof 87.7%, background 12.3%"
    assert review.shares({str(at): 0.1 for at in range(10)}).endswith("7 10.0% and 2 more")


def test_a_file_that_is_not_an_image_is_reported() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        decode_image(b"no image")
