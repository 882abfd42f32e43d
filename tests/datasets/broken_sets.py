"""Broken datasets of each type and format: what was changed in a valid one, under a name that describes it.

The exact error texts are under the same names in rejections.txt.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.clients.archives import COCO, FILES, PNG

Files = dict[str, bytes]
Change = Callable[[Files], Files]
Kind = tuple[str, str]

RETAIL = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"


SPLITS = ("train", "val", "test")
POSE = ("train_data.npy", "train_label.pkl", "val_data.npy", "val_label.pkl")

_ODVG_FILES = {
    "images/1.png": PNG,
    "annotations_odvg.jsonl": b"",
    "annotations_odvg_labelmap.json": b"{}",
}
SETS: dict[Kind, Files] = FILES | {
    ("instance_segmentation", "coco_raw"): {"images/1.png": PNG, "label_map.txt": b"car\n"},
    ("semantic_segmentation", "coco"): {"images/1.png": PNG, "annotations.json": COCO},
    ("semantic_segmentation", "raw"): {"images/1.png": PNG},
    ("object_detection", "odvg"): _ODVG_FILES,
    ("instance_segmentation", "odvg"): _ODVG_FILES,
    ("instance_segmentation", "coco_panoptic"): {
        "images/1.png": PNG,
        "images_panoptic/1.png": PNG,
        "annotations_panoptic.json": b"{}",
    },
    ("centerpose", "default"): {
        f"{split}/1.{suffix}": content for split in SPLITS for suffix, content in (("png", PNG), ("json", b"{}"))
    },
    ("depth_net_mono", "default"): {"images/1.png": PNG, "annotations.txt": b"images/1.png\n"},
    ("depth_net_stereo", "default"): {
        "images/1.png": PNG,
        "images/2.png": PNG,
        "annotations.txt": b"images/1.png images/2.png\n",
    },
    ("visual_changenet_segment", "default"): {f"{folder}/1.png": PNG for folder in ("A", "B", "label")}
    | {"list/train.txt": b"1.png\n"},
    ("image_classification", "ssl"): {f"images_{split}/1.png": PNG for split in ("train", "val", "test")},
}
"""A valid set of each type and format."""


def moved(*pairs: tuple[str, str]) -> Change:
    """Each path, or all below one that ends in `/`, is moved."""

    def change(files: Files) -> Files:
        found = {}
        for name, content in files.items():
            old, new = next(((old, new) for old, new in pairs if name == old or name.startswith(old)), ("", ""))
            found[new + name.removeprefix(old)] = content
        assert set(found) != set(files), pairs
        return found

    return change


def gone(*paths: str, and_put: Files | None = None) -> Change:
    """Paths, or all below those that end in `/`, are left out; others may take their places."""

    def change(files: Files) -> Files:
        kept = {name: content for name, content in files.items() if not name.startswith(paths)}
        assert len(kept) < len(files), paths
        return kept | (and_put or {})

    return change


def put(**contents: bytes) -> Change:
    """Files at the top have another content; a name's dot is written as two underscores."""
    return lambda files: files | {name.replace("__", "."): content for name, content in contents.items()}


def only(**contents: bytes) -> Change:
    """Only these files at the top."""
    return lambda files: {name.replace("__", "."): content for name, content in contents.items()}


def deeper(files: Files) -> Files:
    """All of it lies in one of two folders, so that none is a leading one."""
    return {f"set/{name}": content for name, content in files.items()} | {"scripts/run.py": b"print()\n"}


def nothing(files: Files) -> Files:
    """An archive with no file."""
    return {}


_BARE = {
    "images in capitals": moved(("images/", "Images/")),
    "images misspelt": moved(("images/", "image/")),
    "images is a file": gone("images/", and_put={"images": PNG}),
    "images is empty": gone("images/", and_put={"images/": b""}),
    "no image among the images": gone("images/", and_put={"images/1.npy": b"x", "images/notes.txt": b"x"}),
    "images at the top": gone("images/", and_put={"1.png": PNG}),
}
"""What goes wrong with images/ whatever the labels are."""


def _some(*names: str) -> dict[str, Change]:
    return {name: _BARE[name] for name in names}


