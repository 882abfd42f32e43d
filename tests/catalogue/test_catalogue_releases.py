"""Releases after 5.0: which versions they cover, their layers, their specifications against the tools' own schema."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from taod.catalogue import Catalogue, network, releases
from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.schema.json_schema import schema
from taod.catalogue.schema.merge import default, get, put
from taod.catalogue.schema.tables import index, network_file
from taod.catalogue.schema.validate import check
from taod.documents import read_yaml
from taod.errors import BadRequest
from tests.catalogue import golden

ACTIONS = [(name, action) for _, name in golden.LATER for action in index("7.3")[name].actions]


@pytest.mark.parametrize(
    ("version", "covered", "nearest"),
    [
        ("5.0.0", "5.0", "5.0"),
        ("5.1.0", "5.0", "5.0"),
        ("5.2.0.1", "5.0", "5.0"),
        ("7.3.0", "7.3", "7.3"),
        ("5.5.0", None, "5.0"),
        ("6.26.3", None, "5.0"),
        ("7.2.0", None, "5.0"),
        ("8.0", None, "7.3"),
        ("4.0.1", None, "5.0"),
    ],
)
def test_which_release_covers_a_version(version: str, covered: str | None, nearest: str) -> None:
    assert (releases.covering(version), releases.nearest(version)) == (covered, nearest)


def test_the_tf2_tools_have_versions_of_their_own() -> None:
    found = [(version, releases.covering(version, "classification_tf2")) for version in ("5.0.0", "6.0.0", "7.3.0")]
    assert found == [("5.0.0", "5.0"), ("6.0.0", "7.3"), ("7.3.0", "7.3")]
    assert releases.prefixes("7.3", "efficientdet_tf2") == ("6.0", "7.3")
    assert releases.prefixes("7.3", "dino") == ("7.3",)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("nvcr.io/nvidia/tao/tao-toolkit:5.5.0-pyt", "5.5.0"),
        ("nvcr.io/nvidia/tao/tao-toolkit:7.3.0-pyt", "7.3.0"),
        ("localhost:5000/tao", None),
        ("my-tao:latest", None),
        ("tao", None),
    ],
)
def test_the_version_in_an_image_tag(image: str, version: str | None) -> None:
    assert releases.in_tag(image) == version


def test_a_network_that_a_release_does_not_list_keeps_its_earlier_facts() -> None:
    for name in ("detectnet_v2", "unet", "classification_tf1"):
        of_both = [network.get_network(name, release) for release in releases.KNOWN]
        assert [each.release for each in of_both] == ["5.0", "5.0"]
        assert of_both[0].file == of_both[1].file


def test_the_list_of_5_0_has_no_network_of_a_later_release() -> None:
    new = set(index("7.3")) - set(index())
    assert new == {
        "centerpose",
        "depth_net_mono",
        "depth_net_stereo",
        "grounding_dino",
        "image",
        "mae",
        "mask2former",
        "mask_grounding_dino",
        "nvdinov2",
        "oneformer",
        "rtdetr",
        "visual_changenet_classify",
        "visual_changenet_segment",
    }
    assert not new & set(Catalogue().networks())
    assert Catalogue().releases_of("rtdetr") == ["7.3"]
    assert Catalogue().releases_of("dino") == ["5.0", "7.3"]
    assert Catalogue().releases_of("unet") == ["5.0"]
    assert Catalogue().releases_of("unknown") == []


def test_dataset_types_of_new_networks_are_known() -> None:
    known = set(Catalogue().dataset_types())
    assert {entry.dataset_type for entry in index("7.3").values()} <= known


@pytest.mark.parametrize(("name", "action"), ACTIONS)
def test_every_default_validates(name: str, action: str) -> None:
    chosen = network.get_network(name, "7.3")
    assert check(chosen, action, default(chosen, action), strict=True).violations == []
    assert schema(chosen, action)["default"] == default(chosen, action)


@pytest.mark.parametrize("name", ["depth_net_mono", "depth_net_stereo"])
def test_depth_net_gets_its_lists_with_whole_paths(name: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "annotations.txt").write_text("images/1.png depth/1.png\nimages/2.png\n")
    made = _train(name, tmp_path)
    (train,) = read_yaml(made.spec_text)["dataset"]["train_dataset"]["data_sources"]
    assert train["dataset_name"] == ("GenericDataset" if name == "depth_net_stereo" else "MetricMonoDataset")
    whole = f"{tmp_path}/data/images/1.png {tmp_path}/data/depth/1.png\n{tmp_path}/data/images/2.png\n"
    assert made.files[Path(train["data_file"])] == whole
    (tmp_path / "data" / "annotations.txt").write_text("../other/1.png\n")
    with pytest.raises(BadRequest, match="outside the dataset"):
        _train(name, tmp_path)


def test_an_unknown_parameter_is_rejected_as_the_tool_rejects_it() -> None:
    chosen = network.get_network("classification_pyt", "7.3")
    found = check(chosen, "train", {"dataset": {"data": {"train": {}}}})
    assert [each.path for each in found.violations] == ["$.dataset.data"]
    assert check("classification_pyt", "train", {"dataset": {"data": {"surprise": 1}}}).ok


def test_the_command_line_has_the_file_alone(tmp_path: Path) -> None:
    made = _train("visual_changenet_classify", tmp_path)
    assert made.argv == ["visual_changenet", "train", "-e", f"{tmp_path}/spec.yaml"]
    assert made.spec_text is not None
    spec = read_yaml(made.spec_text)
    assert spec["task"] == "classify"
    assert spec["results_dir"] == f"{tmp_path}/results/"
    assert spec["encryption_key"] == "secret"


LIGHTNING = [
    name
    for _, name in golden.LATER
    if index("7.3")[name].image == "tlt-pytorch" and "train" in index("7.3")[name].actions
]


@pytest.mark.parametrize("name", LIGHTNING)
def test_a_resumed_training_names_its_last_checkpoint(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "train"
    folder.mkdir(parents=True)
    (folder / "model_epoch_000_step_00002.pth").write_bytes(b"old")
    last = folder / "model_epoch_001_step_00004.pth"
    last.write_bytes(b"new")
    made = _train(name, tmp_path)
    assert made.spec_text is not None
    assert read_yaml(made.spec_text)["train"]["resume_training_checkpoint_path"] == str(last)
    assert made.environment == {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    assert _train(name, tmp_path / "other").environment == {}


@pytest.mark.parametrize("action", ["evaluate", "inference", "export"])
@pytest.mark.parametrize("name", ["re_identification", "ml_recog"])
def test_what_reads_a_trainings_checkpoint_has_the_variables_for_it_as_a_resume(
    name: str, action: str, tmp_path: Path
) -> None:
    parent = ParentFacts(name, "train", tmp_path / "train", release="7.3")
    facts = _facts(name, action, tmp_path, spec=None, key="secret", parent=parent)
    made = assemble(facts)
    assert made.environment == {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}


@pytest.mark.parametrize(("gpus", "on_cpu"), [(0, True), (1, False)])
def test_an_export_without_a_gpu_runs_on_the_cpu(gpus: int, on_cpu: bool, tmp_path: Path) -> None:
    facts = _facts("ml_recog", "export", tmp_path, spec=None, gpus=gpus)
    assert _written(facts)["export"]["on_cpu"] is on_cpu


@pytest.mark.parametrize("name", ["deformable_detr", "dino"])
def test_an_export_reads_the_names_of_the_classes_from_the_data(name: str, tmp_path: Path) -> None:
    trained = read_yaml(str(_made(name, "train", tmp_path, "coco").spec_text))["dataset"]
    exported = read_yaml(str(_made(name, "export", tmp_path, "coco").spec_text))["dataset"]
    for field in ("train_data_sources", "val_data_sources"):
        assert exported[field] == trained[field]
        assert trained[field][0]["json_file"] == f"{tmp_path}/data/annotations.json"


def test_mask2former_gets_the_categories_of_its_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    categories = [{"id": 1, "name": "car"}, {"id": 7, "name": "person"}]
    document = {"images": [], "annotations": [], "categories": categories}
    (tmp_path / "data" / "annotations.json").write_text(json.dumps(document))
    made = _train("mask2former", tmp_path)
    assert made.spec_text is not None
    named = Path(read_yaml(made.spec_text)["dataset"]["label_map"])
    assert named == tmp_path / "label_map.json"
    assert json.loads(made.files[named]) == categories


def test_ocrnet_reads_images_that_were_not_converted(tmp_path: Path) -> None:
    text = _train("ocrnet", tmp_path).spec_text
    assert text is not None
    dataset = read_yaml(text)["dataset"]
    assert dataset["train_dataset_dir"] == [f"{tmp_path}/data/train"]
    assert dataset["train_gt_file"] == f"{tmp_path}/data/train/gt_new.txt"
    assert dataset["val_dataset_dir"] == f"{tmp_path}/data/test"
    assert dataset["val_gt_file"] == f"{tmp_path}/data/test/gt_new.txt"
    (tmp_path / "data/train/lmdb").mkdir(parents=True)
    text = _train("ocrnet", tmp_path).spec_text
    assert text is not None
    dataset = read_yaml(text)["dataset"]
    assert dataset["train_dataset_dir"] == [f"{tmp_path}/data/train/lmdb"]
    assert "train_gt_file" not in dataset


def test_each_format_has_its_own_fields(tmp_path: Path) -> None:
    spec = _train("mask2former", tmp_path, "coco_panoptic").spec_text
    assert spec is not None
    assert read_yaml(spec)["dataset"]["train"] == read_yaml(spec)["dataset"]["train"] | {
        "type": "coco_panoptic",
        "img_dir": f"{tmp_path}/data/images",
        "panoptic_dir": f"{tmp_path}/data/images_panoptic",
        "panoptic_json": f"{tmp_path}/data/annotations_panoptic.json",
    }
    for name in ("grounding_dino", "mask_grounding_dino"):
        made = _train(name, tmp_path, "odvg").spec_text
        assert made is not None
        assert read_yaml(made)["dataset"]["train_data_sources"] == [
            {
                "image_dir": f"{tmp_path}/data/images",
                "json_file": f"{tmp_path}/data/annotations_odvg.jsonl",
                "label_map": f"{tmp_path}/data/annotations_odvg_labelmap.json",
            }
        ]
    made = _train("oneformer", tmp_path, "coco_panoptic").spec_text
    assert made is not None
    assert read_yaml(made)["dataset"]["label_map"] == f"{tmp_path}/label_map.json"
    assert read_yaml(made)["dataset"]["train"]["panoptic"] == f"{tmp_path}/data/images_panoptic"
    made = _train("visual_changenet_segment", tmp_path).spec_text
    assert made is not None
    assert read_yaml(made)["task"] == "segment"
    assert read_yaml(made)["dataset"]["segment"]["root_dir"] == f"{tmp_path}/data"


def test_oneformer_evaluates_its_test_data_and_infers_from_a_field_of_its_own(tmp_path: Path) -> None:
    evaluated = read_yaml(_made("oneformer", "evaluate", tmp_path, "coco_panoptic").spec_text)
    data = f"{tmp_path}/data"
    assert evaluated["dataset"]["test"] == evaluated["dataset"]["test"] | {
        "images": f"{data}/images",
        "annotations": f"{data}/annotations_panoptic.json",
        "panoptic": f"{data}/images_panoptic",
    }
    inferred = read_yaml(_made("oneformer", "inference", tmp_path, "coco_panoptic").spec_text)
    assert inferred["inference"]["images_dir"] == inferred["dataset"]["test"]["images"] == f"{data}/images"


@pytest.mark.parametrize("action", ["train", "distill", "quantize", "evaluate", "inference"])
def test_classification_pyt_numbers_the_classes_as_the_training_data_does(action: str, tmp_path: Path) -> None:
    """The tool numbers them by `classes.txt` in `root_dir`, and without one by name, in a file that it writes there."""
    (tmp_path / "data").mkdir()
    assert "root_dir" not in read_yaml(_made("classification_pyt", action, tmp_path, "any").spec_text)["dataset"]
    (tmp_path / "data" / "classes.txt").write_text("square\ncircle\n")
    made = read_yaml(_made("classification_pyt", action, tmp_path, "any").spec_text)["dataset"]
    assert made["root_dir"] == f"{tmp_path}/data"


@pytest.mark.parametrize(
    ("format_", "wanted", "error"),
    [
        ("kitti", "COCO", ""),
        ("coco", "ODVG", ""),
        ("odvg", "COCO", ""),
        ("kitti", "ODVG", "converts no KITTI to ODVG; set data.output_format to COCO$"),
        ("odvg", "KITTI", "converts no ODVG to KITTI; set data.output_format to COCO$"),
        ("coco", "YOLO", "converts no COCO to YOLO; set data.output_format to KITTI or ODVG or COCO$"),
        ("raw", "COCO", "converts no AICITY; set data.input_format to COCO or KITTI or ODVG$"),
    ],
)
def test_a_conversion_that_the_tool_lacks_is_rejected(format_: str, wanted: str, error: str, tmp_path: Path) -> None:
    """The tool prints it, writes nothing and reports success."""
    facts = _facts(
        "annotations",
        "convert",
        tmp_path,
        spec={"data": {"input_format": "AICITY" if format_ == "raw" else format_, "output_format": wanted}},
        inference=DatasetFacts(tmp_path / "data", "object_detection", format_),
    )
    if error:
        with pytest.raises(BadRequest, match=error):
            assemble(facts)
    else:
        assert read_yaml(assemble(facts).spec_text or "")["data"]["output_format"] == wanted


@pytest.mark.parametrize("format_", ["odvg", "pascal_voc", "unet"])
@pytest.mark.parametrize(("service", "action"), [("analytics", "analyze"), ("augmentation", "generate")])
def test_data_that_a_service_does_not_read_is_rejected(service: str, action: str, format_: str, tmp_path: Path) -> None:
    data = DatasetFacts(tmp_path / "data", "object_detection", format_)
    facts = _facts(service, action, tmp_path, inference=data)
    with pytest.raises(BadRequest, match=f"{service} of release 7.3 reads no {format_} data; .* coco, kitti$"):
        assemble(facts)


@pytest.mark.parametrize("given", [[], ["a red car"]])
@pytest.mark.parametrize("name", ["grounding_dino", "mask_grounding_dino"])
def test_the_grounding_networks_look_for_the_classes_unless_captions_are_given(
    name: str, given: list[str], tmp_path: Path
) -> None:
    data = DatasetFacts(tmp_path / "data", "object_detection", "coco", classes=["car", "person"])
    spec = default(network.get_network(name, "7.3"), "inference")
    if given:
        put(spec, "dataset.infer_data_sources", {"captions": given})
    facts = _facts(name, "inference", tmp_path, spec=spec, inference=data)
    sources: dict[str, Any] = {"image_dir": [f"{tmp_path}/data/images"], "captions": given or ["car", "person"]}
    sources |= {"data_type": "OD"} if name == "mask_grounding_dino" else {}
    assert _written(facts)["dataset"]["infer_data_sources"] == sources


@pytest.mark.parametrize(
    ("action", "parts"), [("train", ["val"]), ("quantize", ["val", "test"]), ("evaluate", ["test"])]
)
def test_the_data_of_the_grounding_networks_beside_the_trainings_is_coco(
    action: str, parts: list[str], tmp_path: Path
) -> None:
    """A quantization of grounding_dino reads the classes of the test data, whatever it measures."""
    coco = {"image_dir": f"{tmp_path}/data/images", "json_file": f"{tmp_path}/data/annotations.json"}
    for name, kind in (("grounding_dino", {}), ("mask_grounding_dino", {"data_type": "OD"})):
        dataset = read_yaml(_made(name, action, tmp_path, "odvg").spec_text)["dataset"]
        assert {part: dataset.get(f"{part}_data_sources") for part in parts} == dict.fromkeys(parts, coco | kind)
        if action == "quantize":
            assert dataset["quant_calibration_data_sources"] == coco


SIZED = sorted(name for _, name in golden.LATER if network_file(name, "7.3").export_size)


@pytest.mark.parametrize("name", ["deformable_detr", "grounding_dino", "mask_grounding_dino"])
def test_the_deploy_tool_gets_no_parameter_that_it_rejects(name: str, tmp_path: Path) -> None:
    model: dict[str, Any] = {"model": {"precise_msda": True}}
    train = ParentFacts(name, "train", tmp_path / "train" / "results", model, release="7.3")
    export = ParentFacts(name, "export", tmp_path / "export" / "results", {}, train, release="7.3")
    engine = ParentFacts(name, "gen_trt_engine", tmp_path / "engine" / "results", {}, export, release="7.3")
    assert _after("export", train, tmp_path, {})["model"]["precise_msda"] is True
    for action, parent in (("gen_trt_engine", export), ("evaluate", engine), ("inference", engine)):
        assert "precise_msda" not in _after(action, parent, tmp_path, {})["model"]


LIGHTS = {"input_map": {"low": 0, "solder": 1, "uniform": 2, "white": 3}}


@pytest.mark.parametrize(
    ("joined", "size"),
    [
        ({}, (64, 48)),
        (LIGHTS, (64, 192)),
        (LIGHTS | {"concat_type": "linear"}, (64, 192)),
        (LIGHTS | {"concat_type": "grid", "grid_map": {"x": 2, "y": 2}}, (128, 96)),
        ({"input_map": {"low": 0}, "concat_type": "grid", "grid_map": {"x": 1, "y": 1}}, (64, 48)),
    ],
)
@pytest.mark.parametrize("name", ["optical_inspection", "visual_changenet_classify"])
def test_an_export_has_the_size_of_the_joined_lights(
    name: str, joined: dict[str, Any], size: tuple[int, int], tmp_path: Path
) -> None:
    """As the tools join them: below each other, or in a grid."""
    spec: dict[str, Any] = {"image_width": 64, "image_height": 48, "num_input": 4} | joined
    trained = {"dataset": spec if name == "optical_inspection" else {"classify": spec}}
    assert _exported(name, tmp_path, trained, {}) == size


@pytest.mark.parametrize("name", SIZED)
def test_an_export_has_the_size_of_the_training(name: str, tmp_path: Path) -> None:
    facts = network_file(name, "7.3").export_size
    spec: dict[str, Any] = {}
    for number, path in zip((96, 64), facts, strict=True):
        *names, last = path.split(".")
        if last.isdecimal():
            sizes = get(spec, ".".join(names)) or [0, 0]
            sizes[int(last)] = number
            put(spec, ".".join(names), sizes)
        else:
            put(spec, path, number)
    wanted = (96, 64) if len(set(facts)) > 1 else (64, 64)
    assert _exported(name, tmp_path, spec, {}) == wanted
    assert _exported(name, tmp_path, spec, {"input_width": 160}) == (160, wanted[1])


def test_every_network_of_a_fixed_size_exports_it() -> None:
    """The others take images of any size, or have the size in their model, which an export inherits."""
    assert SIZED == [
        "centerpose",
        "classification_pyt",
        "depth_net_mono",
        "mae",
        "nvdinov2",
        "optical_inspection",
        "rtdetr",
        "segformer",
        "visual_changenet_classify",
        "visual_changenet_segment",
    ]


def _exported(name: str, folder: Path, trained: dict[str, Any], given: dict[str, int]) -> tuple[int, int]:
    export = default(network.get_network(name, "7.3"), "export")
    export["export"] |= given
    parent = ParentFacts(name, "train", folder / "train" / "results", trained, release="7.3")
    facts = _facts(name, "export", folder, spec=export, parent=parent)
    written = _written(facts)["export"]
    return written["input_width"], written["input_height"]


def test_a_distillation_has_the_trained_model_as_its_teacher_and_its_own_student(tmp_path: Path) -> None:
    trained = {"model": {"backbone": {"type": "resnet_50"}}, "dataset": {"num_classes": 7, "img_size": 64}}
    student = {"model": {"backbone": {"type": "resnet_18"}}, "distill": {"teacher": {"head": {"in_channels": 2048}}}}
    train = ParentFacts("classification_pyt", "train", tmp_path / "train" / "results", trained, release="7.3")
    spec = _after("distill", train, tmp_path, student)
    assert spec["distill"]["teacher"]["backbone"]["type"] == "resnet_50"
    assert spec["distill"]["teacher"]["head"]["in_channels"] == 2048
    assert spec["model"]["backbone"]["type"] == "resnet_18"
    assert (spec["dataset"]["num_classes"], spec["dataset"]["img_size"]) == (7, 64)
    distill = ParentFacts(
        "classification_pyt", "distill", tmp_path / "distill" / "results", student, train, release="7.3"
    )
    spec = _after("evaluate", distill, tmp_path, {})
    assert spec["model"]["backbone"]["type"] == "resnet_18"
    assert (spec["dataset"]["num_classes"], spec["dataset"]["img_size"]) == (7, 64)


@pytest.mark.parametrize("action", ["evaluate", "inference", "export"])
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_mae_builds_the_model_of_the_stage_that_was_trained(stage: str, action: str, tmp_path: Path) -> None:
    train = ParentFacts("mae", "train", tmp_path / "train" / "results", {"train": {"stage": stage}}, release="7.3")
    spec = _after(action, train, tmp_path, {})
    assert spec["train"] == {"stage": stage}


@pytest.mark.parametrize("action", ["inference", "export"])
def test_nvdinov2_builds_the_model_that_was_trained(action: str, tmp_path: Path) -> None:
    trained = {"num_prototypes": 64, "precision": "32", "use_custom_attention": False}
    train = ParentFacts("nvdinov2", "train", tmp_path / "train" / "results", {"train": trained}, release="7.3")
    assert _after(action, train, tmp_path, {})["train"] == trained


@pytest.mark.parametrize("action", ["evaluate", "inference", "export", "retrain"])
@pytest.mark.parametrize("name", ["classification_tf2", "efficientdet_tf2"])
def test_the_tf2_tools_read_a_model_in_the_order_of_its_channels(name: str, action: str, tmp_path: Path) -> None:
    trained = {"data_format": "channels_last"}
    train = ParentFacts(name, "train", tmp_path / "train" / "results", trained, release="7.3")
    assert _after(action, train, tmp_path, {})["data_format"] == "channels_last"


@pytest.mark.parametrize("action", ["evaluate", "inference", "export"])
def test_an_action_on_a_quantized_model_says_so_and_how(action: str, tmp_path: Path) -> None:
    left = tmp_path / "quantize" / "results" / "quantize" / "quantized_model_modelopt.pth"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"weights")
    train = ParentFacts("rtdetr", "train", tmp_path / "train" / "results", {}, release="7.3")
    how = {"layers": [{"module_name": "*", "weights": {"dtype": "int8"}}], "model_path": "of another folder"}
    quantize = ParentFacts(
        "rtdetr", "quantize", tmp_path / "quantize" / "results", {"quantize": how}, train, release="7.3"
    )
    written = _after(action, quantize, tmp_path, {})
    assert written[action]["is_quantized"] is True
    assert (written["quantize"]["backend"], written["quantize"]["layers"]) == ("torchao", how["layers"])
    assert "model_path" not in written["quantize"]
    assert _after(action, quantize, tmp_path, {})[action]["checkpoint"] == str(left)
    written = _after(action, train, tmp_path, {})
    assert written[action]["is_quantized"] is False and "quantize" not in written


QUANTIZING = [name for _, name in golden.LATER if "quantize" in index("7.3")[name].actions]


@pytest.mark.parametrize("name", QUANTIZING)
def test_a_quantization_measures_on_the_calibration_data(name: str, tmp_path: Path) -> None:
    train, calibration = (DatasetFacts(tmp_path / each, "any", "coco") for each in ("train", "calibration"))
    facts = _facts(
        name,
        "quantize",
        tmp_path,
        train=[train],
        calibration=calibration,
        parent=ParentFacts(name, "train", tmp_path / "before" / "results", {}, release="7.3"),
    )
    text = assemble(facts).spec_text
    assert text is not None
    assert str(calibration.root) in text


def test_a_quantized_model_is_no_parent_of_what_the_tool_cannot_load_it_for() -> None:
    assert len(QUANTIZING) > 10
    for name in QUANTIZING:
        chosen = network.get_network(name, "7.3")
        loads = name in ("classification_pyt", "rtdetr")
        for action in ("evaluate", "inference", "export"):
            assert ("quantize" in chosen.may_follow(action)) == loads, (name, action)


def _facts(name: str, action: str, folder: Path, **more: Any) -> JobFacts:
    """A job in `folder`: of release 7.3, without a key and with an empty specification, unless `more` has others."""
    known: dict[str, Any] = {"release": "7.3", "key": "", "spec": {}}
    return JobFacts(network=name, action=action, folder=folder, results=folder / "results", **known | more)


def _written(facts: JobFacts) -> dict[str, Any]:
    """The specification that the tool gets."""
    text = assemble(facts).spec_text
    assert text is not None
    written: dict[str, Any] = read_yaml(text)
    return written


def _after(action: str, parent: ParentFacts, folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    facts = _facts(parent.network, action, folder, spec=spec, parent=parent, release=parent.release)
    return _written(facts)


def _train(name: str, folder: Path, format_: str = "any") -> Any:
    return _made(name, "train", folder, format_)


def _made(name: str, action: str, folder: Path, format_: str) -> Any:
    data = DatasetFacts(folder / "data", "any", format_)
    return assemble(_facts(name, action, folder, key="secret", train=[data], eval=data))


_MODULES = {
    "depth_net_mono": "depth_net",
    "depth_net_stereo": "depth_net",
    "visual_changenet_classify": "visual_changenet",
    "visual_changenet_segment": "visual_changenet",
}


OWN_PACKAGES = {
    "tao-deploy": "nvidia_tao_deploy",
    "tao-ds": "nvidia_tao_ds",
    "tlt-pytorch": "nvidia_tao_pytorch",
    "tlt-tf2": "nvidia_tao_core",
}
"""Kind of image -> the package of its tools, whose configuration the tools themselves use."""


@pytest.mark.parametrize("package", ["nvidia_tao_core", "own"])
@pytest.mark.parametrize(("name", "action"), ACTIONS)
def test_the_structured_configuration_accepts_every_specification(
    name: str, action: str, package: str, tmp_path: Path
) -> None:
    """What the tool itself does with the file: merge it into its configuration, which rejects unknown fields."""
    chain = next(
        (action, *after)
        for one, after in (*golden.CHAIN, *((each, ()) for each in index("7.3")[name].actions))
        if one == action and set(after) <= set(index("7.3")[name].actions)
    )
    _hold(name, chain, package, tmp_path)


AFTER_ENGINES = [
    (name, action)
    for _, name in golden.LATER
    for action in ("evaluate", "inference")
    if "gen_trt_engine" in network.get_network(name, "7.3").may_follow(action) and action in index("7.3")[name].actions
]


@pytest.mark.parametrize(("name", "action"), AFTER_ENGINES)
def test_what_follows_an_engine_names_it_where_the_deploy_tool_looks(name: str, action: str, tmp_path: Path) -> None:
    made = golden.Stage(tmp_path, name, "7.3").job((action, "gen_trt_engine", "export", "train"))[1]
    engine = f"{tmp_path}/train-export-gen_trt_engine/results/model.engine"
    assert read_yaml(made.spec_text or "")[action]["trt_engine"] == engine
    assert name != "mae"  # whose deploy tool has no such action


@pytest.mark.parametrize(("name", "action"), AFTER_ENGINES)
def test_the_structured_configuration_accepts_what_follows_an_engine(name: str, action: str, tmp_path: Path) -> None:
    _hold(name, (action, "gen_trt_engine", "export", "train"), "own", tmp_path)


def _hold(name: str, chain: tuple[str, ...], package: str, folder: Path) -> None:
    omega: Any = pytest.importorskip("omegaconf", reason="omegaconf is not installed")
    made = golden.Stage(folder, name, "7.3").job(chain)[1]
    if package == "own":
        package = OWN_PACKAGES[made.image]
    pytest.importorskip(package, reason=f"{package} 7.3.0 is not installed")
    module = importlib.import_module(f"{package}.config.{_MODULES.get(name, name)}.default_config")
    assert made.spec_text is not None
    base = omega.OmegaConf.structured(module.ExperimentConfig)
    merged = omega.OmegaConf.merge(base, omega.OmegaConf.create(read_yaml(made.spec_text)))
    assert merged.results_dir == f"{folder}/{'-'.join(reversed(chain))}/results/"
