"""status.json, rule by rule."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taod.telemetry.metric import latest_value
from taod.telemetry.metric_series import LONGEST_STAT, MOST_STATS
from taod.telemetry.status import LONGEST_LINE, StatusReader
from taod.types.event import StatusUpdate
from taod.types.job import Categorical, CategoryValue, DetailedStatus, Graphical, Kpi, Result

EXAMPLE = b"""\
{"date": "7/3/2023", "time": "9:4:12", "status": "STARTED", "verbosity": "INFO", "message": "Starting DINO training"}
{"epoch": 1, "max_epoch": 12, "time_per_epoch": "0:02:11.402", "eta": "0:24:05.4", "date": "7/3/2023", \
"time": "9:6:25", "status": "RUNNING", "verbosity": "INFO", "message": "Training loop in progress", \
"kpi": {"train_loss": 14.2, "val_mAP": "0.11", "val_mAP50": "0.23", "val_loss": 12.9}}
{"cur_iter": 200, "max_epoch": 1000, "date": "7/3/2023", "time": "9:7:1", "status": "RUNNING", "verbosity": "INFO", \
"mode": "train", "graphical": {"loss": 0.81, "lr": 5e-05}}
{"date": "7/3/2023", "time": "9:9:0", "status": "RUNNING", "verbosity": "INFO", "message": "Evaluation", \
"categorical": {"average_precision": {"car": 0.61, "person": "nan"}}, "kpi": {"mean average precision": 0.61}}
{"date": "7/3/2023", "time": "9:9:3", "status": "SUCCESS", "verbosity": "INFO", "message": "Training finished"}
"""


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def read(*lines: bytes, network: str = "dino") -> StatusReader:
    reader = StatusReader(network)
    for one in lines:
        reader.feed(one)
    return reader


def kpis(reader: StatusReader) -> dict[str, dict[str, float | None]]:
    return {kpi.metric: kpi.values for kpi in reader.result.kpi}


def test_a_whole_run() -> None:
    reader = StatusReader("dino", job_id="j1")
    updates = reader.feed(EXAMPLE)
    assert [update.status for update in updates] == ["STARTED", "RUNNING", "RUNNING", "RUNNING", "SUCCESS"]
    assert updates[1] == StatusUpdate(
        job_id="j1",
        status="RUNNING",
        message="Training loop in progress",
        epoch=1,
        max_epoch=12,
        eta="0:24:05.4",
        time_per_epoch="0:02:11.402",
        kpi={"train_loss": 14.2, "val_mAP": 0.11, "val_mAP50": 0.23, "val_loss": 12.9},
    )
    assert updates[2].graphical == {"loss": 0.81, "lr": 5e-05}
    last = DetailedStatus("7/3/2023", "9:9:3", "SUCCESS", "Training finished")
    assert reader.last == last
    assert reader.result == Result(
        eta="0:24:05.4",
        kpi=[
            Kpi("train_loss", {"1": 14.2}),
            Kpi("val_mAP", {"1": 0.11}),
            Kpi("val_mAP50", {"1": 0.23}),
            Kpi("val_loss", {"1": 12.9}),
            Kpi("mean average precision", {"1": 0.61}),
        ],
        epoch=1,
        cur_iter=200,
        graphical=[
            Graphical("loss", {"1": 0.81}, x_max=1, y_max=0.81),
            Graphical("lr", {"1": 5e-05}, x_max=1, y_max=5e-05),
        ],
        max_epoch=1000,
        categorical=[Categorical("average_precision", [CategoryValue("car", 0.61), CategoryValue("person", None)])],
        time_per_epoch="0:02:11.402",
        detailed_status=last,
    )


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, len(EXAMPLE)), max_size=12))
def test_the_result_does_not_depend_on_how_bytes_are_split(cuts: list[int]) -> None:
    whole = StatusReader("dino")
    expected = whole.feed(EXAMPLE)
    reader = StatusReader("dino")
    places = [0, *sorted(cuts), len(EXAMPLE)]
    updates = [update for a, b in itertools.pairwise(places) for update in reader.feed(EXAMPLE[a:b])]
    assert (updates, reader.result, reader.last) == (expected, whole.result, whole.last)


@settings(max_examples=60, deadline=None)
@given(junk=st.binary(max_size=60))
def test_any_line_leaves_the_next_one_readable(junk: bytes) -> None:
    reader = read(junk + b"\n" + line(status="SUCCESS", message="done", kpi={"a": 1}))
    assert reader.last is not None and reader.last.message == "done"
    msgspec.json.encode(reader.result)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)
FIELDS = [
    "date",
    "time",
    "status",
    "message",
    "epoch",
    "max_epoch",
    "cur_iter",
    "eta",
    "mode",
    "kpi",
    "graphical",
    "stats",
]


@settings(max_examples=100, deadline=None)
@given(fields=st.dictionaries(st.sampled_from([*FIELDS, "categorical", "time_per_epoch"]), JSON, max_size=6))
def test_any_field_values_give_a_storable_result(fields: dict[str, Any]) -> None:
    reader = read(line(**fields))
    again = msgspec.json.decode(msgspec.json.encode(reader.result), type=Result)
    assert again == reader.result


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"   ",
        b"Epoch 3: loss 0.2",
        b'{"status": "RUNNING", "message": "cut',
        b"[1, 2]",
        b'"text"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"message": "\\ud800"}',
        b"1" * 5_000,
    ],
)
def test_a_line_without_an_object_is_skipped(junk: bytes) -> None:
    reader = StatusReader("dino")
    assert reader.feed(junk + b"\n") == []
    assert reader.last is None and reader.result == Result()


def test_what_a_run_says_of_its_model_is_kept_by_name() -> None:
    reader = read(
        line(status="RUNNING", stats={"weights": "60 of 62", "odd": 5, "long": "x" * 9_999}),
        line(status="RUNNING", stats={"weights": "62 of 62", **{str(number): "a" for number in range(99)}}),
    )
    stats = {stat.metric: stat.value for stat in reader.result.stats}
    assert stats["weights"] == "62 of 62" and "odd" not in stats
    assert len(stats) == MOST_STATS and len(stats["long"]) == LONGEST_STAT


def test_a_partial_line_is_kept_until_its_end_arrives() -> None:
    reader = StatusReader("dino")
    whole = line(epoch=3, status="RUNNING")
    assert reader.feed(whole[:9]) == [] and reader.result.epoch is None
    assert len(reader.feed(whole[9:])) == 1 and reader.result.epoch == 3


def test_an_unterminated_last_line_is_read_when_the_tool_has_ended() -> None:
    reader = read(line(epoch=3, status="SUCCESS").rstrip())
    assert reader.last is None
    assert [update.status for update in reader.finish()] == ["SUCCESS"]
    assert reader.finish() == []


def test_an_endless_line_uses_bounded_memory() -> None:
    reader = StatusReader("dino")
    for _ in range(LONGEST_LINE // 2**20 + 2):
        assert reader.feed(b"x" * 2**20) == []
    assert len(reader._half) == 0
    assert reader.feed(b"rest of it\n") == []
    assert len(reader.feed(line(status="RUNNING"))) == 1


def test_an_epochs_first_value_wins() -> None:
    reader = read(line(epoch=1, kpi={"loss": 5}), line(epoch=1, kpi={"loss": 4}), line(epoch=2, kpi={"loss": 3}))
    assert kpis(reader) == {"loss": {"1": 5, "2": 3}}


def test_a_line_without_an_epoch_belongs_to_the_last_one_seen() -> None:
    reader = read(line(kpi={"accuracy": 0.1}), line(epoch=4), line(kpi={"accuracy": 0.9}))
    assert kpis(reader) == {"accuracy": {"0": 0.1, "4": 0.9}}


def test_segformer_counts_iterations() -> None:
    lines = (line(epoch=1, cur_iter=50, kpi={"Mean IOU": 0.4}), line(cur_iter=100, kpi={"Mean IOU": 0.5}))
    assert kpis(read(*lines, network="segformer")) == {"Mean IOU": {"50": 0.4, "100": 0.5}}
    assert kpis(read(*lines, network="unet")) == {"Mean IOU": {"1": 0.4}}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (1, 1.0),
        ("0.5", 0.5),
        ({"value": "2"}, 2.0),
        (True, 1.0),
        (float("nan"), None),
        ("nan", None),
        ("-inf", None),
        ({"value": float("inf")}, None),
        (None, None),
        (10**400, None),
    ],
)
def test_values_in_all_accepted_forms(raw: object, value: float | None) -> None:
    assert kpis(read(line(epoch=1, kpi={"a": raw}))) == {"a": {"1": value}}


@pytest.mark.parametrize("raw", ["good", [1], {}, {"note": "x"}, {"value": "good"}])
def test_values_without_a_number_are_omitted(raw: object) -> None:
    reader = read(line(epoch=1, kpi={"a": raw, "b": 1}))
    assert kpis(reader) == {"b": {"1": 1.0}}


def test_training_values_are_curves_but_not_metrics() -> None:
    reader = read(line(epoch=1, mode="train", kpi={"loss": 1}, graphical={"lr": 0.1}))
    assert kpis(reader) == {}
    assert [curve.metric for curve in reader.result.graphical] == ["lr"]


def test_axes_start_at_zero_and_reach_as_far_as_the_values() -> None:
    reader = read(
        *(line(epoch=epoch, graphical={"loss": value}) for epoch, value in enumerate([2.5, 4.0, "nan", 3], 1))
    )
    assert reader.result.graphical == [
        Graphical("loss", {"1": 2.5, "2": 4.0, "3": None, "4": 3.0}, x_min=0, x_max=4, y_min=0, y_max=4.0)
    ]


def test_the_largest_of_negative_values_is_negative() -> None:
    reader = read(line(epoch=1, graphical={"score": "nan"}), line(epoch=2, graphical={"score": -2}))
    assert reader.result.graphical[0].y_max == -2


def test_axes_that_the_tool_gives_stay() -> None:
    block = {"value": 0.5, "x_min": 1, "x_max": 100, "y_min": -1, "y_max": 1.5, "units": "%"}
    reader = read(line(epoch=1, graphical={"a": block}), line(epoch=2, graphical={"a": 7}))
    assert reader.result.graphical == [Graphical("a", {"1": 0.5, "2": 7.0}, 1, 100, -1.0, 1.5, "%")]


def test_a_curve_block_seen_before_is_skipped() -> None:
    reader = read(line(epoch=1, graphical={"a": 1, "b": 2}), line(epoch=2, graphical={"b": 2, "a": 1}))
    assert [curve.values for curve in reader.result.graphical] == [{"1": 1.0}, {"1": 2.0}]
    reader.feed(line(epoch=2, graphical={"a": 1}))
    assert reader.result.graphical[0].values == {"1": 1.0, "2": 1.0}


def test_the_latest_values_of_categories_are_kept() -> None:
    reader = read(
        line(categorical={"ap": {"car": 0.1, "dog": 0.2}, "iou": {"car": 1}}), line(categorical={"ap": {"car": 0.3}})
    )
    assert reader.result.categorical == [
        Categorical("ap", [CategoryValue("car", 0.3)]),
        Categorical("iou", [CategoryValue("car", 1.0)]),
    ]


@pytest.mark.parametrize("network", ["dino", "ocdnet", "ssd", "yolo_v4"])
def test_a_metric_before_the_line_of_its_epoch_counts_once(network: str) -> None:
    reader = read(
        line(kpi={"mean average precision": 0.1}),
        line(epoch=1, kpi={"mean average precision": 0.1}),
        line(epoch=9),
        line(kpi={"mean average precision": 0.5}),
        line(epoch=10, kpi={"mean average precision": 0.5}),
        line(status="SUCCESS", kpi={"mean average precision": 0.5}),
        network=network,
    )
    assert kpis(reader) == {"mean average precision": {"1": 0.1, "10": 0.5}}


@pytest.mark.parametrize("network", ["efficientdet_tf1", "mask_rcnn", "efficientdet_tf2"])
def test_a_metric_after_the_line_of_its_epoch_belongs_to_it(network: str) -> None:
    reader = read(
        line(epoch=1),
        line(kpi={"AP50": 0.1}),
        line(epoch=2, kpi={"AP50": 0.1}),
        line(kpi={"AP50": 0.5}),
        line(status="SUCCESS", kpi={"AP50": 0.5}),
        network=network,
    )
    assert kpis(reader) == {"AP50": {"1": 0.1, "2": 0.5}}


def test_a_metric_at_the_end_of_an_epoch_reported_at_its_start() -> None:
    """detectnet_v2, validated after epochs 2 and 3: its lines are numbered from 0 and repeat the last metrics."""
    reader = read(
        line(epoch=0),
        line(epoch=1),
        line(kpi={"mean average precision": 10.0}),
        line(epoch=2, kpi={"mean average precision": 10.0}),
        line(kpi={"mean average precision": 20.0}),
        line(status="SUCCESS", kpi={"size": 5.0}),
        network="detectnet_v2",
    )
    assert kpis(reader) == {"mean average precision": {"2": 10.0, "3": 20.0}, "size": {"3": 5.0}}


def test_a_repeated_metric_is_not_counted_for_later_epochs() -> None:
    reader = read(
        line(kpi={"hmean": 0.5}),
        line(epoch=1, kpi={"hmean": 0.5}),
        line(epoch=2, kpi={"hmean": 0.5}),
        line(kpi={"hmean": 0.5}),
        line(epoch=3, kpi={"hmean": 0.5}),
        network="ocdnet",
    )
    assert kpis(reader) == {"hmean": {"1": 0.5, "3": 0.5}}


def test_a_read_between_two_lines_of_an_epoch_counts_it_once() -> None:
    first, second = line(kpi={"hmean": 0.5}), line(epoch=1, kpi={"hmean": 0.5})
    stored = msgspec.json.decode(msgspec.json.encode(read(first, network="ocdnet").result), type=Result)
    reader = StatusReader("ocdnet", stored)
    reader.feed(first + second)
    assert kpis(reader) == {"hmean": {"1": 0.5}}


def test_metrics_in_the_line_of_their_epoch_belong_to_it() -> None:
    lines = (line(kpi={"a": 0.1}), line(epoch=1, kpi={"a": 0.1}))
    assert kpis(read(*lines, network="classification_tf2")) == {"a": {"0": 0.1, "1": 0.1}}


def test_the_last_iteration_of_an_epoch_counts_when_each_writes_a_line() -> None:
    def lines(epoch: int, *losses: float) -> list[bytes]:
        return [line(mode="train", epoch=epoch, loss=loss, graphical={"loss": loss}) for loss in losses for _ in "12"]

    reader = read(*lines(1, 1.0, 0.8, 0.5), *lines(2, 0.5, 0.4, 0.8), network="classification_pyt")
    assert reader.result.graphical == [Graphical("loss", {"1": 0.5, "2": 0.8}, x_max=2, y_max=0.8)]
    assert latest_value(reader.result, "loss") == 0.8


def test_a_validation_line_of_segformer_counts_batches_and_belongs_to_the_training_iteration_before() -> None:
    reader = read(
        line(mode="train", cur_iter=50, graphical={"loss": 1}),
        line(mode="val", cur_iter=7, kpi={"Mean IOU": 0.4}),
        line(mode="train", cur_iter=100, graphical={"loss": 0.5}),
        line(mode="val", cur_iter=7, kpi={"Mean IOU": 0.6}),
        network="segformer",
    )
    assert kpis(reader) == {"Mean IOU": {"50": 0.4, "100": 0.6}}
    assert reader.result.cur_iter == 100


def test_epochs_are_counted_from_1_where_the_tool_counts_from_0() -> None:
    reader = read(line(epoch=0, max_epoch=2, kpi={"loss": 3}), line(epoch=1, kpi={"loss": 2}), network="pointpillars")
    assert kpis(reader) == {"loss": {"1": 3, "2": 2}}
    assert (reader.result.epoch, reader.result.max_epoch) == (2, 2)


@pytest.mark.parametrize(
    ("block", "flat"),
    [
        ({"a": {"b": 1, "c": "2"}}, {"a.b": 1.0, "a.c": 2.0}),
        ({"a": {"b": {"c": {"value": 3, "units": "%"}}}}, {"a.b.c": 3.0}),
        ({"a": {"value": 1, "b": 2}}, {"a": 1.0}),
        ({"a": {"b": [1], "c": "good", "d": float("nan")}}, {"a.d": None}),
        ({"evaluation_cost ": 2.5}, {"evaluation_cost": 2.5}),
    ],
)
def test_nested_metrics_are_flattened(block: dict[str, Any], flat: dict[str, float | None]) -> None:
    assert kpis(read(line(epoch=1, kpi=block))) == {name: {"1": value} for name, value in flat.items()}
    curves = read(line(epoch=1, graphical=block)).result.graphical
    assert {curve.metric: curve.values for curve in curves} == {name: {"1": value} for name, value in flat.items()}


def test_too_deeply_nested_metrics_are_cut() -> None:
    reader = read(b'{"kpi": ' + b'{"a": ' * 500 + b"1" + b"}" * 500 + b', "status": "RUNNING"}\n')
    assert reader.last is not None and kpis(reader) == {}


def test_pythons_bare_nan_is_read() -> None:
    reader = read(b'{"epoch": 1, "kpi": {"loss": NaN, "mAP": Infinity}, "status": "RUNNING"}\r\n')
    assert kpis(reader) == {"loss": {"1": None}, "mAP": {"1": None}}


def test_reading_the_same_file_into_its_own_result_changes_nothing() -> None:
    first = StatusReader("dino")
    first.feed(EXAMPLE)
    kept = msgspec.json.encode(first.result)
    second = StatusReader("dino", msgspec.json.decode(kept, type=Result))
    second.feed(EXAMPLE)
    assert msgspec.json.encode(second.result) == kept


def test_a_new_attempt_resets_the_status_and_a_partial_line_but_keeps_metrics() -> None:
    reader = read(line(epoch=1, status="FAILURE", kpi={"a": 1}), b'{"epoch": 2, "ki')
    reader.new_attempt()
    assert reader.last is None and kpis(reader) == {"a": {"1": 1.0}}
    assert len(reader.feed(line(status="STARTED"))) == 1


def test_the_displayed_value_is_the_latest_finite_one_of_the_best_matching_name() -> None:
    result = Result(
        kpi=[Kpi("val_map", {"1": 0.1}), Kpi("val_mAP", {"2": 0.2, "10": 0.5, "11": None})],
        graphical=[Graphical("loss", {"1": 3.0}), Graphical("val_mAP", {"99": 9.0})],
    )
    assert latest_value(result, "val_mAP") == 0.5
    assert latest_value(result, "VAL_MAP") == 0.1
    assert latest_value(result, "Loss") == 3.0
    assert latest_value(result, "accuracy") is None
    assert latest_value(result, "kpi") is None
    assert latest_value(result, None) is None