_COCO = {
    "annotations misspelt": moved(("annotations.json", "annotation.json")),
    "annotations in capitals": moved(("annotations.json", "annotations.JSON")),
    "annotations in a folder": moved(("annotations.json", "annotations/instances.json")),
    "a box of NaN": put(annotations__json=b'{"annotations": [\n{"category_id": 1, "bbox": [NaN, 1, 2, 3]}]}'),
    "a category that is not UTF-8": put(annotations__json=b'{"categories": [{"name": "caf\xe9"}]}'),
    "annotations cut off": put(annotations__json=b'{"images": [],\n"annotations": ['),
    "annotations are no JSON": put(annotations__json=b'{\n\n"images": [}'),
    "annotations of another form": put(annotations__json=b'{"annotations": [\n{"category_id": "car"}]}'),
    "annotations are a list": put(annotations__json=b"[]"),
}
_MAP = {
    "no label map": gone("label_map.txt"),
    "label map in capitals": moved(("label_map.txt", "Label_Map.txt")),
    "label map among the images": moved(("label_map.txt", "images/label_map.txt")),
    "a folder too deep": deeper,
}
_ODVG = {
    "boxes of COCO": gone("annotations", and_put={"annotations.json": b"{}"}),
    "no label map": gone("annotations_odvg_labelmap.json"),
    "boxes under another suffix": moved(("annotations_odvg.jsonl", "annotations_odvg.json")),
    "label map as text": moved(("annotations_odvg_labelmap.json", "label_map.txt")),
}
_IMAGES = {name: gone("images", and_put=files) for name, files in {
    "folders of another tool": {"train/cat/1.png": PNG, "val/cat/1.png": PNG},
    "class folders at the top": {"cat/1.png": PNG, "dog/1.png": PNG},
    "images is a file": {"images_train": b""},
}.items()}  # fmt: skip

