"""A SIGTERM that arrives at an exact place of a run in this process: what is saved, and that a resume ends the same."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from runners.engine.classification.logit_score import LogitScore  # noqa: E402
from runners.engine.core.trainer import Trainer  # noqa: E402
from runners.engine.errors import Interrupted  # noqa: E402
from runners.engine.interrupt import Interrupt  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.engine]


@pytest.fixture
def terminate_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, str, int], None]:
    """SIGTERM to this process after the n-th call of a method; the method is itself again for the resumed run."""

    def arrange(owner: type, name: str, calls: int) -> None:
        original, counted = getattr(owner, name), [0]

        def counting(self: Any, *arguments: Any) -> Any:
            found = original(self, *arguments)
            counted[0] += 1
            if counted[0] == calls:
                monkeypatch.setattr(owner, name, original)
                signal.raise_signal(signal.SIGTERM)
            return found

        monkeypatch.setattr(owner, name, counting)

    return arrange


def weights(bench: Any, results: str) -> dict[str, Any]:
    return torch.load(bench.root / results / "train" / "epoch_2.pth", weights_only=True)["model"]


@pytest.mark.parametrize(
    ("owner", "method", "calls", "where"),
    [
        (Trainer, "step", 2, "epoch 1, step 2 of 6"),
        (Trainer, "step", 6, "epoch 1, step 6 of 6"),
        (LogitScore, "add", 1, "epoch 1, step 6 of 6"),
        (Trainer, "step", 9, "epoch 2, step 3 of 6"),
    ],
    ids=["mid-epoch", "last step", "validation", "second epoch"],
)
def test_a_run_stopped_anywhere_continues_to_the_same_weights(
    colours: Any, terminate_after: Any, owner: type, method: str, calls: int, where: str
) -> None:
    assert colours.run("train", "whole", colours.spec())[0] == 0

    terminate_after(owner, method, calls)
    code, lines = colours.run("train", "halted", colours.spec())
    assert code == 143
    assert lines[-1]["status"] == "RUNNING"
    assert where in lines[-1]["message"]
    assert (colours.root / "halted" / "train" / "interrupted.ckpt").is_file()

    code, lines = colours.run("train", "halted", colours.spec())

    assert code == 0
    assert not (colours.root / "halted" / "train" / "interrupted.ckpt").exists()
    whole, resumed = weights(colours, "whole"), weights(colours, "halted")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_stop_that_comes_after_the_last_work_is_too_late(colours: Any, terminate_after: Any) -> None:
    spec = colours.spec(train__train_config__runner__max_epochs=1)
    terminate_after(LogitScore, "accuracy", 1)

    code, lines = colours.run("train", "out", spec)

    assert code == 0
    assert lines[-1]["status"] == "SUCCESS"


def test_a_mid_epoch_state_of_another_model_is_left_aside(colours: Any, terminate_after: Any) -> None:
    terminate_after(Trainer, "step", 2)
    assert colours.run("train", "out", colours.spec())[0] == 143

    spec = colours.spec(model__backbone__custom_args={"hidden_sizes": [4, 4], "depths": [1, 1], "embedding_size": 4})
    assert colours.run("train", "out", spec)[0] == 0
    assert (colours.root / "out" / "train" / "earlier" / "interrupted.ckpt").is_file()


def test_a_mid_epoch_state_over_other_images_restarts_its_epoch(
    colours: Any, terminate_after: Any, caplog: pytest.LogCaptureFixture
) -> None:
    terminate_after(Trainer, "step", 8)
    assert colours.run("train", "out", colours.spec())[0] == 143
    (colours.root / "train" / "red" / "000.png").unlink()

    with caplog.at_level("INFO", "engine"):
        assert colours.run("train", "out", colours.spec())[0] == 0
    assert "epoch 2 starts over" in caplog.text


def test_evaluate_stops_between_batches(colours: Any, terminate_after: Any) -> None:
    assert colours.run("train", "out", colours.spec())[0] == 0
    terminate_after(LogitScore, "add", 1)

    spec = colours.spec(evaluate__checkpoint=str(colours.root / "out" / "train" / "epoch_2.pth"))
    code, lines = colours.run("evaluate", "eval", spec)

    assert code == 143
    assert lines[-1]["message"] == "Stopped by SIGTERM"
    assert not (colours.root / "eval" / "metrics.json").exists()


def test_a_repeated_sigterm_changes_nothing_and_the_code_is_the_signals() -> None:
    interrupt = Interrupt().install()
    interrupt.check()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped:
        interrupt.check()
    assert stopped.value.exit_code == 143
