"""Parts of the command line without a daemon: documents, texts, and lazy imports."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import rich_click as click

from taod.cli.commands.network import parameters
from taod.cli.support import documents
from taod.cli.support.output import as_text, number, size
from taod.documents import read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("3", 3),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", ""),
        ("no", "no"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("resnet_18", "resnet_18"),
        ("a: b", "a: b"),
        ("[1, 2e-3, cat]", [1, 2e-3, "cat"]),
        ("{a: 1}", {"a": 1}),
        ("[unclosed", "[unclosed"),
    ],
)
def test_a_value_is_parsed_as_the_tools_parse_it(text: str, value: Any) -> None:
    read = read_value(text)
    assert read == value
    assert type(read) is type(value)


def test_a_file_is_parsed_as_the_tools_parse_it_and_survives_a_round_trip() -> None:
    document = documents.read(b"lr: 1e-4\nphase: on\nwhen: 2024-01-01\nlist: [1, .nan]\nnone: ~\n", "a file")
    assert document["lr"] == 1e-4
    assert (document["phase"], document["when"], document["none"]) == (True, "2024-01-01", None)
    kept = {"a": {"b": [1, 2.5, True, None, "no", "1e-4", "2024-01-01", "ü"], "tiny": 1e-07}}
    assert documents.read(documents.to_yaml(kept).encode(), "a file") == kept


@pytest.mark.parametrize("content", [b"[1, 2]", b"a: [", b"\xff\xfe\x00x", b"", b"!!python/object:os.system {}"])
def test_a_document_must_be_a_mapping(content: bytes) -> None:
    with pytest.raises(click.UsageError):
        documents.read(content, "a file")


def test_edit_creates_missing_mappings() -> None:
    document: dict[str, Any] = {"train": None, "list": [{"size": 1}, {"size": 2}]}
    documents.edit(document, ("train.optim.lr=0.1", "list.1.size=3", "list.0=x"))
    assert document == {"train": {"optim": {"lr": 0.1}}, "list": ["x", {"size": 3}]}


def test_parameters_are_the_leaves_of_a_schema() -> None:
    schema = {
        "properties": {
            "train": {
                "properties": {
                    "epochs": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "popular": True},
                    "policy": {"type": "string", "enum": ["step", "poly"]},
                },
                "required": ["policy"],
            }
        }
    }
    epochs, policy = parameters(schema, frozenset())
    assert (epochs.path, epochs.limits, epochs.popular, epochs.required) == ("train.epochs", "≥ 1 ≤ 9", True, False)
    assert (policy.path, policy.limits, policy.required) == ("train.policy", "step | poly", True)


def test_values_as_text() -> None:
    assert [size(count) for count in (0, 999, 1000, 3_200_000, 5 * 10**15)] == [
        "0 B", "999 B", "1.0 kB", "3.2 MB", "5000.0 TB",
    ]  # fmt: skip
    assert (number(1, "job"), number(2, "job")) == ("1 job", "2 jobs")
    assert as_text([True, None, "x"]) == "yes, , x"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["model", "--help"], ["job", "run"], ["dataset", "upload", "--help"]]
)
def test_help_imports_no_slow_module(arguments: list[str]) -> None:
    heavy = {"httpx", "litestar", "textual", "torch", "numpy", "store", "uvicorn", "sqlite3"}
    code = (
        f"import sys; from taod.cli.main import main\n"
        f"try: main({arguments})\n"
        f"except SystemExit: print('loaded', sorted({heavy} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "loaded []"


def test_version_imports_no_slow_module() -> None:
    code = (
        "import sys\nfrom taod.cli.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    print(*sorted(sys.modules))"
    )
    version, modules = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert version.startswith("taod ")
    slow = {"asyncio", "click", "httpx", "litestar", "msgspec", "numpy", "rich", "rich_click", "textual", "yaml"}
    assert not slow & set(modules.split())


def test_protobuf_text_is_recognised_by_suffix_or_syntax() -> None:
    text = b"training_config { num_epochs: 3 }\n"
    assert documents.is_protobuf("spec.txt", b"a: 1\n")
    assert not documents.is_protobuf("spec.yaml", text)
    assert documents.is_protobuf("<stdin>", text)
    assert not documents.is_protobuf("<stdin>", b"train: {num_epochs: 3}\n")


def test_popular_parameters_are_those_that_the_dashboard_shows_first(capsys: pytest.CaptureFixture[str]) -> None:
    from taod.cli.main import main

    def shown(*words: str) -> list[str]:
        with pytest.raises(SystemExit) as ended:
            main(["network", "show", *words, "--popular", "-q"])
        assert ended.value.code == 0
        return capsys.readouterr().out.split()

    assert {"training_config.epochs", "training_config.batch_size"} <= set(shown("unet", "train"))
    assert {"model.num_queries", "train.optim.lr", "train.num_epochs"} <= set(shown("dino", "train"))


def test_limits_include_constants_and_multiples() -> None:
    schema = {"properties": {"size": {"type": "integer", "minimum": 480, "multipleOf": 32}, "version": {"const": 1}}}
    assert [each.limits for each in parameters(schema, frozenset())] == ["≥ 480 a multiple of 32", "= 1"]
