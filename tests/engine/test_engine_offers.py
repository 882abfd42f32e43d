"""No parameter of an offered network is ignored silently: each is read, listed as without effect, or rejected."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from runners.engine import capabilities
from runners.engine.core import offer
from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import JobFacts, ParentFacts
from taod.catalogue.network import get_network

NETWORKS = (
    "classification_pyt",
    "classification_tf1",
    "classification_tf2",
    "multitask_classification",
    "segformer",
    "unet",
)
"""Those whose lists are their own; detectors share lists, which their own test holds."""
pairs = [(name, action) for name in NETWORKS for action in capabilities.OFFERS[name].actions]


@pytest.mark.parametrize(("network", "action"), pairs)
def test_every_parameter_is_read_or_listed(network: str, action: str) -> None:
    line = capabilities.OFFERS[network]
    rows = get_network(network).table(action).rows
    unlisted = [
        path
        for path, row in rows.items()
        if row.type != "object"
        and not offer.read(line, path)
        and path not in line.only
        and offer.reason_of(line.without_effect, path) is None
        and offer.reason_of(line.rejected, path) is None
    ]
    assert unlisted == []


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_listed_exists_and_is_not_read(network: str) -> None:
    line = capabilities.OFFERS[network]
    paths = {path for action in get_network(network).actions for path in get_network(network).table(action).rows}
    listed = [*line.without_effect, *line.rejected]
    assert [path for path in listed if not any(one == path or one.startswith(f"{path}.") for one in paths)] == []
    assert [path for path in listed if offer.read(line, path)] == []


def test_a_set_value_without_effect_is_warned_about_and_a_default_is_not() -> None:
    def said(scale: float) -> list[str]:
        document = {"model": {"head": {"custom_args": {"head_init_scale": scale}}}}
        return capabilities.warnings("classification_pyt", "train", document)

    assert said(2) == ["model.head.custom_args.head_init_scale = 2 has no effect: the head is one linear layer"]
    assert said(1) == []


@pytest.mark.engine
def test_a_value_that_the_engine_lacks_is_rejected() -> None:
    pytest.importorskip("torch")
    document = {"dataset": {"data": {"val": {"ann_file": "val.txt"}}}}

    able, reason, _ = capabilities.can("classification_pyt", "evaluate", document)

    assert not able
    assert reason.startswith("dataset.data.val.ann_file is")


@pytest.mark.engine
@pytest.mark.skipif(find_spec("torch") is None, reason="needs the engine")
@pytest.mark.parametrize("network", capabilities.OFFERS)
def test_the_checkpoint_of_a_training_is_what_an_evaluation_reads(network: str, tmp_path: Path) -> None:
    name = import_module(f"runners.engine.networks.{network}.network").NETWORK.checkpoint_name.format(epoch=8)
    trained = ParentFacts(network, "train", tmp_path / "train")
    (trained.results / name).parent.mkdir(parents=True)
    (trained.results / name).write_bytes(b"weights")
    facts = JobFacts(
        network=network, action="evaluate", folder=tmp_path, results=tmp_path / "r", key="k", spec={}, parent=trained
    )
    made = assemble(facts)
    assert str(trained.results / name) in f"{' '.join(made.argv)} {made.spec_text}"
