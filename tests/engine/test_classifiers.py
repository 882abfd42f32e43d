"""classification_tf1, classification_tf2 and multitask_classification: parts, and whole actions in this process."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")

from runners.engine.classification import settings, table  # noqa: E402
from runners.engine.errors import DataError, SpecError  # noqa: E402
from runners.engine.run import main  # noqa: E402
from taod.catalogue.specfiles.emit import protobuf_text  # noqa: E402
from taod.documents import Document  # noqa: E402
from tests.engine import classifiers  # noqa: E402
from tests.engine.halting import sigterm_after  # noqa: E402

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("one_thread")]


def test_the_rates_of_a_training() -> None:
    from runners.engine.classification.keras import schedule

    step = schedule(settings.LrConfig(step=settings.Step(1.0, 25, 0.1)), 9.0, 0.0, 80)
    assert [step(at) for at in (0, 19, 20, 40)] == pytest.approx([1, 1, 0.1, 0.01])
    soft = schedule(settings.LrConfig(soft_anneal=settings.SoftStart(1.0, 0.1, 10, [0.5])), 9.0, 0.0, 100)
    assert [soft(at) for at in (5, 10, 49, 50)] == pytest.approx([0.5, 1, 1, 0.1])
    cosine = schedule(settings.LrConfig(cosine=settings.Cosine(1.0, 0.0, 0.2)), 9.0, 0.0, 100)
    assert [cosine(at) for at in (0, 50, 100)] == pytest.approx([1, 0.6, 0.2])
    assert schedule(settings.LrConfig(), 9.0, 0.5, 100)(4) == pytest.approx(3)


def test_images_are_normalised_as_the_mode_says() -> None:
    assert settings.normalisation("caffe", 3, {"r": 1.0}) == ([103.939, 116.779, 1.0], [1.0, 1.0, 1.0], True)
    assert settings.normalisation("tf", 1, {}) == ([127.5], [127.5], False)
    assert settings.normalisation("torch", 3, {})[0] == [123.675, 116.28, 103.53]


def test_an_input_that_the_engine_lacks_is_named() -> None:
    with pytest.raises(SpecError, match=r"n_layers: 'darknet' with 19 layers is not in the engine; it has resnet_10,"):
        settings.shape(settings.Tf1Model(arch="darknet", n_layers=19))
    with pytest.raises(SpecError, match="input_image_size '3,20,20' must be channels"):
        settings.shape(settings.Tf1Model(input_image_size="3,20,20"))
    with pytest.raises(SpecError, match="squeezenet takes images of three"):
        settings.shape(settings.Tf1Model(arch="squeezenet", input_image_size="1,64,64"))


def test_a_table_has_a_class_of_each_task(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).touch()
    train = tmp_path / "train.csv"
    fields = ("csv", "folder")

    def read(text: str, tasks: dict[str, list[str]] | None = None) -> Any:
        train.write_text(text)
        return table.read(str(train), str(tmp_path / "images"), fields, tasks)

    found, tasks = read("fname,colour,size\nb.png,red,s\na.png,blue,l\n")
    assert tasks == {"colour": ["blue", "red"], "size": ["l", "s"]}
    assert found.labels == [[1, 1], [0, 0]] and found.path(0).endswith("images/b.png")
    with pytest.raises(DataError, match=r"train.csv:3: colour 'green' is not among 'blue', 'red'"):
        read("fname,colour,size\nb.png,red,s\na.png,green,l\n", tasks)
    with pytest.raises(DataError, match=r"train.csv:2: the image 'c.png' is missing in "):
        read("fname,colour,size\nc.png,red,s\n")
    with pytest.raises(DataError, match="has the tasks 'size'; the model has 'colour', 'size'"):
        read("fname,size\na.png,s\n", tasks)
    (tmp_path / "images_train").mkdir()
    (tmp_path / "images_train" / "a.png").touch()
    assert read("fname,size\na.png,s\n")[0].names == [str(tmp_path / "images_train/a.png")]


@pytest.mark.slow
@pytest.mark.skipif(not classifiers.EVERY, reason="run by make test-engine")
@pytest.mark.parametrize("name", settings.BACKBONES)
def test_every_backbone_has_logits_and_blocks_that_can_be_frozen(name: str) -> None:
    from runners.engine.classification.backbones import Classifier

    with torch.device("meta"):
        model = Classifier(name, 3, 5, 0.1).eval()
        assert model(torch.zeros(2, 3, 64, 96)).shape == (2, 5)
        weights = [sum(one.numel() for part in block for one in part.parameters()) for block in model.blocks()]
        assert len(weights) >= 3 and min(weights) > 0
        model.freeze([0], norms=True)
        with pytest.raises(SpecError, match="freeze_blocks names block 99"):
            model.freeze([99], norms=False)


def test_an_action_without_a_results_folder_writes_into_that_of_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["multitask_classification", "confmat", f"--model={tmp_path}/none.pth", "--key=k"]
    assert main(command) == 2
    monkeypatch.setenv("TAOD_JOB_RESULTS", str(tmp_path / "results"))
    assert main(command) == 1
    assert "none.pth does not exist" in (tmp_path / "results/status.json").read_text()


def test_channels_are_removed_as_the_specification_says() -> None:
    from runners.engine.core.pruning import weakest
    from runners.engine.core.tf1 import Pruning

    one = torch.tensor([4.0, 1.0, 3.0, 0.5])[:, None]
    other = torch.tensor([0.1, 2.0, 0.2, 0.1])[:, None]
    wanted = {"granularity": 1, "threshold": 0.5, "min_num_filters": 1}
    assert weakest([one], Pruning(**wanted)) == [1, 3]
    assert weakest([one, other], Pruning(**wanted)) == [3]
    assert weakest([one, other], Pruning(**wanted, equalization_criterion="intersection")) == [0, 2, 3]
    assert weakest([one, other], Pruning(**wanted, equalization_criterion="arithmetic_mean")) == [2, 3]
    assert weakest([one], Pruning(**(wanted | {"granularity": 3}))) == [3]
    assert weakest([one], Pruning(**(wanted | {"min_num_filters": 9}))) == []
    assert weakest([one], Pruning(**wanted, normalizer="L2")) == [1, 3]


@pytest.mark.slow
@pytest.mark.skipif(not classifiers.EVERY, reason="run by make test-engine")
@pytest.mark.parametrize("name", ["resnet_18", "mobilenet_v2", "efficientnet_b0", "vgg_16", "googlenet", "squeezenet"])
def test_a_pruned_model_is_built_again_from_its_shapes(name: str) -> None:
    pytest.importorskip("torch_pruning")
    from runners.engine.classification.backbones import Classifier
    from runners.engine.core import pruning
    from runners.engine.core.tf1 import Pruning

    torch.manual_seed(1)
    images = torch.randn(1, 3, 64, 64)
    model = Classifier(name, 3, 5, 0.1).eval()
    before = pruning.cost(model, images)
    shapes = pruning.prune(model, images, Pruning(threshold=0.95, min_num_filters=8), [model.head])
    again = Classifier(name, 3, 5, 0.1).eval()
    pruning.reshape(again, shapes)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(images), model(images))
    after = pruning.cost(again, images)
    assert after.parameters < before.parameters and after.operations < before.operations


class Classifying:
    """Runs of one network's actions over a few images."""

    def __init__(self, network: str, root: Path, images: int, epochs: int) -> None:
        self.network, self.root = network, root
        self.data = classifiers.write(root / "data", images, 18, tables=network == "multitask_classification")
        self.document = classifiers.document(network, epochs, self.data)
        self.weights = f"weights/model_epoch_{epochs}.pth"

    def run(self, action: str, results: str, **options: object) -> int:
        spec = self.root / "spec.txt"
        given = [f"--{name}={value}" for name, value in options.items()]
        if self.network == "classification_tf2":
            spec.write_text(yaml.safe_dump(self.document))
        else:
            spec.write_text(protobuf_text({key: one for key, one in self.document.items() if key.endswith("_config")}))
        return main([self.network, action, "-e", str(spec), "-r", str(self.root / results), "-k", "k", *given])

    def given(self, action: str, **values: object) -> dict[str, object]:
        """Options of an action: of the command line, or in the specification."""
        if self.network == "classification_tf2":
            self.document[action] = {
                {"model": "checkpoint", "model_path": "checkpoint", "output_file": "onnx_file"}.get(key, key): str(
                    value
                )
                for key, value in values.items()
            } | ({"dataset_path": f"{self.data}/images_val"} if action == "evaluate" else {})
            return {}
        return values

    def checkpoint(self, results: str) -> Document:
        found: Document = torch.load(self.root / results / self.weights, weights_only=True)
        return found


