"""Reads the data files: the index of networks, and the parameters of one action, parsed on demand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from taod.catalogue import releases
from taod.catalogue.schema import messages

DATA = Path(__file__).parent.parent / "data"


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One parameter of a specification: a line of a data file."""

    path: str
    """Dotted; a path that continues below a list describes the list's items."""
    type: str
    """`int`, `float`, `bool`, `string`, `list`, `object`, or `any`."""
    actions: str = ""
    """The actions whose specs have it, separated by spaces; empty: all of the network's."""
    const: bool = False
    hidden: bool = False
    """Accepted in a spec but not shown in the schema."""
    default: Any = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    options: list[Any] = []
    free_keys: bool = False
    """An object with user-defined keys (`label_map`): the user's object replaces the default as a whole."""
    items: str = ""
    """Type of the elements of a list, where it is known."""
    required: bool = False
    popular: bool = False
    automl: bool = False
    multiple_of: int | None = None
    compare: list[str] = []
    """Rules such as `<= train.num_epochs`, and `/ a.b` for a multiple of another parameter."""
    parent: bool = False
    """Other parameters depend on it, so a sweep samples it first."""
    note: str = ""


class StatusFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a network's training reports in status.json."""

    metrics: Literal["own", "before", "next", "after"] = "own"
    """Which epoch the metrics of a line without an epoch belong to; curves in such lines likewise.

    `own`: metrics stand in the line of their epoch, others belong to the last epoch seen. `before`: the tool writes
    them first, then the line of their epoch, mostly with the same metrics. `next`: the line of an epoch is written
    when it begins, counted from 0, and metrics at its end. `after`: metrics follow the line of their epoch. Under all
    but `own` later lines repeat them.
    """
    curves: Literal["first", "last"] = "first"
    """Which value of a curve represents an epoch; `last` where the tool writes one per iteration."""
    step: Literal["epoch", "cur_iter"] = "epoch"
    """The unit that the training counts."""
    first_epoch: int = 1
    """The number of the first epoch."""
    resumes_at_first: bool = False
    """A resumed training counts its epochs from `first_epoch` again."""


class IndexEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network's line of the index."""

    kind: str
    dataset_type: str
    formats: list[str]
    image: str
    spec_format: str
    classwise: bool
    actions: list[str]
    specs: list[str]
    """Actions that take a specification."""
    metric: str | None = None
    metric_direction: str = "maximise"
    checkpoint_separator: str = "="
    """The character before the epoch's number in a checkpoint's name."""
    first_checkpoint: int = 1
    """The number in the name of the first epoch's checkpoint."""
    model_files: list[str] = []
    """Patterns of the names of checkpoints that hold the model for later actions. These read the ones of the first
    pattern that the training left, a resume reads the others."""
    status: StatusFacts = StatusFacts()
    release: str = releases.BASE
    """The release that the facts are of."""
    program: str = ""
    """The executable, where it is not named as the network."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field of a specification that takes paths of a dataset."""

    field: str
    dataset: Literal["train_datasets", "eval_dataset", "inference_dataset", "calibration_dataset"]
    many: bool
    """A list with an entry for each dataset."""
    parts: dict[str, str]
    """Key -> path in the dataset; the key `""` for a plain value. `x.tar.gz` stands for the folder `x`."""
    holding: str = ""
    """A file that the dataset has to have; without it the field stays unset."""


class NetworkFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network's data file; its parameters stay undecoded until a table is needed."""

    fields: dict[str, dict[str, str]]
    """Action -> path in the spec -> function that gives its value."""
    parameters: msgspec.Raw
    commands: dict[str, dict[str, str]] | None = None
    """Action -> command line field -> function that gives its value. None: every action takes `-e FILE` and overrides
    alone."""
    sources: dict[str, list[Part]] | None = None
    """Action -> the fields with paths of its data. None: `commands/sources` has a function for them."""
    sweep_commands: dict[str, str] = {}
    sweep_fields: dict[str, str] = {}
    status: dict[str, str] = {}
    """For an action that does not write status.json below its results: the spec field with the folder, and after a
    slash the subfolder (`results_dir/dataset_convert`)."""
    export_size: list[str] = []
    """Where a training's specification has the width and the height of its images; a number at the end is an index.
    An export takes them, where its own specification has the defaults."""
    export_joined: str = ""
    """The group of a training's specification with `input_map`, `concat_type` and `grid_map`: it joins an object's
    images, one for each light, into one."""
    trained: list[str] = []
    """Parameters of a training that the tool reads in later actions too: it builds the model by them."""
    deploy_lacks: list[str] = []
    """Parameters that the configuration of the deploy tool lacks, and rejects."""
    one_of: list[list[str]] = []
    """A group, and names in it of which its tool reads only one: `[group, name, name, …]`; group `""` is the top."""


class Comparison(msgspec.Struct, frozen=True):
    """`path <operator> other` must hold wherever both have a value."""

    path: str
    operator: str
    other: str


_SCALARS = {"string": "string", "bool": "bool", "int": "int", "uint": "int", "float": "float"}


class Node:
    """A node of a specification: a parameter, or a group without a line of its own."""

    __slots__ = ("children", "field", "free", "hidden", "listed", "name", "parameter", "path")

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.parameter: Parameter | None = None
        self.children: dict[str, Node] = {}
        self.field: messages.Field | None = None
        """The field of the tool's protobuf message; None for other formats and undeclared nodes."""
        self.hidden = False
        self.listed = True
        """Whether the table has a line for it or below it; else only the tool's message has it."""
        self.free = False
        """Accepts any value below it without a warning."""

    @property
    def is_list(self) -> bool:
        return self.parameter is not None and self.parameter.type == "list"

    @property
    def repeats(self) -> bool:
        """Whether a specification may have several of it."""
        if self.field is not None:
            return self.field.repeated
        return self.is_list or (self.parameter is None and self.name.endswith("data_sources"))

    @property
    def declares_list(self) -> bool:
        """Whether the tool's message declares it repeated. Data sources are exempt: taod fills them in."""
        return self.field is not None and self.field.repeated and not self.name.endswith("data_sources")

    @property
    def items(self) -> str:
        """Type of a list's items by the table, else by the tool's message; empty where unknown."""
        row = self.parameter
        if row is not None and (row.items or row.minimum is not None or row.maximum is not None):
            return row.items or "float"
        declared = self.field.kind if self.field is not None else ""
        return _SCALARS.get(declared, "")

    @property
    def free_keys(self) -> bool:
        """Whether an object's keys are the user's own."""
        return self.parameter is not None and self.parameter.free_keys

    @property
    def must_be_given(self) -> bool:
        """Whether a document without it is rejected.

        A required field without a default, in a group, is not demanded: the default must validate.
        """
        row = self.parameter
        return (
            row is not None and row.required and (row.default is not None or row.type == "list" or "." not in row.path)
        )

    @property
    def is_group(self) -> bool:
        return self.parameter is None or self.parameter.type == "object"


class Table:
    """The parameters of one action of one network, in order and as a tree."""

    def __init__(
        self,
        network: str,
        action: str,
        rows: list[Parameter],
        message: str | None = None,
        release: str = releases.BASE,
    ) -> None:
        self.network = network
        self.release = release
        self.action = action
        self.rows = {row.path: row for row in rows}
        self.root = Node("", "")
        for row in rows:
            self._add_node(row).parameter = row
        _settle(self.root)
        if message is not None:
            _declare(self.root, message)
            _declare_classwise(self)
        self.comparisons = [_comparison(row.path, rule) for row in rows for rule in row.compare]
        self.required = [row for row in rows if row.required and self._asked_for(row)]
        self.automl = [row.path for row in rows if row.automl]

    def _add_node(self, row: Parameter) -> Node:
        node, path = self.root, ""
        for name in row.path.split("."):
            path = f"{path}.{name}" if path else name
            if name not in node.children:
                node.children[name] = Node(name, path)
            node = node.children[name]
        return node

    def _asked_for(self, row: Parameter) -> bool:
        node = self.node(row.path)
        return node is not None and node.must_be_given and not row.hidden and not self.in_list(row.path)

    def node(self, path: str) -> Node | None:
        """The node at a dotted path, or None."""
        node: Node | None = self.root
        for name in path.split("."):
            node = node.children.get(name) if node is not None else None
        return node

    def in_list(self, path: str) -> bool:
        """Whether the path describes the items of a list."""
        parts = path.split(".")
        above = (self.rows.get(".".join(parts[:end])) for end in range(1, len(parts)))
        return any(row is not None and row.type == "list" for row in above)


