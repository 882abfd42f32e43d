"""The fields of the model form for sweeps: algorithm, bounds, searched parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from textual.suggester import Suggester
from textual.widgets import Input
from textual.widgets.selection_list import Selection

from taod.types.algorithm import ALGORITHMS, Algorithm, find
from taod.types.model import Model, ModelCreate
from taod.types.network import ParameterInfo
from tui.forms.choices import Choices
from tui.forms.form import Form, Row, choice

Bound = tuple[str, str, int, str]
BOUNDS: tuple[Bound, ...] = (
    ("automl_max_recommendations", "Trials", 1, "number of trials"),
    ("automl_R", "R", 1, "epochs of the longest trial, before the multiplier"),
    ("automl_nu", "nu", 2, "one of this many trials advances to the next rung"),
    ("epoch_multiplier", "Multiplier", 1, "factor on the epochs of R"),
)
"""Field, label, least value and description of each bound."""
UNSEARCHABLE = frozenset({"list", "object", "any"})
KEEP = (("keep all", False), ("delete those of worse trials", True))


def algorithm_of(model: Model | None) -> str | None:
    """Algorithm of the model's sweep as ALGORITHMS spells it; None without a sweep."""
    if model is None or not model.automl_enabled:
        return None
    known = find(model.automl_algorithm)
    return known.name if known is not None else model.automl_algorithm


def named(stored: str) -> list[str]:
    """Parameters in a field of the model, which holds a JSON list as text."""
    try:
        found = json.loads(stored or "[]")
    except ValueError:
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def searchable(parameter: ParameterInfo) -> bool:
    """Whether a sweep can vary it."""
    wanted = parameter.type not in UNSEARCHABLE and not parameter.constant and not parameter.hidden
    return wanted and (parameter.type != "string" or bool(parameter.options))


class Paths(Suggester):
    """Completes the last of several parameter names, which are separated by commas."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.known: list[str] = []

    async def get_suggestion(self, value: str) -> str | None:
        typed = value.rpartition(",")[2].strip()
        if not typed:
            return None
        found = next((path for path in self.known if path.startswith(typed) and path != typed), None)
        return None if found is None else value[: len(value) - len(typed)] + found


class SweepFields:
    """Rows of the form; shows only those that the chosen algorithm uses."""

    def __init__(self, form: Form[Any], model: Model | None) -> None:
        self._form, self._model = form, model
        self._paths = Paths()
        self._defaults: list[str] | None = None
        """Parameters that are searched by default; None until they are known."""
        self._searchable: set[str] = set()

    def rows(self) -> Iterable[Row]:
        """The fields, from top to bottom."""
        chosen = algorithm_of(self._model)
        options = [(each.name, each.name) for each in ALGORITHMS.values()]
        if chosen is not None and chosen not in {name for name, _ in options}:
            options.append((chosen, chosen))
        yield Row("Sweep", choice("sweep", options, chosen, "off: a single training"))
        defaults = ModelCreate()
        for field, label, _, note in BOUNDS:
            value = getattr(self._model or defaults, field)
            yield Row(label, Input(str(value), type="integer", id=field, compact=True), note)
        yield Row("Search", Choices[str](id="searched", compact=True), "space: exclude or include")
        also = ", ".join(named(self._model.automl_add_hyperparameters)) if self._model is not None else ""
        placeholder = "train.optim.lr, model.backbone"
        names = Input(also, placeholder=placeholder, suggester=self._paths, id="also", compact=True)
        yield Row("Search also", names, "more parameters, separated by commas; →: accept the suggestion")
        delete = self._model is not None and self._model.automl_delete_intermediate_ckpt
        yield Row("Checkpoints", choice("clear", KEEP, delete, "keep all"))

    @property
    def algorithm(self) -> Algorithm | None:
        """The chosen algorithm; None if it is unknown."""
        name = self._form.chosen("#sweep")
        return None if name is None else ALGORITHMS.get(str(name).casefold())

    def show(self) -> None:
        """Show the rows of the chosen algorithm only."""
        swept, chosen = self._form.chosen("#sweep") is not None, self.algorithm
        bounds = {field for field, *_ in BOUNDS}
        used = set(chosen.fields) if chosen is not None else bounds
        for row in self._form.query(Row):
            name = row.widget.id or ""
            if name in bounds:
                row.display = swept and name in used
            elif name in ("searched", "also", "clear"):
                row.display = swept

    def offer(self, parameters: Sequence[ParameterInfo] | None) -> None:
        """Offer the parameters of the network's training; None: they could not be read."""
        removed = set(named(self._model.automl_remove_hyperparameters)) if self._model is not None else set()
        usable = [each for each in parameters or () if searchable(each)]
        self._searchable = {each.path for each in usable}
        self._defaults = None if parameters is None else [each.path for each in parameters if each.automl]
        self._paths.known = [each.path for each in usable if not each.automl]
        field = self._form.query_one("#searched", Choices)
        field.clear_options()
        shown = self._defaults or []
        field.add_options(Selection(path, path, path not in removed) for path in shown)
        field.highlighted = 0 if shown else None
        row = next(each for each in self._form.query(Row) if each.widget is field)
        row.note("space: exclude or include" if shown else "none by default: enter parameters below")

    def read(self) -> dict[str, Any]:
        """Fields of the model. Raises ValueError with a message for the user."""
        name = self._form.chosen("#sweep")
        found: dict[str, Any] = {"automl_enabled": name is not None}
        if name is None:
            return found
        found["automl_algorithm"] = name
        chosen = self.algorithm
        for field, label, least, _ in BOUNDS:
            typed = self._form.text(f"#{field}")
            if chosen is not None and field not in chosen.fields:
                continue
            if not typed.isdigit() or int(typed) < least:
                raise ValueError(f"{label}: {typed!r} is not a whole number of {least} or more.")
            found[field] = int(typed)
        found["automl_delete_intermediate_ckpt"] = bool(self._form.chosen("#clear"))
        if self._defaults is not None:
            searched = set(self._form.query_one("#searched", Choices).selected)
            found["automl_remove_hyperparameters"] = [path for path in self._defaults if path not in searched]
            also = [each.strip() for each in self._form.text("#also").split(",") if each.strip()]
            found["automl_add_hyperparameters"] = also
        return found