@pytest.mark.slow
@pytest.mark.parametrize("network", classifiers.CHOSEN)
def test_a_classifier_resumes_and_is_deployed_as_it_was_trained(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Classifying(network, tmp_path, images=18, epochs=2)
    assert made.run("train", "whole") == 0
    with sigterm_after(1, monkeypatch):
        assert made.run("train", "halted") == 143
    assert made.run("train", "halted") == 0
    whole, resumed = made.checkpoint("whole"), made.checkpoint("halted")
    assert all(torch.equal(value, resumed["model"][name]) for name, value in whole["model"].items())

    weights, onnx = tmp_path / "whole" / made.weights, tmp_path / "model.onnx"
    assert made.run("export", "exported", **made.given("export", model=weights, output_file=onnx)) == 0
    for path, name in ((weights, "torch"), (onnx, "onnx")):
        assert made.run("evaluate", name, **made.given("evaluate", model_path=path)) == 0
    place = made.data / "images_val"
    assert made.run("inference", "found", **made.given("inference", model_path=onnx, image_dir=place)) == 0

    scores = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("torch", "onnx")]
    name = next(iter(scores[0].keys() - {"checkpoint", "images", "classes"} - {"loss"}))
    assert scores[0][name] == pytest.approx(scores[1][name], abs=1e-6)
    with (tmp_path / "found/result.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = ("shape", "size") if network == "multitask_classification" else ("class",)
    right = [row[column] == _true(row["path"], column) for row in rows for column in columns]
    assert len(rows) == 18
    assert sum(right) / len(right) == pytest.approx(_accuracy(scores[1]))


@pytest.mark.slow
@pytest.mark.parametrize("network", [name for name in classifiers.CHOSEN if name != "classification_tf2"])
def test_a_classifier_in_int8_scores_as_in_float(network: str, tmp_path: Path) -> None:
    made = Classifying(network, tmp_path, images=96, epochs=5)
    made.data = classifiers.write(tmp_path / "data", 96, 60, tables=network == "multitask_classification")
    assert made.run("train", "whole") == 0
    weights = tmp_path / "whole" / made.weights
    images = {"cal_image_dir": made.data / "images_train", "batches": 4, "batch_size": 8}
    accuracy = []
    for name, options in (("float", {}), ("int8", {"data_type": "int8", **images})):
        onnx = tmp_path / f"{name}.onnx"
        assert made.run("export", f"{name}_export", model=weights, output_file=onnx, **options) == 0
        assert made.run("evaluate", name, model_path=onnx) == 0
        accuracy.append(_accuracy(json.loads((tmp_path / name / "metrics.json").read_text())))
    assert accuracy[0] > 0.6
    assert accuracy[1] >= accuracy[0] - 0.05
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("float", "int8")]
    assert sizes[1] < 0.4 * sizes[0]


