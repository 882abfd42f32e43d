"""What a step of the trainer does: accumulation, moving average, clipping."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from runners.engine.core import optimise  # noqa: E402
from runners.engine.core.network import Loss, Recipe  # noqa: E402
from runners.engine.core.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.engine


def trainer(model: Any = None, **changes: Any) -> Trainer:
    torch.manual_seed(0)
    model = model or torch.nn.Linear(3, 1)
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


def followed(one: Trainer, steps: int) -> tuple[Any, Any]:
    """The average that the definition gives after so many steps, and the last weights, for the first layer."""
    rows = torch.ones(2, 3)
    learn(one, rows, 0)
    average = one.model.weight.detach().clone()
    for number in range(1, steps):
        learn(one, rows, number)
        decay = min(one._recipe.ema_decay or 0.0, (1 + number) / (10 + number))
        average = decay * average + (1 - decay) * one.model.weight.detach()
    return average, one.model.weight.detach()


@pytest.mark.parametrize("decay", [0.25, 0.9999])
def test_the_moving_average_follows_the_weights_slower_with_each_step_up_to_the_decay(decay: float) -> None:
    one = trainer(ema_decay=decay)
    average, _ = followed(one, 30)

    assert torch.allclose(one.deployed.weight, average, atol=1e-6)


def test_the_moving_average_of_a_short_training_is_not_its_first_weights() -> None:
    one = trainer(ema_decay=0.9999)
    first = one.model.weight.detach().clone()
    _, last = followed(one, 60)

    moved, behind = (last - first).norm(), (last - one.deployed.weight).norm()
    assert behind < 0.1 * moved


def test_a_moving_average_counts_the_models_batches() -> None:
    norm = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    one = trainer(norm, ema_decay=0.9999)
    for number in range(5):
        learn(one, torch.randn(4, 3, generator=torch.Generator().manual_seed(number)), number)

    assert one.deployed[1].num_batches_tracked.item() == 5
    assert 0 < (one.deployed[1].running_mean - norm[1].running_mean).abs().max() < 0.5


def test_a_clipped_gradient_moves_the_weights_by_the_limit() -> None:
    one = trainer(clip_norm=0.01)
    before = torch.cat([part.detach().flatten().clone() for part in one.model.parameters()])
    learn(one, 100 * torch.ones(2, 3), 0)
    after = torch.cat([part.detach().flatten() for part in one.model.parameters()])

    assert (after - before).norm().item() == pytest.approx(0.1 * 0.01, rel=1e-3)