def _settle(node: Node) -> None:
    for child in node.children.values():
        _settle(child)
    below = node.children.values()
    own = node.parameter
    if own is None:
        # A repeated message of which only the fields have lines may be one object or a list.
        node.hidden = bool(node.path) and (all(c.hidden for c in below) or node.repeats)
    else:
        node.hidden = own.hidden or (own.type == "object" and bool(below) and all(c.hidden for c in below))
        node.free = (own.type == "object" and not below) or node.name == "custom_args"


def _declare(node: Node, message: str) -> None:
    """Add the fields of the tool's message to the tree; those without a line are known and hidden."""
    for name, field in messages.fields(message).items():
        child = node.children.get(name)
        if child is None:
            child = node.children[name] = Node(name, f"{node.path}.{name}" if node.path else name)
            child.hidden, child.listed = True, False
        child.field = field
        if field.message:
            _declare(child, field.message)


_CLASSWISE = {
    "classwise_config.value.bbox_rasterizer_config": "bbox_rasterizer_config.target_class_config.value",
    "classwise_config.value.cost_function_config": "cost_function_config.target_classes",
    "classwise_config.value.evaluation_config.evaluation_box_config": "evaluation_config.evaluation_box_config.value",
    "classwise_config.postprocessing_config": "postprocessing_config.target_class_config.value",
}
"""Part of a class's entry -> the place in the tool's message where `classwise.split` writes it."""


def _declare_classwise(table: Table) -> None:
    for part, place in _CLASSWISE.items():
        node, declared = table.node(part), table.node(place)
        if node is not None and declared is not None and declared.field is not None and declared.field.message:
            _declare(node, declared.field.message)


def _comparison(path: str, rule: str) -> Comparison:
    operator, _, other = rule.partition(" ")
    return Comparison(path, operator, other)


@lru_cache(maxsize=8)
def index(release: str = releases.BASE) -> dict[str, IndexEntry]:
    """Every network and dataset type of a release by name; raises KeyError for an unknown release."""
    entries: dict[str, IndexEntry] = {}
    for layer in releases.layers(release):
        entries |= msgspec.json.decode((_folder(layer) / "index.json").read_bytes(), type=dict[str, IndexEntry])
    return entries


def _folder(release: str) -> Path:
    return DATA if release == releases.BASE else DATA / release


def pretrained() -> Iterator[tuple[str, str]]:
    """(ngc_path, network_arch) of every published pretrained model; not cached: read once at start."""
    for network, paths in msgspec.json.decode((DATA / "ptms.json").read_bytes(), type=dict[str, list[str]]).items():
        for path in paths:
            yield path, network


@lru_cache(maxsize=128)
def network_file(name: str, release: str = releases.BASE) -> NetworkFile:
    """The data file of a network; raises KeyError for a name that the release's index lacks."""
    folder = _folder(index(release)[name].release)
    return msgspec.json.decode((folder / f"{name}.json").read_bytes(), type=NetworkFile)


@lru_cache(maxsize=128)
def _parameters(name: str, release: str) -> list[Parameter]:
    return msgspec.json.decode(network_file(name, release).parameters, type=list[Parameter])


@lru_cache(maxsize=256)
def table(network: str, action: str, release: str = releases.BASE) -> Table:
    """The parameter table of an action; an action without a spec has an empty one."""
    rows = [p for p in _parameters(network, release) if not p.actions or action in p.actions.split()]
    if action not in index(release)[network].specs:
        return Table(network, action, [], release=release)
    return Table(network, action, rows, messages.root(network, action), release)
