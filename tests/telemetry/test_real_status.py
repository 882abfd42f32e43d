"""Status files of NVIDIA's own tools, read line by line, compared with expectations written by hand.

`real/5.0` and `real/7.3` hold what trainings on tiny data wrote. Those of 7.3 are the first and last lines; some lines
are truncated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from taod.catalogue.network import get
from taod.telemetry.metric import latest_value
from taod.telemetry.status import StatusReader
from taod.types.job import Graphical

REAL = Path(__file__).parent / "real"


class Read(msgspec.Struct, kw_only=True):
    """Expected contents of a file, written by hand."""

    kpi: dict[str, dict[str, float]] = {}
    epoch: int | None = None
    max_epoch: int | None = None
    status: str = "SUCCESS"
    message: str = "Training finished successfully"
    cut: bool = False
    """Whether a line of the file is truncated."""
    curves: list[Graphical] = []


FINISHED_7 = "Train finished successfully."

FILES_5 = {
    # The line of epoch 4 is truncated, the one with its metrics is complete.
    "action_recognition": Read(
        kpi={
            "train_loss": {"1": 12.684761067231497, "2": 3.7537091175715127, "3": 1.8100601037343342,
                           "4": 1.6206118265787761},
            "train_acc": {"1": 0.125, "2": 0.0833333358168602, "3": 0.2083333283662796, "4": 0.3333333432674408},
            "val_loss": {"1": 9071.990234375, "2": 1042.8649495442708, "3": 116.16379038492839,
                         "4": 6.797537167867024},
            "val_acc": {"1": 0.1666666716337204, "2": 0.1666666716337204, "3": 0.1666666716337204,
                        "4": 0.1666666716337204},
        },
        epoch=3, max_epoch=8, status="RUNNING", message="Train and Val metrics generated.", cut=True,
    ),
    "classification_pyt": Read(
        kpi={"accuracy_top-1": {"1": 100.0}},
        epoch=1, status="RUNNING", message="", cut=True,
        curves=[Graphical("loss", {"1": 0.08758485317230225}, x_max=1, y_max=0.08758485317230225)],
    ),
    "dino": Read(
        kpi={
            "val_mAP": {"1": 0.0, "2": 0.0},
            "val_mAP50": {"1": 0.0, "2": 0.0},
            "val_loss": {"1": 5.367471694946289, "2": 5.044286847114563},
            "train_loss": {"1": 6.028201341629028, "2": 5.717490077018738},
        },
        epoch=2, max_epoch=2,
    ),
    "ml_recog": Read(
        kpi={
            "train_loss": {"1": 0.0, "2": 0.0},
            "val Precision at Rank 1": {"1": 1.0, "2": 1.0},
            "trunk_base_lr": {"1": 3.5e-06, "2": 3.815e-05},
            "embedder_base_lr": {"1": 3.5e-06, "2": 3.815e-05},
            "val_AMI": {"1": 0.7544860128180474, "2": 0.7544860128180474},
            "val_NMI": {"1": 0.8, "2": 0.8},
            "val Mean Average Precision": {"1": 0.7315972222222223, "2": 0.7306712962962963},
            "val Mean Reciprocal Rank": {"1": 1.0, "2": 1.0},
            "val r-Precision": {"1": 0.75, "2": 0.75},
        },
        epoch=1, max_epoch=3, status="RUNNING", message="Train and eval metrics generated.", cut=True,
    ),
    "ocdnet": Read(
        kpi={name: {"1": 0.0, "2": 0.0} for name in ("recall", "precision", "hmean")}, epoch=2, max_epoch=2,
    ),
    "ocrnet": Read(
        kpi={
            "train_loss": {"1": 14.23732296625773, "2": 5.007619222005208},
            "val_loss": {"1": 12.30931282043457, "2": 8.191328048706055},
            "val_acc": {"1": 0.0, "2": 0.0},
        },
        epoch=2, max_epoch=2, message="Training finished successfully.",
    ),
    "ocrnet_dataset_convert": Read(message="Dataset convert finished successfully."),
    "optical_inspection": Read(
        kpi={
            "train_loss": {"1": 0.5862974127167021, "2": 0.8333774209047521, "3": 0.08526696265077138},
            "train_acc": {"1": 100.0, "2": 91.66667175292969, "3": 91.66667175292969},
            "train_fpr": {"1": 0.0, "2": 8.333333969116211, "3": 0.0},
            "val_loss": {"1": 0.0003146093222312629, "2": 3.333333247733846e-12, "3": 3.333333247733846e-12},
            "val_acc": {"1": 66.66667175292969, "2": 100.0, "3": 100.0},
            "val_fpr": {"1": 0.0, "2": 0.0, "3": 0.0},
        },
        epoch=3, max_epoch=3, status="RUNNING", message="Training loop complete.", cut=True,
    ),
    "pose_classification": Read(
        kpi={
            "train_loss": {"1": 0.6905781030654907, "2": 0.6253776103258133, "3": 0.2645191568881273},
            "train_acc": {"1": 0.5625, "2": 0.625, "3": 1.0},
            "val_loss": {"1": 0.7023043632507324, "2": 0.7031351327896118, "3": 0.5980054140090942},
            "val_acc": {"1": 0.5, "2": 0.5, "3": 0.5},
        },
        epoch=3, max_epoch=3, message="Training finished successfully.",
    ),
    "re_identification": Read(
        kpi={
            "train_loss": {"1": 2.932680606842041, "2": 2.6348528265953064},
            "train_acc": {"1": 0.125, "2": 0.25},
            "cmc_rank_1": {"1": 1.0, "2": 1.0},
            "cmc_rank_5": {"1": 1.0, "2": 1.0},
            "cmc_rank_10": {"1": 1.0, "2": 1.0},
            "mAP": {"1": 1.0, "2": 1.0},
        },
        epoch=2, max_epoch=2,
    ),
}  # fmt: skip
"""Of 5.0."""


def ended(kpi: dict[str, float] | None = None, **other: Any) -> Read:
    """A 7.3 training: metrics before any line with an epoch, the last status RUNNING."""
    fields: dict[str, Any] = {"status": "RUNNING", "message": FINISHED_7, **other}
    return Read(kpi={name: {"0": value} for name, value in (kpi or {}).items()}, **fields)


def failed(message: str) -> Read:
    return Read(status="FAILURE", message=message)


FILES_7 = {
    "action_recognition": ended(
        {"val_loss": 0.7772101759910583, "val_acc": 0.5, "train_loss": 0.26313289999961853, "train_acc": 1.0}
    ),
    "classification_pyt": ended(cut=True, kpi={"train_loss": 0.6257257461547852}),
    "deformable_detr": ended({"train_loss": 6.567929267883301}),
    "depth_net": failed("Parameter validation error: 'NoneType' object is not iterable"),
    "dino": ended({"train_loss": 15.307793617248535}),
    "mae": ended(epoch=1, max_epoch=1),
    "mal": failed("Parameter validation error: only 0-dimensional arrays can be converted to Python scalars"),
    "mask2former": ended(
        {"val_mAP": 0.0, "val_mAP50": 0.0, "val_loss": 12.69544792175293, "train_loss": 13.425976753234863}
    ),
    "ml_recog": ended({"train_loss": 0.0, "trunk_base_lr": 3.5e-06, "embedder_base_lr": 3.5e-06}, cut=True),
    "nvdinov2": ended(cut=True, kpi={"train_loss": 6.584072113037109}),
    "ocdnet": ended({"recall": 0.0, "precision": 0.0, "hmean": 0.0, "train_loss": 56.03416442871094}),
    "ocrnet": ended({"val_loss": 4.396892547607422, "val_acc": 0.0}),
    "optical_inspection": ended({"train_loss": 0.11270284652709961, "train_acc": 95.83332824707031, "train_fpr": 0.0}),
    "pose_classification": ended({"train_loss": 3.8220412731170654, "train_acc": 0.2083333283662796}, cut=True),
    # The failure is in the truncated line.
    "re_identification": ended(
        message="Resuming training from checkpoint: RESULTS/re_identification/train/model_epoch_000_step_00000.pth",
        cut=True,
    ),
    "rtdetr": ended(),
    "segformer": ended(cut=True, kpi={"train_loss": 0.6878048777580261}),
    "visual_changenet": ended(cut=True, kpi={"train_loss": 0.6995198130607605}),
}
"""Of 7.3."""

FILES = [
    *(("5.0", name, expected) for name, expected in FILES_5.items()),
    *(("7.3", name, expected) for name, expected in FILES_7.items()),
]


def test_every_file_is_read() -> None:
    assert sorted(path.stem for path in (REAL / "5.0").iterdir()) == sorted(FILES_5)
    assert sorted(path.stem for path in (REAL / "7.3").iterdir()) == sorted(FILES_7)


@pytest.mark.parametrize(("release", "name", "expected"), FILES, ids=[f"{one[0]}-{one[1]}" for one in FILES])
def test_a_real_status_file(release: str, name: str, expected: Read) -> None:
    reader = StatusReader(name.removesuffix("_dataset_convert"), release=release)
    for line in (REAL / release / f"{name}.jsonl").read_bytes().splitlines(keepends=True):
        reader.feed(line)
    reader.finish()
    result = reader.result
    assert {kpi.metric: kpi.values for kpi in result.kpi} == expected.kpi
    assert (result.epoch, result.max_epoch) == (expected.epoch, expected.max_epoch)
    assert result.graphical == expected.curves
    assert reader.last is not None
    assert (reader.last.status, reader.last.message) == (expected.status, expected.message)
    assert reader.odd.broken == expected.cut and not reader.odd.repaired and not reader.odd.oversized


def test_each_training_reports_the_metric_of_its_network() -> None:
    for name, expected in FILES_5.items():
        network = get(name)
        if network is not None and network.metric is not None:
            reported = {**expected.kpi, **{curve.metric: curve.values for curve in expected.curves}}
            assert network.metric in reported, name


def test_7_3_writes_validation_metrics_before_an_epochs_line_and_those_of_the_training_after_it() -> None:
    reader = StatusReader("classification_pyt", release="7.3")
    for epoch, (validated, trained) in enumerate([(0.69, 0.74), (0.68, 0.70), (0.67, 0.71)]):
        lines = (
            {"status": "RUNNING", "message": "Eval metrics generated.", "kpi": {"val_loss": validated}},
            {"epoch": epoch, "step": 3, "max_epoch": 5, "max_step": 18, "kpi": {"val_loss": validated}},
            {"status": "RUNNING", "message": "Train metrics generated.", "kpi": {"train_loss": trained}},
        )
        for line in lines:
            reader.feed(msgspec.json.encode(line) + b"\n")
    assert {kpi.metric: kpi.values for kpi in reader.result.kpi} == {
        "val_loss": {"1": 0.69, "2": 0.68, "3": 0.67},
        "train_loss": {"1": 0.74, "2": 0.70, "3": 0.71},
    }
    assert (reader.result.epoch, reader.result.max_epoch) == (3, 6)


def test_automl_gets_the_last_loss_of_classification_pyt() -> None:
    reader = StatusReader("classification_pyt")
    reader.feed((REAL / "5.0" / "classification_pyt.jsonl").read_bytes())
    assert latest_value(reader.result, "loss") == 0.08758485317230225
