"""The command line in a shell: pipes, names that look like ids, and encodings other than UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taod.catalogue import Catalogue
from taod.catalogue.schema.json_schema import schema
from taod.cli.commands.network import parameters
from taod.types.parameter import notable
from tests.cli.test_cli_commands import new_dataset
from tests.patience import PATIENCE_S
from tui.spec.fields import fields

pytestmark = pytest.mark.slow(seconds=1)

ENCODINGS = (
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


def taod(daemon, *arguments: str | bytes, **how) -> subprocess.CompletedProcess[bytes]:
    """Run one command as a process with given streams and environment."""
    environment = {"PATH": os.environ["PATH"], **daemon.environment, **how.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "taod", *arguments], capture_output=True, env=environment, timeout=PATIENCE_S, **how
    )


class TestPipes:
    def test_standard_input_is_uploaded_from_a_pipe_and_from_a_file(self, daemon, archive: Path) -> None:
        dataset = new_dataset(daemon, "piped")
        piped = taod(daemon, "dataset", "upload", dataset, "-", input=archive.read_bytes())
        assert (piped.returncode, b"2 images" in piped.stdout) == (0, True), piped.stderr
        with archive.open("rb") as file:
            read = taod(daemon, "dataset", "upload", dataset, "-", stdin=file)
        assert (read.returncode, b"2 images" in read.stdout) == (0, True), read.stderr
        assert daemon.json("dataset", "show", dataset)["id"] == dataset

    def test_a_process_substitution_is_uploaded(self, daemon, archive: Path) -> None:
        dataset = new_dataset(daemon, "substituted")
        command = f"exec {sys.executable} -m taod dataset upload {dataset} <(cat {archive})"
        environment = {"PATH": os.environ["PATH"], **daemon.environment}
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, env=environment, timeout=PATIENCE_S, check=False
        )
        assert (done.returncode, b"2 images" in done.stdout) == (0, True), done.stderr

    def test_a_named_pipe_is_uploaded_and_needs_a_writer(
        self, daemon, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dataset, fifo = new_dataset(daemon, "named"), tmp_path / "fifo"
        os.mkfifo(fifo)
        monkeypatch.setattr("taod.cli.support.pipes.WRITER_S", 0)
        assert "start its writer first" in daemon.error("dataset", "upload", dataset, str(fifo))
        monkeypatch.undo()
        with subprocess.Popen(["sh", "-c", f"cat {archive} > {fifo}"]) as writer:
            assert "2 images" in daemon.run("dataset", "upload", dataset, str(fifo)).stdout
        assert writer.returncode == 0

    @pytest.mark.parametrize("path", ["-", "/dev/null"])
    def test_a_device_is_rejected_with_the_remedy(self, daemon, path: str) -> None:
        dataset = new_dataset(daemon, "device")
        rejected = taod(daemon, "dataset", "upload", dataset, path, stdin=subprocess.DEVNULL)
        assert rejected.returncode == 1
        assert b"neither a file nor a pipe" in rejected.stderr
        assert b"| taod dataset upload" in rejected.stderr

    def test_an_invalid_archive_is_rejected_while_its_writer_keeps_the_pipe_open(self, daemon) -> None:
        dataset = new_dataset(daemon, "endless")
        command = [sys.executable, "-m", "taod", "dataset", "upload", dataset, "-"]
        environment = {"PATH": os.environ["PATH"], **daemon.environment}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(b"not an archive" * 100)
            process.stdin.flush()
            # The process ends, and with it its standard error, though more could still come.
            assert process.wait(PATIENCE_S) == 1
            words = process.stderr.read()
            assert b"not an archive" in words and b"Traceback" not in words


class TestNames:
    """Names that are also prefixes of ids: hexadecimal digits."""

    @pytest.mark.slow
    def test_a_name_takes_precedence_over_id_prefixes(self, daemon) -> None:
        ids = [daemon.id("model", "create", "classification_pyt", f"name=m{number}") for number in range(20)]
        ids += [new_dataset(daemon, f"n{number}") for number in range(20)]
        for letter in sorted({id[0] for id in ids}):
            model = daemon.id("model", "create", "classification_pyt", f"name={letter}")
            assert daemon.json("model", "show", letter)["id"] == model
            dataset = new_dataset(daemon, letter)
            assert daemon.json("dataset", "show", letter)["id"] == dataset
            assert daemon.json("dataset", "show", dataset[:13])["id"] == dataset

    def test_the_error_of_a_shared_name_lists_the_ids(self, daemon) -> None:
        pair = [new_dataset(daemon, "e1e1") for _ in range(2)]
        error = daemon.error("dataset", "show", "e1e1")
        assert all(id in error for id in pair)


class TestEncodings:
    @pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda each: next(iter(each)))
    @pytest.mark.parametrize(
        "arguments",
        [
            ("dataset", "ls"),
            ("dataset", "ls", "--json"),
            ("dataset", "show", "ready images"),
            ("model", "ls"),
            ("job", "ls"),
            ("network", "show", "dino", "train", "--popular"),
            ("device", "ls"),
            ("doctor",),
            ("dataset", "show", "süß ≥ – 日本"),
            ("dataset", "-h"),
            ("-h",),
        ],
    )
    def test_no_command_fails_for_characters_that_it_cannot_encode(
        self, daemon, encoding: dict[str, str], arguments: tuple[str, ...]
    ) -> None:
        if not daemon.ids("dataset", "ls", "--name", "süß"):
            new_dataset(daemon, "süß ≥ – 日本")
        done = taod(daemon, *arguments, env=encoding)
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode in (0, 1, 2)  # 2: the C locale cannot encode the name
        assert done.stdout or done.stderr

    def test_bytes_that_are_not_utf8_are_rejected_with_an_error(self, daemon) -> None:
        done = taod(daemon, "dataset", "create", "image_classification", "classification_pyt", b"name=\xff\xfe")
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.returncode in (1, 2)
        assert done.stderr

    def test_serve_announces_itself_in_ascii(self, start, tmp_path: Path) -> None:
        process = start(tmp_path / "röot", PYTHONIOENCODING="ascii", TAOD_DEVICES_GPUS="false")
        assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout is not None
        process.stdout.close()
        assert "Traceback" not in (tmp_path / "röot.err").read_text()


def test_the_command_line_and_the_dashboard_show_the_same_parameters_first() -> None:
    catalogue = Catalogue()
    compared = 0
    for name in catalogue.names():
        network = catalogue.network(name)
        assert network is not None
        for action in network.actions:
            if not network.takes_spec(action):
                continue
            document = schema(network, action)
            swept = frozenset(document["automl_default_parameters"])
            shown = [each.path for each in parameters(document, swept) if each.notable]
            assert shown == [each.name for each in fields(document) if each.notable], (name, action)
            compared += 1
    assert compared > 150


def test_a_usual_parameter_is_notable_without_a_mark() -> None:
    assert notable(("train", "num_epochs"), {}, required=False, swept=False)
    assert not notable(("train", "clip"), {}, required=False, swept=False)
    assert notable(("train", "clip"), {"popular": True}, required=False, swept=False)
