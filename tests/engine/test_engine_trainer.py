"""What a step of the trainer does: accumulation, moving average, clipping."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from runners.engine.core import optimise  # noqa: E402
from runners.engine.core.network import Loss, Recipe  # noqa: E402
from runners.engine.core.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.engine


def trainer(**changes: Any) -> Trainer:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    recipe = Recipe(
        epochs=1,
        batch=2,
        optimiser=lambda model: optimise.sgd(model, 0.1, momentum=0.0),
        schedule=lambda steps: optimise.fixed(0.1),
        **changes,
    )
    return Trainer(model, recipe, optimise.fixed(0.1), torch.device("cpu"))


def learn(one: Trainer, rows: Any, number: int) -> None:
    one.step(lambda model, step: Loss(model(rows).square().mean()), len(rows), number)


def test_accumulated_batches_equal_one_large_batch() -> None:
    rows = torch.arange(12.0).view(4, 3) / 10
    whole, parts = trainer(), trainer(accumulate=2)

    learn(whole, rows, 0)
    learn(parts, rows[:2], 0)
    assert not parts.between
    learn(parts, rows[2:], 1)

    assert parts.between
    assert torch.allclose(whole.model.weight, parts.model.weight)
    assert parts.tally.item() == pytest.approx(whole.tally.item())


def test_the_moving_average_follows_the_weights() -> None:
    one = trainer(ema_decay=0.5)
    rows = torch.ones(2, 3)
    learn(one, rows, 0)
    first = one.model.weight.detach().clone()
    learn(one, rows, 1)

    assert torch.allclose(one.deployed.weight, (first + one.model.weight) / 2)


def test_a_clipped_gradient_moves_the_weights_by_the_limit() -> None:
    one = trainer(clip_norm=0.01)
    before = torch.cat([part.detach().flatten().clone() for part in one.model.parameters()])
    learn(one, 100 * torch.ones(2, 3), 0)
    after = torch.cat([part.detach().flatten() for part in one.model.parameters()])

    assert (after - before).norm().item() == pytest.approx(0.1 * 0.01, rel=1e-3)
