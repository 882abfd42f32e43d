"""The dialogue before a run: actions, parent job, and a dry run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from rich.text import Text
from textual import on, work
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Select, SelectionList, Static
from textual.widgets.selection_list import Selection

from taod.client import AsyncClient, ClientError
from taod.types.common import OwnerKind
from taod.types.job import Job, JobRun
from taod.types.network import ActionInfo, NetworkInfo
from taod.types.state import Status
from tui import format
from tui.forms.choices import Choices
from tui.forms.form import Form, Row, choice
from tui.run.plan import drawn
from tui.theme import DIM, RED, SOFT, TEXT

PAUSE_S = 0.15
"""Delay from the last change to the dry run."""
SPEC_HINT = "\n\nTo edit the specification of an action: escape, then e."


class RunDialogue(Form[list[str]]):
    """Dismissed with the ids of the created jobs."""

    YES = "Start jobs"

    def __init__(
        self, client: AsyncClient, kind: OwnerKind, owner_id: str, name: str, network: str, jobs: Sequence[Job], *,
        actions: Sequence[str] = (), parent: str | None = None,
    ) -> None:  # fmt: skip
        """`kind`: `model` or `dataset`. `actions` and `parent`: chosen initially."""
        super().__init__(f"Run on {name}".replace("[", r"\["))
        self._client, self._kind, self._owner_id, self._network = client, kind, owner_id, network
        self._jobs = [job for job in jobs if job.status is not Status.ERROR]
        self._actions, self._parent_id = actions, parent

    def rows(self) -> Iterable[Widget]:
        yield Row("Actions", Choices[str](id="actions", compact=True), "space: choose; several run one after the other")
        parents = [(f"{job.action} {format.short(job.id)}  {job.status.value}", job.id) for job in reversed(self._jobs)]
        yield Row(
            "Parent job",
            choice("parent", parents, self._parent_id, "chosen by the daemon"),
            "the job whose results the first action uses",
        )
        with VerticalScroll(id="plan-scroll"):
            yield Static("", id="plan")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#yes").disabled = True
        self._read_network()

    @work(group="network", exclusive=True)
    async def _read_network(self) -> None:
        try:
            network = await self._client.networks.get(self._network)
        except ClientError as error:
            self.show_error(error.description)
            return
        actions = self.query_one("#actions", Choices)
        actions.add_options(
            Selection(_offer(action), action.name, action.name in self._actions) for action in _offered(network)
        )
        actions.highlighted = 0
        actions.focus()
        if self._actions:
            self._plan()

    @property
    def chosen_actions(self) -> list[str]:
        """The chosen actions in the order of the network."""
        actions = self.query_one("#actions", Choices)
        chosen = set(actions.selected)
        offered = (actions.get_option_at_index(index).value for index in range(actions.option_count))
        return [action for action in offered if action in chosen]

    def _run(self) -> JobRun:
        return JobRun(self.chosen_actions, self.chosen("#parent"))

    @on(SelectionList.SelectedChanged)
    @on(Select.Changed, "#parent")
    def _changed(self) -> None:
        self._plan()

    @work(group="plan", exclusive=True)
    async def _plan(self) -> None:
        plan, start = self.query_one("#plan", Static), self.query_one("#yes")
        start.disabled = True
        if not self.chosen_actions:
            plan.update(Text("Choose one or more actions.", style=DIM))
            return
        await asyncio.sleep(PAUSE_S)
        try:
            planned = await self._client.jobs.plan(self._kind, self._owner_id, self._run())
        except ClientError as error:
            hint = SPEC_HINT if error.status == 400 and self._kind == "model" else ""
            plan.update(Text(error.description, style=RED).append(hint, style=SOFT))
            return
        plan.update(drawn(planned))
        start.disabled = False

    async def submit(self) -> list[str]:
        if not self.chosen_actions:
            raise ValueError("Choose one or more actions.")
        return await self._client.jobs.run(self._kind, self._owner_id, self._run())


def _offered(network: NetworkInfo) -> list[ActionInfo]:
    """Actions with a runner first."""
    return sorted(network.actions, key=lambda action: not action.runners)


def _offer(action: ActionInfo) -> Text:
    text = Text(f"{action.name:<24}", style=TEXT if action.runners else DIM)
    runner = f"by {action.runners[0]}" if action.runners else "no runner on this machine"
    return text.append(runner, style=SOFT if action.runners else DIM)
