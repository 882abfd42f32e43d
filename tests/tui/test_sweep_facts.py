"""Texts and colours of trials, and the lines of the parallel plot, without a screen."""

from __future__ import annotations

import pytest
from rich.text import Text

from taod.types.state import State
from taod.types.sweep import Dimension, Importance, SweepView, TrialView
from tui.sweep import trial_view
from tui.sweep.parallel import Canvas, crossings, drawn, labels
from tui.theme import GREEN, RED, TEXT

LR = Dimension(path="train.optim.lr", kind="float", low=1e-5, high=1e-1, log=True)
DEPTH = Dimension(path="model.depth", kind="int", low=2.0, high=10.0)
KIND = Dimension(path="model.kind", kind="choice", choices=["a", "b", "c"])


def trial(number: int, value: float | None, **given: object) -> TrialView:
    params = {LR.path: 1e-3, DEPTH.path: 6, KIND.path: "b"} | given.pop("params", {})  # type: ignore[operator]
    outcome = given.pop("outcome", "done" if value is not None else "open")
    return TrialView(number=number, job_id=f"job{number}", params=params, value=value, outcome=outcome, **given)


def sweep(*trials: TrialView, direction: str = "minimise", **given: object) -> SweepView:
    known = [each for each in trials if each.value is not None]
    pick = min if direction == "minimise" else max
    best = pick(known, key=lambda each: each.value, default=None)
    fields: dict[str, object] = {
        "job_id": "s", "state": State.RUNNING, "reason": "", "algorithm": "TPE", "sampler": "tpe", "metric": "loss",
        "direction": direction, "best": best and best.number, "best_value": best and best.value,
        "best_params": best and best.params, "trials": list(trials), "planned": 10, "space": [LR, DEPTH, KIND],
        "notes": [], "importances": [], "epochs_trained": 6,
    }  # fmt: skip
    return SweepView(**(fields | given))


def test_the_best_is_first_in_both_directions_and_missing_values_are_last() -> None:
    trials = [trial(0, 0.5), trial(1, None), trial(2, 0.2), trial(3, 0.9)]
    assert [each.number for each in trial_view.ordered(sweep(*trials), "value")] == [2, 0, 3, 1]
    assert [each.number for each in trial_view.ordered(sweep(*trials, direction="maximise"), "value")] == [3, 0, 2, 1]
    assert [each.number for each in trial_view.ordered(sweep(*reversed(trials)), "number")] == [0, 1, 2, 3]


def test_the_best_so_far_never_gets_worse_and_skips_trials_without_a_value() -> None:
    trials = [trial(0, 0.5), trial(1, None), trial(2, 0.7), trial(3, 0.2), trial(4, float("nan"))]
    assert trial_view.best_so_far(sweep(*trials)) == ([0, 2, 3], [0.5, 0.5, 0.2])
    assert trial_view.best_so_far(sweep(*trials, direction="maximise")) == ([0, 2, 3], [0.5, 0.7, 0.7])


def test_colours_follow_ranks_so_that_an_outlier_hides_no_difference() -> None:
    ranks = trial_view.ranks(sweep(trial(0, 0.3), trial(1, 0.2), trial(2, 1e9)))
    assert ranks == {1: 1.0, 0: 0.5, 2: 0.0}
    assert (trial_view.colour(1.0), trial_view.colour(0.0)) == (GREEN, RED)


@pytest.mark.parametrize(
    ("dimension", "value", "place"),
    [
        (LR, 1e-5, 0.0),
        (LR, 1e-3, 0.5),
        (LR, 1e-1, 1.0),
        (DEPTH, 4, 0.25),
        (DEPTH, 20, 1.0),
        (KIND, "a", 0.0),
        (KIND, "c", 1.0),
        (KIND, "gone", None),
        (DEPTH, None, None),
    ],
)
def test_a_value_has_a_position_on_its_axis(dimension: Dimension, value: object, place: float | None) -> None:
    found = trial_view.axis_position(dimension, value)
    assert found == (None if place is None else pytest.approx(place))


