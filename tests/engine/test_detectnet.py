"""The coverage grid of detectnet_v2: boxes to cells and back, the costs, clustering, and what an inference leaves."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from runners.engine.detection.nms import Target  # noqa: E402
from runners.engine.errors import SpecError  # noqa: E402
from runners.engine.networks.detectnet_v2 import clustering, grid, network  # noqa: E402
from runners.engine.networks.detectnet_v2.capabilities import (  # noqa: E402
    BoxHandler,
    BoxSizes,
    ClassCosts,
    ClassRasterizer,
    Clustering,
    Handling,
    Objective,
    Spec,
)
from runners.engine.spec import convert  # noqa: E402

pytestmark = pytest.mark.engine


def _shape(**changes: object) -> grid.GridShape:
    values: dict[str, object] = {
        "backbone": "resnet_10", "classes": 2, "scale": 35.0, "offset": 0.5, "dropout": 0.0, "freeze_blocks": [],
        "freeze_bn": False, "deadzone": 0.4, "rasterizers": [ClassRasterizer()] * 2, "costs": [ClassCosts()] * 2,
        "autoweighting": True, "least": 0.0001, "most": 0.9999,
    }  # fmt: skip
    return grid.GridShape(**(values | changes))  # type: ignore[arg-type]


def _target(*boxes: tuple[float, ...], labels: list[int] | None = None) -> Target:
    return Target(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels or [0] * len(boxes)))


@pytest.mark.parametrize("algorithm", ["DBSCAN", "NMS", "HYBRID"])
def test_boxes_put_into_a_grid_are_found_again(algorithm: str) -> None:
    target = _target((16, 32, 80, 96), (130, 20, 200, 70), (20, 120, 90, 190), labels=[0, 0, 1])
    made = grid.rasterised(target, 13, 14, _shape())
    config = Clustering(clustering_algorithm=algorithm, minimum_bounding_box_height=4)  # type: ignore[arg-type]
    coverage = made.coverage.numpy() * 0.9
    boxes = clustering.decoded(coverage, made.distances.flatten(0, 1).numpy(), 35.0, 0.5)
    found = clustering.detected(coverage, boxes, [Handling(clustering_config=config)] * 2)
    order = np.lexsort((found.boxes[:, 0], found.classes))
    assert found.boxes[order] == pytest.approx(target.boxes.numpy(), abs=1e-3)
    assert found.classes[order].tolist() == [0, 0, 1]
    assert (found.scores > 1).all() == (algorithm != "NMS")  # the sum of the coverages of a cluster


def test_cells_between_overlapping_objects_belong_to_no_object() -> None:
    target = _target((0, 0, 96, 96), (48, 0, 144, 96))
    free = grid.rasterised(target, 6, 9, _shape(deadzone=0.0)).coverage[0]
    dead = grid.rasterised(target, 6, 9, _shape(deadzone=0.4)).coverage[0]
    assert free[3, 4] == 1 and dead[3, 4] == 0
    assert dead.sum() < free.sum() and dead[3, 1] == dead[3, 7] == 1
    other = grid.rasterised(target._replace(labels=torch.tensor([0, 1])), 6, 9, _shape()).coverage
    assert other.sum(dim=0).max() == 2  # each class has its own cells


def test_small_objects_cover_at_least_the_cells_of_the_least_radius() -> None:
    target = _target((40, 40, 44, 44))
    assert grid.rasterised(target, 8, 8, _shape()).coverage[0].sum() >= 2
    wide = [ClassRasterizer(bbox_min_radius=2.0)] * 2
    assert grid.rasterised(target, 8, 8, _shape(rasterizers=wide)).coverage[0].sum() > 8


def test_the_costs_are_those_of_the_formula() -> None:
    target = _target((16, 16, 64, 64))
    shape = _shape()
    wanted = grid.rasterised(target, 6, 6, shape)
    logits, distances = torch.randn(1, 2, 6, 6), torch.randn(1, 8, 6, 6)
    found = grid.costs(logits, distances, [target], shape)
    chance, cover = logits[0, 0].sigmoid(), wanted.coverage[0]
    entropy = -(0.05 * cover * chance.log() + 0.95 * (1 - cover) * (1 - chance).log())
    assert found[0, 0] == pytest.approx(float(entropy.mean()), rel=1e-5)
    error = (distances[0, :4] - wanted.distances[0]).abs() * cover
    assert found[0, 1] == pytest.approx(float(error.mean()), rel=1e-5)
    assert found[1, 1] == 0


def test_objectives_are_weighted_towards_their_targets() -> None:
    costs = [
        ClassCosts(class_weight=weight, objectives=(Objective("cov"), Objective("bbox", 10, 10))) for weight in (1, 3)
    ]
    shape = _shape(costs=costs)
    assert grid.class_weights(shape).flatten().tolist() == [0.25, 0.75]
    model = grid.GridDetector(shape).train()
    target = [_target((16, 16, 64, 64), labels=[1])] * 2
    images = torch.randn(2, 3, 96, 96)
    parts = {name: part.detach() for name, part in model.losses(images, target).items()}
    # After the first batch the means are its costs: the parts of class 1 stand as 1 to 10, class 0 has no box yet.
    balanced = grid.weights(shape, target=True)[1] / model.means[1]
    expected = model.means[1] * balanced / balanced.sum() * 0.75
    assert float(parts["boxes"]) == pytest.approx(float(expected[1]), rel=1e-4)
    rest = model.means[0, 0] * grid.weights(shape)[0, 0] * 0.25
    assert float(parts["coverage"]) == pytest.approx(float(expected[0] + rest), rel=1e-4)
    before = model.means.clone()
    model.losses(torch.randn(2, 3, 96, 96), target)
    assert not torch.equal(before, model.means)


def test_dbscan_leaves_out_what_has_too_few_neighbours() -> None:
    places = np.array([0.0, 0.1, 0.2, 0.3, 2.0, 5.0, 5.1])
    far = np.abs(places[:, None] - places)
    assert clustering.dbscan(far, 0.15, 1).tolist() == [0, 0, 0, 0, 1, 2, 2]
    assert clustering.dbscan(far, 0.15, 3).tolist() == [0, 0, 0, 0, -1, -1, -1]


def test_objects_of_other_sizes_do_not_count() -> None:
    boxes = np.array([[0, 0, 9, 50], [0, 0, 50, 50], [0, 0, 50, 19]], dtype=float)
    assert network.counted(boxes, np.zeros(3), [BoxSizes()]).tolist() == [False, True, False]


def test_classes_are_those_of_the_entries() -> None:
    mapping = [{"key": "Van", "value": "car"}, {"key": "person", "value": "person"}]
    document = {
        "classwise_config": [{"key": "person"}, {"key": "Car"}],
        "dataset_config": {"target_class_mapping": mapping},
    }
    found = network.classes_of(convert(document, Spec))
    assert found.names == ["person", "car"] and found.index("van") == 1
    document["classwise_config"] = [{"key": "person"}]
    with pytest.raises(SpecError, match="maps to car, which classwise_config does not have"):
        network.classes_of(convert(document, Spec))


def test_a_class_without_a_handler_takes_the_default_one() -> None:
    entries = [{"key": "default", "value": {"output_map": "thing"}}, {"key": "car", "value": {"output_map": "vehicle"}}]
    handler = convert({"classwise_bbox_handler_config": entries}, BoxHandler)
    assert [handler.of(name).output_map for name in ("Car", "person")] == ["vehicle", "thing"]
