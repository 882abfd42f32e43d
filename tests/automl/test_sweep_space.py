"""Search spaces from the catalogue and the user, and the conversion of points to valid values."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taod.automl import encoding, fidelity, space
from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import merge
from taod.catalogue.schema.tables import index, network_file
from taod.catalogue.schema.validate import check
from taod.catalogue.training_length import length_field
from taod.errors import BadRequest, InvalidSpec
from taod.types.sweep import Dimension

SCHEDULE = "training_config.learning_rate.soft_start_annealing_schedule"
WEIGHT_DECAY = "train.train_config.optimizer.weight_decay"
LR = "train.train_config.optimizer.lr"
SWEPT = [name for name, entry in index().items() if entry.kind == "network" and network_file(name).sweep_commands]

LATER = [
    network for name, entry in index("7.3").items() if entry.release == "7.3"
    for network in [get_network(name, "7.3")] if "train" in network.actions and network.table("train").automl
]  # fmt: skip
"""Networks of release 7.3 that AutoML can search."""


def built(network: str | Network, document: merge.Document | None = None, **more: object) -> space.Space:
    whole = merge.default(network, "train", ["cat", "dog"]) if document is None else document
    return space.build(network, whole, saved=True, **({"add": [], "remove": []} | more))


def test_all_but_three_networks_of_7_3_can_be_searched() -> None:
    trained = {
        name
        for name, entry in index("7.3").items()
        if entry.release == "7.3" and "train" in get_network(name, "7.3").actions
    }
    assert trained - {network.name for network in LATER} == {"mal", "depth_net_mono", "depth_net_stereo"}


def by_name(found: space.Space) -> dict[str, Dimension]:
    return {each.path: each for each in found.dimensions}


@pytest.mark.parametrize("network", [*map(get_network, SWEPT), *LATER], ids=str)
def test_every_point_of_a_networks_space_is_a_valid_specification(network: Network) -> None:
    document = merge.default(network, "train", ["cat", "dog"])
    found = built(network)
    draw = random.Random(network.name)
    for _ in range(60):
        at = {
            each.path: float(draw.randrange(len(each.choices))) if each.choices else draw.random()
            for each in found.dimensions
        }
        chosen = encoding.values(found.dimensions, at, document)
        spec = encoding.put(document, chosen)
        assert not check(network, "train", spec).violations, chosen
        assert {path: space.first_value(spec, path) for path in chosen} == chosen
        back = encoding.values(found.dimensions, encoding.coordinates(found.dimensions, chosen, document), document)
        assert back == pytest.approx(chosen) if all(isinstance(v, float) for v in chosen.values()) else back
        fidelity.for_rung(network, spec, epochs=3, done_epochs=1)


@pytest.mark.parametrize("network", LATER, ids=str)
def test_a_rung_of_release_7_3_validates_and_saves_at_its_end(network: Network) -> None:
    train = fidelity.for_rung(network, {}, epochs=9, done_epochs=0)["train"]
    validated = (
        {} if network.name.endswith("_tf2") else {"validation_interval": 9}
    )  # these validate with each checkpoint
    assert train == {"num_epochs": 9, "checkpoint_interval": 9} | validated


@pytest.mark.parametrize("network", [each for each in LATER if each.name != "re_identification"], ids=str)
def test_every_point_of_a_networks_space_of_7_3_is_a_valid_specification_of_7_3(network: Network) -> None:
    document = merge.default(network, "train", ["cat", "dog"])
    found = space.build(network, document, saved=True, add=[], remove=[])
    draw = random.Random(network.name)
    for _ in range(10):
        at = {
            each.path: float(draw.randrange(len(each.choices))) if each.choices else draw.random()
            for each in found.dimensions
        }
        spec = encoding.put(document, encoding.values(found.dimensions, at, document))
        assert not check(network, "train", spec, strict=True).violations
        rung = fidelity.for_rung(network, spec, epochs=3, done_epochs=1)
        assert merge.get(rung, "train.num_epochs") == 3


def test_ranges_over_decades_are_searched_on_a_logarithmic_scale() -> None:
    weight = by_name(built("unet"))["training_config.regularizer.weight"]
    assert (weight.low, weight.high, weight.log) == (3e-9, 3e-3, True)
    beta = by_name(built("unet"))["training_config.optimizer.adam.beta1"]
    assert (beta.low, beta.high, beta.log) == (0.6, 0.98, False)


def test_an_open_range_lies_around_the_default() -> None:
    lr = by_name(built("dino"))["train.optim.lr"]
    assert (lr.low, lr.high, lr.log) == (pytest.approx(2e-5), pytest.approx(2e-3), True)
    batch = by_name(built("lprnet"))["training_config.batch_size_per_gpu"]
    assert (batch.kind, batch.low, batch.high) == ("int", 16, 64)
    momentum = by_name(built("bpnet"))["optimizer.momentum"]
    assert momentum.high == 1.0


def test_a_parameter_without_options_keeps_its_default_and_says_so() -> None:
    (note,) = built("classification_tf2").notes
    assert note.startswith("train.reg_config.type keeps its default: it has no options to choose from")


def test_parents_are_drawn_before_those_that_depend_on_them() -> None:
    found = [each.path for each in built("detectnet_v2").dimensions]
    assert found.index(f"{SCHEDULE}.annealing") < found.index(f"{SCHEDULE}.soft_start")


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_dependent_value_stays_below_its_parent(first: float, second: float) -> None:
    dimensions = by_name(built("detectnet_v2"))
    two = [dimensions[f"{SCHEDULE}.annealing"], dimensions[f"{SCHEDULE}.soft_start"]]
    chosen = encoding.values(two, {two[0].path: first, two[1].path: second}, {})
    assert chosen[two[1].path] <= chosen[two[0].path]


@given(st.floats(0, 1))
def test_numbers_are_rounded_to_values_that_the_network_accepts(at: float) -> None:
    width = by_name(built("yolo_v3"))["augmentation_config.output_width"]
    value = encoding.values([width], {width.path: at}, {})[width.path]
    assert isinstance(value, int) and value % 32 == 0 and 640 <= value <= 2560
    batch = Dimension(path="b", kind="int", low=4, high=100, power_of=2)
    assert encoding.values([batch], {"b": at}, {})["b"] in (4, 8, 16, 32, 64)


def test_added_removed_deleted_and_unset_parameters() -> None:
    default = merge.default("classification_pyt", "train")
    assert set(by_name(built("classification_pyt", add=[LR]))) == {WEIGHT_DECAY, LR}
    with pytest.raises(BadRequest, match="nothing to search for classification_pyt; name parameters in automl_add"):
        built("classification_pyt", remove=[WEIGHT_DECAY])
    for gone in ({"lr": 0.1}, {"weight_decay": None}):
        document = merge.merge(default, {})
        document["train"] = merge.merge(document["train"], {"train_config": {"optimizer": None}})
        document["train"]["train_config"]["optimizer"] = gone
        found = built("classification_pyt", document, add=[LR])
        assert set(by_name(found)) == {LR}
        assert found.notes == [f"{WEIGHT_DECAY} is not searched: it was deleted from the saved specification"]
    partial = {"train": {"train_config": {"runner": {"max_epochs": 3}}}}
    assert set(by_name(built("classification_pyt", partial))) == {WEIGHT_DECAY}, "nothing was said of it"


def test_classwise_values_are_set_for_every_class() -> None:
    path = "classwise_config.postprocessing_config.clustering_config.dbscan_confidence_threshold"
    document = merge.default("detectnet_v2", "train", ["cat", "dog"])
    spec = encoding.put(document, {path: 0.37})
    found = [
        one["postprocessing_config"]["clustering_config"]["dbscan_confidence_threshold"]
        for one in spec["classwise_config"]
    ]
    assert found == [0.37, 0.37]


def test_the_user_narrows_ranges_in_the_specification() -> None:
    document = merge.default("classification_pyt", "train")
    document["automl"] = {WEIGHT_DECAY: {"min": 0.01, "max": 0.02, "log": False}, LR: {"min": 1e-5, "max": 1e-2}}
    found = by_name(built("classification_pyt", document))
    assert (found[WEIGHT_DECAY].low, found[WEIGHT_DECAY].high, found[WEIGHT_DECAY].log) == (0.01, 0.02, False)
    assert (found[LR].low, found[LR].high, found[LR].log) == (1e-5, 1e-2, True), "what is narrowed is searched"
    type_ = "train.reg_config.type"
    spec = merge.default("classification_tf2", "train") | {"automl": {type_: {"values": ["L1", "L2"]}}}
    assert by_name(built("classification_tf2", spec))[type_].choices == ["L1", "L2"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"train.optim.le": {"min": 1}}, "'train.optim.le' is no parameter.*nearest is 'train.optim.lr'"),
        ({"train.optim.lr": {"min": 2, "max": 1}}, "min 2 is not below max 1"),
        ({"train.optim.lr": {"min": -1}}, "min -1 lies outside of what the parameter may be, 0 to …"),
        ({"train.optim.lr": {"min": 0, "log": True}}, "log needs a min above 0"),
        ({"model.backbone": {"min": 0}}, "min is for numbers"),
        ({"model.backbone": {"values": ["bert"]}}, "values .'bert'. must be some of"),
        ({"train.optim.lr": [1, 2]}, "Expected `object`, got `array`; known are min, max, log, values"),
        ([1], "must be an object"),
    ],
)
def test_an_invalid_range_is_rejected(said: object, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        space.user_ranges("dino", {"automl": said})


def test_names_that_cannot_be_searched_are_rejected() -> None:
    with pytest.raises(BadRequest, match=r"automl_add_hyperparameters: 'train.optim' is a group, which"):
        space.check_names("dino", "automl_add_hyperparameters", ["train.optim"])
    with pytest.raises(BadRequest, match=r"'train.optim.learning_rate' is no parameter.*nearest is 'train.optim.lr"):
        space.check_names("dino", "automl_remove_hyperparameters", ["train.optim.learning_rate"])


def test_a_rung_has_the_given_length_and_validates_at_its_end() -> None:
    document = merge.default("dino", "train")
    rung = fidelity.for_rung("dino", document, epochs=9, done_epochs=3)["train"]
    assert (rung["num_epochs"], rung["checkpoint_interval"], rung["validation_interval"]) == (9, 9, 9)
    assert document == merge.default("dino", "train"), "the document itself stays"
    whole = fidelity.for_rung("dino", document, epochs=None, done_epochs=0)["train"]
    assert whole["num_epochs"] == 12
    ssd = fidelity.for_rung("ssd", merge.default("ssd", "train"), epochs=9, done_epochs=3)
    assert ssd["initial_epoch"] == 4, "TF1 counts from 1"
    tf2 = fidelity.for_rung("efficientdet_tf2", merge.default("efficientdet_tf2", "train"), epochs=9, done_epochs=3)
    assert tf2["train"]["init_epoch"] == 3
    assert length_field("segformer") == "train.max_iters"


def test_an_optimiser_that_was_not_chosen_is_not_searched() -> None:
    path = "training_config.optimizer.sgd.nesterov"
    found = built("yolo_v4_tiny")
    assert path not in by_name(found)
    assert any(path in note and "training_config.optimizer.adam" in note for note in found.notes)
    document = merge.over_default(
        "yolo_v4_tiny", "train", {"training_config": {"optimizer": {"sgd": {"nesterov": True}}}}
    )
    assert path in by_name(built("yolo_v4_tiny", document))