def test_names_are_short_unless_two_are_equal() -> None:
    assert trial_view.short_names(["a.optim.lr", "b.head.lr", "c.depth"]) == {
        "a.optim.lr": "optim.lr", "b.head.lr": "head.lr", "c.depth": "depth",
    }  # fmt: skip


def test_a_row_has_a_cell_for_every_column_and_marks_the_best() -> None:
    view = sweep(trial(0, 0.5), trial(1, 0.2, source=0, reason="promoted"), trial(2, None, state=State.RUNNING))
    columns = [key for key, _, _ in trial_view.columns(view)]
    cells = [trial_view.row(view, each, trial_view.ranks(view).get(each.number)) for each in view.trials]
    assert {len(row) for row in cells} == {len(columns)}
    assert [row[0].plain for row in cells] == [" ", "★", " "]
    assert cells[1][columns.index(f"p:{LR.path}")].plain == "0.001"
    assert cells[1][-1].plain == "from trial 0; promoted"
    assert cells[2][columns.index("state")].plain == "● running"
    assert cells[2][columns.index("value")].plain == ""


def test_the_head_shows_progress_best_and_its_parameters() -> None:
    text = trial_view.head(sweep(trial(0, 0.5), trial(1, None), trial(2, None, outcome="failed"))).plain
    assert "1 of 10 trials done, 1 open, 1 failed" in text
    assert "best (lowest) loss 0.5 by trial 0: lr 0.001  depth 6  kind b" in text
    assert "no trial has a value yet" in trial_view.head(sweep(trial(0, None))).plain


def test_importance_is_a_bar_for_each_or_a_text_when_there_is_none() -> None:
    assert "four trials" in trial_view.importance(sweep()).plain  # type: ignore[union-attr]
    table = trial_view.importance(sweep(importances=[Importance(LR.path, 0.75), Importance(DEPTH.path, 0.25)]))
    assert [str(cell) for cell in table.columns[2]._cells] == [" 75%", " 25%"]  # type: ignore[union-attr]


def test_lines_cross_the_axes_where_the_values_lie() -> None:
    view = sweep(trial(0, 1.0, params={LR.path: 1e-5}), trial(1, 3.0, params={KIND.path: "gone"}), trial(2, None))
    assert crossings(view) == {
        0: [0.0, 0.5, 0.5, 0.0],
        1: [pytest.approx(0.5), 0.5, None, 1.0],
    }


def test_the_plot_fills_its_space_and_the_chosen_trial_is_on_top() -> None:
    view = sweep(trial(0, 1.0, params={LR.path: 1e-5, DEPTH.path: 2}), trial(1, 3.0, params={LR.path: 1e-1}))
    plot = drawn(view, 60, 12, chosen=0)
    lines = plot.split("\n")
    assert len(lines) == 12
    assert {line.cell_len for line in lines} == {60}
    assert lines[0].plain.startswith("0.1")
    assert lines[-1].plain.split() == ["lr", "depth", "kind", "loss"]
    bottom = next(line for line in reversed(lines[1:-2]))
    assert ord(bottom.plain[0]) > 0x2800, "the worst place of lr is where trial 0 begins"
    assert any(span.style == TEXT for line in lines[1:-2] for span in line.spans), "drawn in its own ink"
    assert "No trial has a value yet" in drawn(sweep(trial(0, None)), 60, 12).plain
    assert drawn(view, 8, 3).plain == "Too small for the plot."


def test_dots_are_drawn_at_their_coordinates() -> None:
    canvas = Canvas(2, 1)
    canvas.dot(0, 0, RED)
    canvas.dot(3, 3, GREEN)
    canvas.dot(99, 99, GREEN)
    (row,) = canvas.rows([])
    assert row.plain == "\u2801\u2880"
    canvas.line((0, 3), (3, 3), GREEN)
    (row,) = canvas.rows([])
    assert row.plain == "\u28c1\u28c0"


def test_labels_never_cover_each_other() -> None:
    line = labels(["weight_decay_of_all", "momentum_of_all", "loss_of_all"], [0, 14, 29], 30, TEXT)
    assert isinstance(line, Text)
    assert line.cell_len == 30
    assert line.plain.count("…") == 3
    assert len(line.plain.split()) == 3