@pytest.mark.slow
@pytest.mark.skipif(not classifiers.EVERY, reason="run by make test-engine")
@pytest.mark.parametrize("network", classifiers.NETWORKS)
def test_a_pruned_classifier_is_trained_again_and_deployed(network: str, tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    made = Classifying(network, tmp_path, images=18, epochs=2)
    assert made.run("train", "whole") == 0
    weights = tmp_path / "whole" / made.weights
    wanted: dict[str, object] = {"threshold": 0.93, "min_num_filters": 8}
    if network != "classification_tf2":
        wanted = {"pruning_threshold": 0.93, "min_num_filters": 8}
    assert made.run("prune", "pruned", **made.given("prune", model=weights, **wanted)) == 0
    pruned = tmp_path / "pruned/model.pth"
    if network == "classification_tf2":
        made.document["train"]["checkpoint"] = str(pruned)
    elif network == "classification_tf1":
        made.document["train_config"]["pretrained_model_path"] = str(pruned)
    else:
        made.document["training_config"]["pruned_model_path"] = str(pruned)
    size = made.document["model"] if network == "classification_tf2" else made.document["model_config"]
    other = {"backbone": "efficientnet-b1"} if network == "classification_tf2" else {"n_layers": 18}
    before = {name: size[name] for name in other}
    size |= other
    assert made.run("retrain", "unlike") == 1
    assert "set the pruned model's backbone" in (tmp_path / "unlike/status.json").read_text()
    size |= before
    assert made.run("retrain", "again") == 0

    whole, small = made.checkpoint("whole"), made.checkpoint("again")
    counts = [sum(value.numel() for value in one["model"].values()) for one in (whole, small)]
    assert small["frame"]["pruned"] and counts[1] < 0.9 * counts[0]
    weights, onnx = tmp_path / "again" / made.weights, tmp_path / "model.onnx"
    assert made.run("export", "exported", **made.given("export", model=weights, output_file=onnx)) == 0
    assert made.run("evaluate", "scored", **made.given("evaluate", model_path=weights)) == 0


def _true(path: str, column: str) -> str:
    number = int(Path(path).stem)
    return ("small", "large")[number // 3 % 2] if column == "size" else classifiers.SHAPES[number % 3]


def _accuracy(metrics: dict[str, float]) -> float:
    names = ("mean accuracy", "validation_accuracy", "accuracy")
    return next(metrics[name] for name in names if name in metrics)
