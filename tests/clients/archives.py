"""Small datasets of every type and format, as archives that a client uploads."""

from __future__ import annotations

import io
import tarfile

RETAIL = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154"
    "08d763f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
COCO = (
    b'{"images": [{"id": 1, "file_name": "1.png", "width": 1, "height": 1}],'
    b' "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0}],'
    b' "categories": [{"id": 1, "name": "car"}]}'
)
KITTI = b"car 0.00 0 0.00 0.00 0.00 1.00 1.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00\n"

FILES: dict[tuple[str, str], dict[str, bytes]] = {
    ("object_detection", "kitti"): {"images/1.png": PNG, "labels/1.txt": KITTI},
    ("object_detection", "coco"): {"images/1.png": PNG, "annotations.json": COCO},
    ("object_detection", "raw"): {"images/1.png": PNG},
    ("object_detection", "coco_raw"): {"images/1.png": PNG, "label_map.txt": b"car\n"},
    ("instance_segmentation", "coco"): {"images/1.png": PNG, "annotations.json": COCO},
    ("instance_segmentation", "raw"): {"images/1.png": PNG},
    ("semantic_segmentation", "unet"): {
        f"{kind}/{split}/1.png": PNG for kind in ("images", "masks") for split in ("train", "val", "test")
    },
    ("image_classification", "classification_pyt"): {
        f"images_{split}/{name}/1.png": PNG for split in ("train", "val", "test") for name in ("cat", "dog")
    }
    | {"classes.txt": b"cat\ndog\n"},
    ("image_classification", "default"): {
        f"images_{split}/{name}/1.png": PNG for split in ("train", "val", "test") for name in ("cat", "dog")
    },
    ("image_classification", "custom"): {
        f"images_{split}/1.png": PNG for split in ("train", "val")
    }
    | {f"{split}.csv": b"fname,colour\n1.png,red\n" for split in ("train", "val")},
    ("image_classification", "raw"): {"images_test/1.png": PNG},
    ("character_recognition", "lprnet"): {"image/1.png": PNG, "label/1.txt": b"A1\n", "characters.txt": b"A\n1\n"},
    ("character_recognition", "raw"): {"image/1.png": PNG},
    ("ocrnet", "default"): {"character_list": b"A\n1\n"}
    | {f"{split}/{name}": content for split in ("train", "test") for name, content in
       (("1.png", PNG), ("gt_new.txt", b"1.png\tA1\n"))},
    ("ocdnet", "default"): {
        f"{split}/{name}": content for split in ("train", "test") for name, content in
        (("img/1.png", PNG), ("gt/gt_1.txt", b"0,0,1,0,1,1,0,1,A1\n"))
    },
    ("optical_inspection", "default"): {
        "images/a/1.png": PNG, "dataset.csv": b"input_path,golden_path,label,object_name\na,a,PASS,1\n"
    },
    ("ml_recog", "default"): {
        f"{RETAIL}/{known}/{part}/soap/1.png": PNG
        for known in ("known_classes", "unknown_classes") for part in ("train", "val", "reference", "test")
    },
    ("bpnet", "default"): {
        "annotations/person_keypoints_train2017.json": COCO, "annotations/person_keypoints_val2017.json": COCO,
        "train2017/1.png": PNG, "val2017/1.png": PNG, "coco_spec.json": b"{}", "bpnet_18joints.json": b"{}",
        "infer_spec.yaml": b"batch_size: 1\n",
    },
    ("fpenet", "default"): {"data/afw/afw.json": b"[]", "data/afw/1.png": PNG, "data.json": b"[]"},
    ("action_recognition", "default"): {
        f"{split}/walk/1/{kind}/000.png": PNG for split in ("train", "test") for kind in ("rgb", "u", "v")
    },
    ("pointpillars", "default"): {
        f"{split}/{name}": content for split in ("train", "val") for name, content in
        (("label/1.txt", KITTI), ("lidar/1.bin", bytes(16)))
    },
    ("pose_classification", "default"): {
        f"{layout}/{split}_{name}": b"" for layout in ("kinetics", "nvidia") for split in ("train", "val")
        for name in ("data.npy", "label.pkl")
    },
    ("re_identification", "default"): {
        f"sample_{part}/0001_c1s1_0_0.png": PNG for part in ("train", "test", "query")
    },
}  # fmt: skip
"""(type, format) → name → content of each file."""


def archive(type_: str, format_: str) -> bytes:
    """A .tar.gz of such a dataset, below one leading folder as people pack them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name, content in FILES[type_, format_].items():
            info = tarfile.TarInfo(f"data/{name}")
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return out.getvalue()
