"""The catalogue equals the reference, except where decisions.tsv decides otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from taod.catalogue.schema import descriptions, merge
from taod.catalogue.schema.json_schema import schema
from taod.catalogue.schema.tables import Node, Parameter, index, network_file, table
from tests.catalogue import reference
from tests.catalogue.reference import Fact

TABLES = [(name, action) for name in reference.NAMES for action in reference.facts(name).tables]
Place = tuple[str, str, str]


@lru_cache(maxsize=1)
def decisions() -> dict[Place, Any]:
    """(network, path, property) -> what was decided."""
    found: dict[Place, Any] = {}
    for line in (Path(__file__).parent / "decisions.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            network, path, what, decided, why = line.split("\t")
            assert why and (network, path, what) not in found, line
            if what != "evidence":
                found[network, path, what] = json.loads(decided)
    return found


def properties(fact: Fact) -> dict[str, Any]:
    """The properties of a parameter as the reference has them."""
    multiple, against = reference.rules(fact)
    return {
        "type": reference.type_of(fact),
        "hidden": fact.type == "hidden",
        "const": fact.type == "const",
        "default": reference.value(fact, fact.default),
        "minimum": reference.number(fact.minimum),
        "maximum": reference.number(fact.maximum),
        "options": reference.options(fact),
        "required": "r" in fact.flags,
        "popular": "p" in fact.flags,
        "automl": "a" in fact.flags,
        "parent": fact.parent == "TRUE",
        "multiple_of": multiple,
        "compare": against,
    }


def differences(name: str, action: str) -> Iterator[tuple[Place, Any, Any]]:
    """(place, reference, catalogue) where they differ."""
    rows = table(name, action).rows
    for path, fact in reference.table_of(name, action).items():
        for what, value in properties(fact).items():
            has = getattr(rows[path], what)
            if json.dumps(has) != json.dumps(value) and not (has == value and type(has) is not bool):
                yield (name, path, what), value, has


def test_facts_cover_the_index() -> None:
    assert sorted(index()) == reference.NAMES
    assert len(reference.NAMES) == 40
    assert len(TABLES) == 204
    assert sum(1 for _ in reference.every_line()) == 10_290
    assert sum(len(reference.table_of(name, action)) for name, action in TABLES) == 10_261
    flags = "".join(fact.flags for _, _, fact in reference.every_line())
    assert {letter: flags.count(letter) for letter in "rpa"} == {"r": 511, "p": 276, "a": 156}


@pytest.mark.parametrize("name", reference.NAMES)
def test_networks(name: str) -> None:
    entry, facts = index()[name], reference.facts(name)
    data_type, formats, image, spec_format, classwise, actions = facts.network
    assert entry.dataset_type == (data_type or name)
    assert entry.kind == ("network" if data_type else "dataset")
    assert (",".join(entry.formats), entry.image, entry.spec_format) == (formats, image, spec_format)
    assert (str(entry.classwise), ",".join(entry.actions)) == (classwise, actions)
    assert sorted(entry.specs) == sorted(facts.tables)


@pytest.mark.parametrize("name", reference.NAMES)
def test_fields_of_command_lines_and_specs(name: str) -> None:
    file, facts = network_file(name), reference.facts(name)
    assert sorted(_other_functions(name)) == sorted(
        place for place in decisions() if place[0] == name and place[2] == "function"
    )
    for place, has in _other_functions(name).items():
        assert decisions()[place] == has, place
    actions = index()[name].actions
    for kind, listed in (("commands", facts.commands), ("fields", facts.fields)):
        expected = {action for action in listed if action.removesuffix("_tao_deploy") in actions}
        assert expected - set(getattr(file, kind)) == set()
    assert (file.sweep_commands, file.sweep_fields) == (facts.sweep_commands, facts.sweep_fields)


def _other_functions(name: str) -> dict[Place, str | None]:
    """Fields that the catalogue fills by another function than the reference, or not at all, or that only it has."""
    file, facts = network_file(name), reference.facts(name)
    return {
        (name, f"{kind}.{action}.{field}", "function"): has[action].get(field)
        for kind, has, listed in (("commands", file.commands, facts.commands), ("fields", file.fields, facts.fields))
        for action in has
        for field in {**has[action], **listed.get(action, {})}
        if listed.get(action, {}).get(field) != has[action].get(field)
    }


@pytest.mark.parametrize(("name", "action"), TABLES, ids=lambda value: value)
def test_parameters(name: str, action: str) -> None:
    assert set(table(name, action).rows) == set(reference.table_of(name, action))
    for place, value, has in differences(name, action):
        assert place in decisions(), f"{place}: the reference has {value!r}, the catalogue {has!r}"
        assert decisions()[place] == has, (
            f"{place}: the reference has {value!r}, decided {decisions()[place]!r}, it has {has!r}"
        )


def test_every_decision_is_needed() -> None:
    needed = {place for name, action in TABLES for place, _, _ in differences(name, action)}
    needed |= {place for name in reference.NAMES for place in _other_functions(name)}
    assert set(decisions()) - needed == set()


@pytest.mark.parametrize("name", reference.NAMES)
def test_the_schema_shows_every_parameter_with_its_facts(name: str) -> None:
    for action in reference.facts(name).tables:
        made, rows = schema(name, action), table(name, action)
        for path, row in rows.rows.items():
            shown = _in_schema(made, path)
            if _hidden(rows.root, path):
                assert shown is None, path
                continue
            assert shown is not None, path
            assert shown["title"] == descriptions.title(path)
            assert shown["type"] == {"int": "integer", "float": "number", "bool": "boolean"}.get(
                row.type, {"list": "array"}.get(row.type, row.type)
            )
            assert _facts_shown(shown, row) == []


def _facts_shown(shown: dict[str, Any], row: Parameter) -> list[str]:
    """What the schema of one parameter says otherwise than its row."""
    bounds = shown.get("items", {}) if row.type == "list" else shown
    expected = {
        "minimum": (bounds.get("minimum"), row.minimum),
        "maximum": (bounds.get("maximum"), row.maximum),
        "multipleOf": (bounds.get("multipleOf"), row.multiple_of),
        "enum": (shown.get("enum", []), row.options),
        "default": (shown.get("default"), row.default),
        "const": (shown.get("const"), row.default if row.const else None),
        "popular": (shown.get("popular", False), row.popular),
    }
    return [f"{row.path}.{what}: {is_} for {should}" for what, (is_, should) in expected.items() if is_ != should]


def _in_schema(made: dict[str, Any], path: str) -> dict[str, Any] | None:
    part: dict[str, Any] | None = made
    for name in path.split("."):
        if part is None:
            return None
        part = (part.get("properties") or part.get("items", {}).get("properties", {})).get(name)
    return part


def _hidden(root: Node, path: str) -> bool:
    node = root
    for name in path.split("."):
        node = node.children[name]
        if node.hidden:
            return True
    return False


def test_swept_parameters_are_listed() -> None:
    swept = {name: schema(name, "train")["automl_default_parameters"] for name, action in TABLES if action == "train"}
    expected = {
        name: [path for path, fact in reference.table_of(name, "train").items() if "a" in fact.flags] for name in swept
    }
    assert {name: sorted(paths) for name, paths in swept.items()} == {n: sorted(p) for n, p in expected.items()}


SERVICES = {"annotations", "analytics", "augmentation", "auto_label"}


def test_important_parameters_are_described() -> None:
    """All that is popular or required, all of the networks that run here, and what several networks have."""
    lines = [(name, action, fact) for name, action, fact in reference.every_line()]
    hidden = {(name, fact.path) for name, _, fact in lines if fact.type == "hidden"}
    networks: dict[str, set[str]] = {}
    for name, _, fact in lines:
        if (name, fact.path) not in hidden:
            networks.setdefault(fact.path, set()).add(name)
    important = {fact.path for _, _, fact in lines if set("rp") & set(fact.flags)}
    important |= {fact.path for name, _, fact in lines if name in SERVICES or name == "classification_pyt"}
    important |= {path for path, names in networks.items() if len(names) >= 3}
    assert {path for path in important if descriptions.described(path) is None} == set()


def test_most_parameters_are_described() -> None:
    shown = [fact.path for _, _, fact in reference.every_line() if fact.type != "hidden"]
    assert sum(descriptions.described(path) is not None for path in shown) / len(shown) > 0.78


def test_every_description_is_used_and_complete() -> None:
    places = {path for name, action in TABLES for path in _places(table(name, action).root)}
    used = {descriptions.described(path) for path in places}
    for key, said in descriptions.descriptions().items():
        assert said in used, key
        title, description = said
        assert title[:1] == title[:1].upper() or title == "int8", key
        assert description.endswith(".") and len(title) < 50, key


def test_descriptions_follow_the_end_of_a_path() -> None:
    same = ("train.num_epochs", "training_config.num_epochs", "num_epochs")
    assert len({descriptions.described(path) for path in same}) == 1
    assert descriptions.described("key") is not None
    assert descriptions.described("image_mean.key") != descriptions.described(
        "key"
    )  # `$.key` is the top of a specification only
    assert descriptions.described("train.bn_config.momentum") != descriptions.described("train.optim.momentum")


def _places(node: Node) -> Iterator[str]:
    for child in node.children.values():
        yield child.path
        yield from _places(child)


def test_defaults_hold_their_own_rules() -> None:
    for name, action in TABLES:
        document = merge.default(name, action)
        for row in table(name, action).rows.values():
            value = merge.get(document, row.path)
            if isinstance(value, int | float) and not isinstance(value, bool) and not row.hidden:
                assert row.minimum is None or value >= row.minimum, (name, action, row.path)
                assert row.maximum is None or value <= row.maximum, (name, action, row.path)
