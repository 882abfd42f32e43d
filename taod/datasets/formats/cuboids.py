"""Reader of object poses: each image has a JSON file of the same name with its objects and the camera.

Source: Lin et al., Single-Stage Keypoint-Based Category-Level Object Pose Estimation (ICRA 2022), the data's format.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from taod import plain_file
from taod.datasets.formats.types import Found, Item, Label, Problem, image_paths, unreadable

_EXPECTED = "camera_data with intrinsics (fx, fy, cx, cy) and camera_projection_matrix, and objects"
_CORNERS = 9
"""The centre and the eight corners of a cuboid."""


class _Intrinsics(msgspec.Struct):
    fx: float
    fy: float
    cx: float
    cy: float


class _Camera(msgspec.Struct):
    intrinsics: _Intrinsics
    camera_projection_matrix: list[list[float]]


class _Object(msgspec.Struct):
    projected_cuboid: list[tuple[float, float]]
    scale: tuple[float, float, float]
    keypoints_3d: list[tuple[float, float, float]]
    location: tuple[float, float, float]
    quaternion_xyzw: tuple[float, float, float, float]
    name: str = "object"


class _Document(msgspec.Struct):
    camera_data: _Camera
    objects: list[_Object]


def read(top: Path) -> Iterator[Found]:
    """The images of every split. An image without a JSON file is a problem: the tool skips it silently."""
    for split in ("train", "val", "test"):
        for path in image_paths(top, split):
            file = str(Path(path).with_suffix(".json"))
            try:
                document = msgspec.json.decode(plain_file.read(top / file), type=_Document)
            except FileNotFoundError:
                yield Problem(path, 0, "the image has no annotations", file)
                yield Item(path)
                continue
            except OSError as error:
                yield unreadable(file, error)
                continue
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                yield Problem(file, 0, str(error), _EXPECTED)
                yield Item(path)
                continue
            for index, found in enumerate(document.objects):
                if len(found.projected_cuboid) != _CORNERS:
                    what = f"objects[{index}]: projected_cuboid has {len(found.projected_cuboid)} points"
                    yield Problem(file, 0, what, f"{_CORNERS}: the centre and eight corners")
            yield Item(path, file, [Label(found.name) for found in document.objects])