BROKEN: dict[Kind, dict[str, Change]] = {
    ("object_detection", "kitti"): {
        "labels in capitals": moved(("labels/", "Labels/")),
        "labels is a file": gone("labels/", and_put={"labels": b"car 0 0\n"}),
        "labels of another format": moved(("labels/1.txt", "labels/1.xml")),
        "labels is empty": gone("labels/", and_put={"labels/": b""}),
        "labels beside the images": moved(("labels/", "images/")),
        "a folder too deep": deeper,
        "nothing of it": only(README__md=b"x"),
        "an archive of nothing": nothing,
    },
    ("object_detection", "coco"): _COCO | _some("images in capitals", "images is empty"),
    ("object_detection", "raw"): _BARE,
    ("object_detection", "coco_raw"): _MAP | _some("images is a file"),
    ("object_detection", "odvg"): _ODVG | _some("images in capitals"),
    ("instance_segmentation", "odvg"): _ODVG | _some("images is empty"),
    ("instance_segmentation", "coco_panoptic"): {
        "instances of COCO": moved(("annotations_panoptic.json", "annotations.json")),
        "no segments": gone("images_panoptic/"),
        "segments under another name": moved(("images_panoptic/", "panoptic/")),
        "segments of another format": moved(("images_panoptic/1.png", "images_panoptic/1.jpg")),
    },
    ("instance_segmentation", "coco"): _COCO | _some("images is a file", "no image among the images"),
    ("instance_segmentation", "raw"): _BARE,
    ("instance_segmentation", "coco_raw"): _MAP | _some("images misspelt"),
    ("semantic_segmentation", "unet"): {
        "no masks": gone("masks/"),
        "no masks of a split": gone("masks/val/"),
        "a split in capitals": moved(("images/test/", "images/Test/")),
        "splits at the top": moved(("images/", "")),
        "masks is a file": gone("masks/", and_put={"masks": PNG}),
        "no split has images": gone("images/", and_put={f"images/{split}/": b"" for split in SPLITS}),
    },
    ("semantic_segmentation", "coco"): _COCO | _some("images in capitals"),
    ("semantic_segmentation", "raw"): _BARE,
    ("image_classification", "default"): _IMAGES | {
        "images in no class folder": gone("images_", and_put={"images_train/1.png": PNG}),
        "two folders of which one is meant": moved(("images_test/", "images/")),
        "no images but empty classes": gone("images_", and_put={"images_val/cat/": b"", "notes.txt": b"x"}),
        "no image in any class": gone("images_", and_put={"images_train/cat/1.txt": b"x"}),
        "an empty image": gone("images_", and_put={"images_train/cat/1.png": b""}),
    },
    ("image_classification", "raw"): _IMAGES | {
        "two folders of which one is meant": gone("images", and_put={"images/1.png": PNG, "images_more/1.png": PNG}),
        "no image": gone("images", and_put={"images/1.txt": b"x"}),
        "an empty image": gone("images", and_put={"images/1.png": b""}),
    },
    ("image_classification", "ssl"): {
        "splits of another tool": moved(*((f"images_{split}/", f"{split}/") for split in SPLITS)),
        "two folders of which one is meant": moved(("images_val/", "images/")),
        "no image": gone("images_", and_put={"images_train/1.txt": b"x"}),
        "an empty image": gone("images_", and_put={"images_train/1.png": b""}),
    },
    ("image_classification", "custom"): {
        "no table of validation": gone("val.csv"),
        "no table of training": gone("train.csv"),
        "table in capitals": moved(("val.csv", "val.CSV")),
        "no images": gone("images_"),
        "table among the images": moved(("val.csv", "images_val/val.csv")),
    },
    ("image_classification", "classification_pyt"): {
        "no classes.txt": gone("classes.txt"),
        "classes.txt in capitals": moved(("classes.txt", "Classes.txt")),
        "classes.txt misspelt": moved(("classes.txt", "class.txt")),
        "classes.txt is empty": put(classes__txt=b"\n"),
        "classes.txt lacks a class": put(classes__txt=b"cat\n"),
        "classes.txt names one too many": put(classes__txt=b"cat\ndog\nbird\n"),
        "classes.txt names one twice": put(classes__txt=b"cat\ndog\ncat\n"),
        "classes.txt is no text": put(classes__txt=b"cat\n\xff\n"),
        "no images": gone("images_"),
    },
    ("character_recognition", "lprnet"): {
        "no characters": gone("characters.txt"),
        "characters misspelt": moved(("characters.txt", "character.txt")),
        "folders of another type": moved(("image/", "images/"), ("label/", "labels/")),
        "labels of another format": moved(("label/1.txt", "label/1.json")),
        "no image": moved(("image/1.png", "image/1.pdf")),
    },
    ("character_recognition", "raw"): {
        "image misspelt": moved(("image/", "images/")),
        "image in capitals": moved(("image/", "IMAGE/")),
        "image is a file": gone("image/", and_put={"image": PNG}),
        "no image": gone("image/", and_put={"image/": b""}),
    },
    ("ocrnet", "default"): {
        "no characters": gone("character_list"),
        "characters as text": moved(("character_list", "character_list.txt")),
        "no list": gone("train/gt_new.txt", "test/gt_new.txt"),
        "no list of the only split": gone("train/gt_new.txt", "test/"),
        "a folder for a list": gone("train/gt_new.txt", "test/", and_put={"train/gt_new.txt/1.txt": b"1"}),
        "lists under another name": moved(("train/gt_new.txt", "train/gt.txt"), ("test/gt_new.txt", "test/gt.txt")),
        "lists at the top": gone("train/", "test/", and_put={"gt_new.txt": b"1.png\tA1\n", "1.png": PNG}),
    },
    ("ocdnet", "default"): {
        "no images of the only split": gone("test/", "train/img/"),
        "no truth of the only split": gone("test/", "train/gt/"),
        "no images of the only split, test": gone("train/", "test/img/"),
        "no truth of the only split, test": gone("train/", "test/gt/"),
        "half of each split": gone("test/img/", "train/gt/"),
        "no split": moved(("train/", ""), ("test/", "old/")),
        "splits in capitals": moved(("train/", "Train/"), ("test/", "Test/")),
        "no image": moved(("train/img/1.png", "train/img/1.txt"), ("test/img/1.png", "test/img/1.txt")),
    },
    ("optical_inspection", "default"): {
        "no table": gone("dataset.csv"),
        "table misspelt": moved(("dataset.csv", "datasets.csv")),
        "table among the images": moved(("dataset.csv", "images/dataset.csv")),
        "images in capitals": moved(("images/", "Images/")),
        "no image": moved(("images/a/1.png", "images/a/1.raw")),
    },
    ("ml_recog", "default"): {
        "without the leading folders": moved((f"{RETAIL}/", "")),
        "no unknown classes": gone(f"{RETAIL}/unknown_classes/"),
        "classes in capitals": moved((f"{RETAIL}/known_classes/", f"{RETAIL}/Known_Classes/")),
        "no image": gone(RETAIL, and_put={f"{RETAIL}/{known}_classes/": b"" for known in ("known", "unknown")}),
    },
    ("bpnet", "default"): {
        "no skeleton": gone("bpnet_18joints.json"),
        "annotations at the top": moved(("annotations/", "")),
        "annotations of one split": gone("annotations/person_keypoints_val2017.json"),
        "folders without the year": moved(("train2017/", "train/"), ("val2017/", "val/")),
        "specification under another suffix": moved(("infer_spec.yaml", "infer_spec.yml")),
        "no image": gone("train2017/", "val2017/", and_put={"train2017/": b"", "val2017/": b""}),
    },
    ("fpenet", "default"): {
        "no data.json": gone("data.json"),
        "no list of faces": gone("data/afw/afw.json"),
        "list under another name": moved(("data/afw/afw.json", "data/afw/AFW.json")),
        "without the leading folder": moved(("data/", "")),
        "data is a file": gone("data", and_put={"data": b"", "data.json": b"[]"}),
    },
    ("action_recognition", "default"): {
        "no test": gone("test/"),
        "train in capitals": moved(("train/", "TRAIN/")),
        "test is a file": gone("test/", and_put={"test": b""}),
        "a folder too deep": deeper,
        "videos instead of frames": gone("t", and_put={"train/walk/1.mp4": b"x", "test/walk/1.mp4": b"x"}),
    },
    ("pointpillars", "default"): {
        "no labels of a split": gone("val/label/"),
        "labels misspelt": moved(("train/label/", "train/labels/"), ("val/label/", "val/labels/")),
        "no splits": gone("val/", and_put={"label/1.txt": b"", "lidar/1.bin": bytes(16)}),
        "scans of another format": moved(
            ("train/lidar/1.bin", "train/lidar/1.pcd"), ("val/lidar/1.bin", "val/lidar/1.pcd")
        ),
    },
    ("pose_classification", "default"): {
        "no layout": gone("kinetics/", "nvidia/", and_put={"README": b"x"}),
        "no labels of a split": gone("nvidia/", "kinetics/val_label.pkl"),
        "arrays packed": gone("kinetics/", "nvidia/train_data.npy", and_put={"nvidia/train_data.npz": b"x"}),
        "layout in capitals": gone("nvidia/", "kinetics/", and_put={f"Kinetics/{part}": b"" for part in POSE}),
        "arrays at the top": gone("nvidia/", "kinetics/", and_put=dict.fromkeys(POSE, b"")),
    },
    ("centerpose", "default"): {
        "no test": gone("test/"),
        "splits of images": moved(("train/", "images_train/"), ("val/", "images_val/"), ("test/", "images_test/")),
        "val in capitals": moved(("val/", "Val/")),
        "no image": gone("train/1.png", "val/1.png", "test/1.png"),
    },
    **{
        (name, "default"): {
            "no list": gone("annotations.txt"),
            "images in capitals": moved(("images/", "Images/")),
            "a list of another format": moved(("annotations.txt", "annotations.csv")),
        }
        for name in ("depth_net_mono", "depth_net_stereo")
    },
    ("visual_changenet_segment", "default"): {
        "no lists": gone("list/"),
        "folders in small letters": moved(("A/", "a/"), ("B/", "b/")),
        "labels under another name": moved(("label/", "labels/")),
        "lists of another format": moved(("list/train.txt", "list/train.csv")),
        "no second images": gone("B/", and_put={"B/": b""}),
    },
    ("re_identification", "default"): {
        "no queries": gone("sample_query/"),
        "folders without their prefix": moved(("sample_", "")),
        "folders of the archive's makers": moved(
            ("sample_train/", "box_train/"), ("sample_test/", "box_test/"), ("sample_query/", "query/")
        ),
        "query is a file": gone("sample_query/", and_put={"sample_query": b""}),
        "no image": gone("sample_", and_put={"sample_train/a": b"", "sample_test/": b"", "sample_query/": b""}),
    },
}  # fmt: skip
"""By type and format."""


def broken(kind: Kind, name: str) -> Files:
    """The files of a broken set."""
    return BROKEN[kind][name](dict(SETS[kind]))
