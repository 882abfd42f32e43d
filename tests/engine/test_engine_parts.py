"""Checkpoint files, schedules, scores, batches and weights, each by itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

from runners.engine import checkpoint  # noqa: E402
from runners.engine.classification.logit_score import LogitScore, softmax  # noqa: E402
from runners.engine.core import weights  # noqa: E402
from runners.engine.core.loading import EpochBatches  # noqa: E402
from runners.engine.errors import CheckpointError  # noqa: E402
from runners.engine.networks.classification_pyt import models, optimise  # noqa: E402
from runners.engine.networks.classification_pyt.settings import LrConfig  # noqa: E402

pytestmark = pytest.mark.engine


def test_a_checkpoint_comes_back_and_leaves_no_halves(tmp_path: Path) -> None:
    checkpoint.save(checkpoint.epoch_path(tmp_path, 3), {"model": {"w": torch.ones(2)}})

    assert torch.equal(checkpoint.load(tmp_path / "epoch_3.pth")["model"]["w"], torch.ones(2))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_3.pth"]


def test_damaged_foreign_newer_and_missing_checkpoints_are_distinguished(tmp_path: Path) -> None:
    whole = tmp_path / "epoch_1.pth"
    checkpoint.save(whole, {"model": {"w": torch.ones(1000)}})
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:-900])
    torch.save({"state_dict": {}}, tmp_path / "foreign.pth")
    torch.save({"format": checkpoint.FORMAT, "version": 99}, tmp_path / "newer.pth")

    for name, said in (
        ("cut", "damaged"),
        ("foreign", "not a checkpoint of the engine"),
        ("newer", "newer engine"),
        ("none", "does not exist"),
    ):
        with pytest.raises(CheckpointError, match=said):
            checkpoint.load(tmp_path / f"{name}.pth")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"format": checkpoint.FORMAT, "version": 1, "model": Trap()}, tmp_path / "epoch_1.pth")

    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "epoch_1.pth")
    assert not (tmp_path / "sprung").exists()


def test_epochs_are_ordered_by_number_and_pruned(tmp_path: Path) -> None:
    for epoch in (1, 2, 9, 10):
        checkpoint.epoch_path(tmp_path, epoch).touch()
    (tmp_path / checkpoint.INTERRUPTED).touch()

    assert [epoch for epoch, _ in checkpoint.epochs(tmp_path)] == [10, 9, 2, 1]
    checkpoint.prune(tmp_path, -1)
    assert len(checkpoint.epochs(tmp_path)) == 4
    checkpoint.prune(tmp_path, 2)
    assert [epoch for epoch, _ in checkpoint.epochs(tmp_path)] == [10, 9]


def test_schedules() -> None:
    cosine = optimise.schedule(LrConfig(min_lr_ratio=0.1), 1.0, 10, 2)
    assert (cosine(0), round(cosine(10), 6), round(cosine(20), 6)) == (1.0, 0.55, 0.1)
    warm = optimise.schedule(LrConfig(policy="fixed", warmup="linear", warmup_iters=4, warmup_ratio=0.2), 1.0, 10, 2)
    assert [round(warm(step), 6) for step in (0, 2, 4)] == [0.2, 0.6, 1.0]
    steps = optimise.schedule(LrConfig(policy="step", step=[1, 3], gamma=0.5), 1.0, 10, 5)
    assert [steps(step) for step in (0, 9, 10, 29, 30)] == [1.0, 1.0, 0.5, 0.5, 0.25]
    every = optimise.schedule(LrConfig(policy="step", step=2), 1.0, 10, 5)
    assert math.isclose(every(40), 0.01)
    assert math.isclose(optimise.schedule(LrConfig(policy="poly", power=2.0), 1.0, 10, 2)(10), 0.25)
    assert math.isclose(optimise.schedule(LrConfig(policy="exp", gamma=0.5), 1.0, 10, 5)(20), 0.25)


def test_scores_count_what_was_right() -> None:
    score = LogitScore(["a", "b", "c"], topk=(2, 5))
    logits = np.array([[3.0, 1, 0], [2, 1, 0], [0, 1, 2], [5, 4, 0]])
    labels = np.array([0, 1, 2, 2])

    score.add(logits, labels)

    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(labels)).item()
    assert score.kpi() == {"accuracy_top-1": 0.5, "accuracy_top-2": 0.75, "loss": pytest.approx(expected)}
    assert score.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 1]]
    assert score.accuracy() == {"a": 1.0, "b": 0.0, "c": 0.5}
    assert score.precision() == {"a": pytest.approx(1 / 3), "c": 1.0}
    assert np.allclose(softmax(logits).sum(axis=1), 1)


def test_batches_of_an_epoch_can_be_taken_up_anywhere() -> None:
    order = EpochBatches(10, 4, seed=1, shuffle=True)
    order.begin(2)
    whole = list(order)
    order.begin(2, step=1)

    assert list(order) == whole[1:]
    assert sorted(index for batch in whole for _, index in batch) == list(range(10))
    order.begin(3)
    assert list(order) != whole


def test_a_lone_last_image_is_left_out_in_training_only() -> None:
    assert EpochBatches(9, 4, 0, shuffle=True).steps == 2
    assert EpochBatches(9, 4, 0, shuffle=False).steps == 3


@pytest.mark.parametrize(
    ("backbone", "custom"),
    [
        ("resnet_10", {"hidden_sizes": [8, 8, 16, 16], "embedding_size": 8}),
        ("resnet_50", {"hidden_sizes": [16, 32], "depths": [1, 1], "embedding_size": 8, "stem_stride": 4}),
        ("convnext_atto", {"hidden_sizes": [8, 16], "depths": [1, 1], "drop_path_rate": 0.1}),
        ("fan_tiny_8_p4_hybrid", {"drop_path_rate": 0.1}),
        ("mobilenet_v1", {}),
        ("vit_tiny", {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}),
    ],
)
def test_each_family_is_built_and_its_weights_carried_over(
    backbone: str, custom: dict[str, object], tmp_path: Path
) -> None:
    plan, _ = models.plan(backbone, custom, 5, (32, 32))
    model, other = models.build(plan).eval(), models.build(models.plan(backbone, custom, 3, (32, 32))[0]).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "start.pth")

    loaded = weights.start(other, tmp_path / "start.pth", "model.init_cfg.checkpoint")

    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert loaded.total - loaded.count == 2  # the head's weight and bias have another shape
    (head,) = loaded.left.items()
    assert head[0].split(".")[-1] in ("head", "classifier", "fc")
    assert head[1].startswith("5x") and ", 3x" in head[1]
    said = str(loaded)
    assert said == f"{loaded.count} of {loaded.total} tensors loaded; left out: {head[0]} ({head[1]})"


def test_start_weights_that_do_not_fit_are_rejected(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.ones(2, 2)}, tmp_path / "start.pth")
    model = models.build(models.plan("resnet_10", {"hidden_sizes": [8, 8, 8, 8], "embedding_size": 8}, 2, (32, 32))[0])

    with pytest.raises(CheckpointError, match="no weights that fit"):
        weights.start(model, tmp_path / "start.pth", "model.init_cfg.checkpoint")
