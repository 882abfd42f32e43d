"""The form that creates or changes a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from textual import on, work
from textual.widget import Widget
from textual.widgets import Input, Select
from textual.widgets.selection_list import Selection

from taod.client import AsyncClient, ClientError
from taod.types.dataset import Dataset
from taod.types.model import Model, ModelCreate, ModelPatch, Ptm
from taod.types.network import NetworkInfo, fitting_types
from tui.forms.choices import Choices
from tui.forms.form import Form, Row, choice
from tui.models.sweep import SweepFields

USES = (("eval_dataset", "Evaluate on"), ("inference_dataset", "Infer on"), ("calibration_dataset", "Calibrate on"))
FIRST = "classification_pyt"


class ModelForm(Form[Model]):
    """Creates a model, or changes the given one. Offers only datasets that fit the network.

    `networks` has each network once for each release of NVIDIA's tools that has it, the oldest first.
    """

    def __init__(
        self,
        client: AsyncClient,
        networks: Sequence[NetworkInfo],
        datasets: Sequence[Dataset],
        model: Model | None = None,
    ) -> None:
        super().__init__("New model" if model is None else f"Change {model.name}".replace("[", r"\["))
        self._client, self._model = client, model
        self._releases: dict[str, dict[str, NetworkInfo]] = {}
        for network in networks:
            if network.kind == "network":
                self._releases.setdefault(network.name, {}).setdefault(network.release, network)
        self._datasets = datasets
        self._sweep = SweepFields(self, model)

    @property
    def network(self) -> NetworkInfo | None:
        """The network in the model's release, or in the first that has it."""
        model = self._model
        name, release = (model.network_arch, model.release) if model is not None else (self.chosen("#network"), None)
        known = self._releases.get(name or "", {})
        return known.get(release or self._release or "") or next(iter(known.values()), None)

    @property
    def _release(self) -> str | None:
        """The release that a new model was given; None: that of the tool here."""
        return self.chosen("#release") if self._model is None else None

    def rows(self) -> Iterable[Widget]:
        model = self._model
        yield Row(
            "Name", Input(model.name if model else "", placeholder="a name of your choice", id="name", compact=True)
        )
        if model is None:
            runs = {name: any(map(_runs, known.values())) for name, known in self._releases.items()}
            names = sorted(runs, key=lambda name: (not runs[name], name))
            options = [(name if runs[name] else f"{name}  (no runner here)", name) for name in names]
            yield Row("Network", choice("network", options, FIRST, "choose"))
            yield Row("Release", choice("release", [], None, "that of the tool here"), "of NVIDIA's tools")
        yield Row("Train on", Choices[str](id="train_datasets", compact=True), "space: choose")
        for field, label in USES:
            yield Row(label, choice(field, [], None))
        yield Row("Starts from", choice("ptm", [], None), "pretrained model with registered weights")
        yield Row(
            "Metric",
            Input(model.metric if model else "kpi", id="metric", compact=True),
            "kpi: the metric of the network",
        )
        yield from self._sweep.rows()

    def on_mount(self) -> None:
        super().on_mount()
        if self._model is not None:
            self._offer()
        self._show_sweep()

    @on(Select.Changed, "#network")
    def _network_chosen(self, event: Select.Changed) -> None:
        event.stop()
        name = self.chosen("#network")
        self.query_one("#release", Select).set_options([(each, each) for each in self._releases.get(name or "", {})])
        self._offer()

    @on(Select.Changed, "#release")
    def _release_chosen(self, event: Select.Changed) -> None:
        event.stop()
        self._read_parameters()

    @on(Select.Changed, "#sweep")
    def _show_sweep(self) -> None:
        self._sweep.show()

    def _offer(self) -> None:
        """Offer the datasets and pretrained models that fit the network."""
        network = self.network
        types = fitting_types(network.name, network.dataset_type) if network is not None else ()
        fitting = [each for each in self._datasets if each.type in types]
        named = [(f"{dataset.name}  {dataset.format}", dataset.id) for dataset in fitting]
        chosen = set(self._model.train_datasets) if self._model is not None else set()
        train = self.query_one("#train_datasets", Choices)
        train.clear_options()
        train.add_options(Selection(name, key, key in chosen) for name, key in named)
        train.highlighted = 0 if named else None
        row = next(each for each in self.query(Row) if each.widget is train)
        missing = f"No {network.dataset_type} dataset fits {network.name}: create one first (D)." if network else ""
        row.note("space: choose" if named else missing, wrong=not named)
        for field, _ in USES:
            select = self.query_one(f"#{field}", Select)
            select.set_options(named)
            current = getattr(self._model, field) if self._model is not None else None
            if current in {key for _, key in named}:
                select.value = current
        self._read_ptms()
        self._read_parameters()

    @work(group="ptms", exclusive=True)
    async def _read_ptms(self) -> None:
        network = self.network
        if network is None:
            return
        try:
            ptms = await self._client.ptms.list(network.name)
        except ClientError as error:
            self.show_error(error.description)
            return
        select = self.query_one("#ptm", Select)
        select.set_options([(_ptm(ptm), ptm.id) for ptm in sorted(ptms, key=lambda each: not each.path)])
        current = self._model.ptm[0] if self._model is not None and self._model.ptm else None
        if current in {ptm.id for ptm in ptms}:
            select.value = current

    @work(group="parameters", exclusive=True)
    async def _read_parameters(self) -> None:
        network = self.network
        if network is None:
            return
        try:
            self._sweep.offer(await self._client.networks.parameters(network.name, "train", release=network.release))
        except ClientError:
            self._sweep.offer(None)  # a network without a training

    async def submit(self) -> Model:
        if not self.text("#name"):
            raise ValueError("Name: enter a name.")
        train = list(self.query_one("#train_datasets", Choices).selected)
        ptm = self.chosen("#ptm")
        common: dict[str, Any] = {
            "name": self.text("#name"),
            "metric": self.text("#metric") or "kpi",
            "train_datasets": train,
            "ptm": [ptm] if ptm else [],
        }
        common |= self._sweep.read() | {field: self.chosen(f"#{field}") for field, _ in USES}
        if self._model is not None:
            return await self._client.models.update(self._model.id, ModelPatch(**common))
        if self.network is None:
            raise ValueError("Network: choose one.")
        if (release := self._release) is not None:
            common["release"] = release
        return await self._client.models.create(ModelCreate(network_arch=self.network.name, **common))


def _runs(network: NetworkInfo) -> bool:
    return any(action.runners for action in network.actions)


def _ptm(ptm: Ptm) -> str:
    return f"{ptm.name}  {ptm.ngc_path}" if ptm.path else f"{ptm.name}  {ptm.ngc_path}  (no weights here)"
