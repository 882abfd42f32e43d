"""Each command against a real daemon: ids and names, fields, specifications, files, output formats, and errors."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from taod.client.find import find
from tests.patience import PATIENCE_S


def new_dataset(daemon, name: str) -> str:
    return daemon.id("dataset", "create", "image_classification", "classification_pyt", f"name={name}")


def api(daemon, path: str) -> object:
    info = find(daemon.root)
    address = f"{info.url}/api/v1/user/{info.user_id}/{path}"
    return httpx.get(address, headers={"Authorization": f"Bearer {info.token}"}, trust_env=False).json()


class TestIds:
    def test_a_prefix_and_a_name_resolve_to_the_id(self, daemon) -> None:
        id = new_dataset(daemon, "the only one of this name")
        for text in (id, id.upper(), id[:13], "the only one of this name"):
            assert daemon.id("dataset", "show", text) == id

    def test_the_error_of_an_ambiguous_prefix_lists_the_candidates(self, daemon) -> None:
        first = {}
        while True:
            id = new_dataset(daemon, "crowd")
            if id[0] in first:
                break
            first[id[0]] = id
        error = daemon.error("dataset", "show", id[0])
        assert f"{id} (crowd)" in error
        assert f"{first[id[0]]} (crowd)" in error
        assert "give a longer prefix of the id" in error

    def test_an_ambiguous_name_is_an_error(self, daemon) -> None:
        ids = [new_dataset(daemon, "twin name") for _ in range(2)]
        error = daemon.error("dataset", "rm", "twin name")
        assert "matches 2 datasets" in error
        assert all(id in error for id in ids)

    @pytest.mark.parametrize("kind", ["dataset", "model", "job"])
    def test_the_error_of_an_unknown_resource_names_the_list_command(self, daemon, kind: str) -> None:
        assert f"`taod {kind} ls`" in daemon.error(kind, "show", "no such thing")

    def test_a_job_is_found_by_a_prefix_of_its_id(self, daemon) -> None:
        train = daemon.id("model", "run", daemon.model(), "train")
        assert daemon.id("job", "show", train[:14]) == train
        assert daemon.id("job", "wait", train[:14]) == train


class TestFields:
    def test_types_come_from_the_structs(self, daemon) -> None:
        model = daemon.model(name="typed")
        changed = daemon.json(
            "model",
            "set",
            "typed",
            "epoch_multiplier=3",
            "automl_add_hyperparameters=train.train_config.optimizer.lr,model.head.num_classes",
            "eval_dataset=null",
            "train_datasets=ready images",
            "description=a=b, c",
        )
        assert (changed["id"], changed["epoch_multiplier"], changed["eval_dataset"]) == (model, 3, None)
        assert changed["train_datasets"] == daemon.ids("dataset", "ls", "--name", "ready images")
        assert json.loads(changed["automl_add_hyperparameters"].replace("'", '"')) == [
            "train.train_config.optimizer.lr",
            "model.head.num_classes",
        ]
        assert changed["description"] == "a=b, c"
        assert daemon.json("model", "set", "typed", "train_datasets=")["train_datasets"] == []
        assert daemon.json("model", "set", "typed", "public=true")["public"] is True
        daemon.run("model", "set", "typed", "public=false")

    @pytest.mark.parametrize(
        ("pair", "message"),
        [
            ("epoch_multipler=2", "did you mean epoch_multiplier?"),
            ("epoch_multiplier=0", "epoch_multiplier='0': Expected `int` >= 1"),
            ("epoch_multiplier", "expected FIELD=VALUE"),
            ("train_datasets=[1", "is not a JSON list"),
            ("public=perhaps", "public='perhaps'"),
        ],
    )
    def test_a_wrong_field_is_wrong_usage(self, daemon, pair: str, message: str) -> None:
        model = daemon.model(name="wrong fields")
        assert message in daemon.error("model", "set", model, pair, code=2)

    def test_a_rejected_request_exits_1_with_the_error_of_the_daemon(self, daemon) -> None:
        assert "network_arch" in daemon.error("model", "set", daemon.model(), "network_arch=dino")
        assert "Invalid network arch" in daemon.error("model", "create", "dinosaur")

    def test_fields_of_a_dataset(self, daemon) -> None:
        id = new_dataset(daemon, "before")
        assert daemon.json("dataset", "set", id, "name=after", "version=2.0.0")["name"] == "after"
        assert daemon.id("dataset", "show", "after") == id


class TestSpecs:
    def test_no_specification_is_saved_at_first(self, daemon) -> None:
        assert "no spec was saved" in daemon.error("model", "spec", "get", daemon.model(), "train")

    def test_edit_starts_from_the_default_and_then_from_the_saved_one(self, daemon) -> None:
        model = daemon.model()
        daemon.run(
            "model", "spec", "edit", model, "train",
            "train.train_config.optimizer.lr=1e-4",
            'dataset.data.train.pipeline=[{"type": "RandomFlip"}, {"type": "Resize", "size": 32}]',
            "model.backbone.type=resnet_tiny",
        )  # fmt: skip
        daemon.run("model", "spec", "edit", model, "train", "dataset.data.train.pipeline.1.size=64")
        spec = yaml.safe_load(daemon.run("model", "spec", "get", model, "train").stdout)
        assert spec["train"]["train_config"]["optimizer"]["lr"] == 1e-4
        assert spec["dataset"]["data"]["train"]["pipeline"][1]["size"] == 64
        default = daemon.json("model", "spec", "default", model, "train")
        assert spec["train"]["train_config"]["runner"] == default["train"]["train_config"]["runner"]
        assert daemon.json("model", "spec", "get", model, "train") == spec

    def test_the_editor_opens_the_whole_specification(self, daemon, tmp_path: Path) -> None:
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\nsed -i "s/max_epochs: [0-9]*/max_epochs: 3/" "$1"\n')
        editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
        model = daemon.model()
        daemon.run("model", "spec", "edit", model, "train", VISUAL=str(editor))
        spec = daemon.json("model", "spec", "get", model, "train")
        assert spec["train"]["train_config"]["runner"]["max_epochs"] == 3

    def test_warnings_go_to_standard_error_and_violations_are_listed(self, daemon) -> None:
        model = daemon.model()
        warned = daemon.run("model", "spec", "edit", model, "train", "train.seeed=1", "--json")
        assert "seeed" in warned.stderr
        assert json.loads(warned.stdout)["train"]["seeed"] == 1
        outside = daemon.run(
            "model", "spec", "edit", model, "train", "train.train_config.runner.max_epochs=0", "--json"
        )
        assert "max_epochs must be a whole number of at least 1 by the reference, not 0" in outside.stderr
        error = daemon.error("model", "spec", "edit", model, "train", "train.train_config.runner.max_epochs=two")
        assert "Invalid specs" in error
        assert "train.train_config.runner.max_epochs" in error

    def test_protobuf_text_is_saved(self, daemon, tmp_path: Path) -> None:
        model = daemon.id("model", "create", "detectnet_v2", "name=a TF1 detector")
        text = "training_config { num_epochs: 12 regularizer { type: L2 } }\n"
        (tmp_path / "mine.txt").write_text(text)
        daemon.run("model", "spec", "set", model, "train", str(tmp_path / "mine.txt"))
        saved = daemon.json("model", "spec", "get", model, "train")
        assert saved == {"training_config": {"num_epochs": 12, "regularizer": {"type": "__L2__"}}}
        error = daemon.error("model", "spec", "set", model, "train", "-", stdin=text.replace("12", "-1"))
        assert "$.training_config.num_epochs: must be a whole number between 1 and 500, not -1" in error
        error = daemon.error("model", "spec", "set", model, "train", "-", stdin=text + "}")
        assert "is not protobuf text" in error and "line 2" in error
        other = daemon.id("model", "create", "dino", "name=a detector")
        daemon.run("model", "spec", "set", other, "train", "-", stdin="train: {num_epochs: 3, optim: {lr: 1e-4}}\n")
        assert daemon.json("model", "spec", "get", other, "train")["train"]["optim"]["lr"] == 1e-4

    @pytest.mark.parametrize("pair", ["train", ".a=1", "train.num_gpus.x=1", "dataset.data.train.pipeline.9=1"])
    def test_a_wrong_path_is_wrong_usage(self, daemon, pair: str) -> None:
        daemon.error("model", "spec", "edit", daemon.model(), "train", pair, code=2)

    def test_a_file_is_read_from_standard_input_and_must_be_a_mapping(self, daemon, tmp_path: Path) -> None:
        model = daemon.model()
        spec = daemon.run("model", "spec", "default", model, "train").stdout
        daemon.run("model", "spec", "set", model, "train", "-", stdin=spec)
        (tmp_path / "list.yaml").write_text("- 1\n")
        assert "is not a mapping" in daemon.error(
            "model", "spec", "set", model, "train", str(tmp_path / "list.yaml"), code=2
        )
        daemon.error("model", "spec", "set", model, "train", str(tmp_path / "nothing.yaml"), code=2)

    def test_datasets_have_specs_too(self, daemon) -> None:
        data = daemon.id("dataset", "create", "object_detection", "kitti", "name=boxes")
        default = daemon.json("dataset", "spec", "default", "boxes", "convert")
        assert default
        assert "properties" in json.loads(daemon.run("dataset", "spec", "schema", data, "convert").stdout)


class TestOutput:
    def test_json_output_equals_the_answer_of_the_api(self, daemon) -> None:
        model = daemon.model(name="answers")
        data = daemon.json("model", "show", model)["train_datasets"][0]
        train = daemon.id("model", "run", model, "train")
        daemon.run("job", "wait", train)
        assert daemon.json("model", "show", model) == api(daemon, f"model/{model}")
        assert daemon.json("dataset", "show", data) == api(daemon, f"dataset/{data}")
        assert daemon.json("dataset", "summary", data) == api(daemon, f"dataset/{data}/summary")
        assert daemon.json("job", "show", train) == api(daemon, f"job/{train}")
        assert daemon.json("job", "ls", "--size", "2") == api(daemon, "job?size=2")
        assert daemon.json("dataset", "ls", "--sort", "name-ascending") == api(daemon, "dataset?sort=name-ascending")
        assert daemon.json("model", "ls", "--ptm") == api(daemon, "model")
        assert daemon.json("job", "files", train) == api(daemon, f"job/{train}/files")
        assert daemon.json("ptm", "ls") == api(daemon, "ptm")

    @pytest.mark.parametrize(
        "arguments",
        [
            ("dataset", "ls"),
            ("model", "ls"),
            ("job", "ls"),
            ("network", "ls"),
            ("network", "show", "dino"),
            ("network", "show", "dino", "train"),
            ("network", "show", "detectnet_v2", "train", "--popular"),
            ("device", "ls"),
            ("user", "ls"),
            ("config",),
        ],
    )
    def test_lists_are_json_ids_or_a_table(self, daemon, arguments: tuple[str, ...]) -> None:
        assert daemon.json(*arguments)
        assert daemon.run(*arguments).stdout.strip()
        if arguments != ("config",):
            assert all(line == line.strip() for line in daemon.run(*arguments, "-q").stdout.splitlines())

    def test_json_and_quiet_exclude_each_other(self, daemon) -> None:
        assert "exclude" in daemon.error("model", "ls", "--json", "--quiet", code=2)

    def test_a_table_is_limited_and_reports_the_number_of_further_rows(self, daemon) -> None:
        for _ in range(2):
            new_dataset(daemon, "many")
        shown = daemon.run("dataset", "ls", "--size", "1", "--name", "many").stdout
        assert "1 more; --size 2 shows all" in shown
        assert len(daemon.ids("dataset", "ls", "--name", "many")) == 2
        assert len(daemon.ids("dataset", "ls", "--name", "many", "--skip", "1")) == 1

    def test_a_piped_table_is_not_cut(self, daemon, tmp_path: Path) -> None:
        name = "a long name " * 20
        new_dataset(daemon, name)
        environment = {name: value for name, value in daemon.environment.items() if name != "COLUMNS"}
        listed = subprocess.run(
            [sys.executable, "-m", "taod", "dataset", "ls"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **environment},
        )
        assert name.strip() in listed.stdout

    def test_a_table_shows_no_empty_column_and_no_secret(self, daemon) -> None:
        model = daemon.model(name="secretive", encryption_key="do-not-show")
        listed = daemon.run("model", "ls", "--name", "secretive").stdout
        assert listed.splitlines()[0].split() == ["id", "name", "network", "release", "created"]
        assert daemon.run("model", "ls", "--name", "unused name").stdout.strip() == "none"
        assert "do-not-show" not in daemon.run("model", "show", model).stdout
        assert daemon.json("model", "show", model)["encryption_key"] == "do-not-show"

    def test_brackets_in_a_name_are_no_markup(self, daemon) -> None:
        new_dataset(daemon, "[red]careful[/]")
        assert "[red]careful[/]" in daemon.run("dataset", "ls", "--name", "careful").stdout
        assert "[red]careful[/]" in daemon.run("dataset", "show", "[red]careful[/]").stdout


class TestDeletes:
    def test_a_deletion_needs_consent(self, daemon) -> None:
        model = daemon.model(name="kept")
        error = daemon.error("model", "rm", model, stdin="n\n")
        assert f"Deletes model 'kept' ({model[:8]})" in error
        daemon.error("model", "rm", model, stdin="")
        assert daemon.id("model", "show", model) == model
        daemon.run("model", "rm", model, stdin="y\n")
        daemon.error("model", "show", model)

    def test_the_question_names_files_and_linked_folders(self, daemon, images: Path, archive: Path) -> None:
        linked, full = new_dataset(daemon, "linked"), new_dataset(daemon, "full")
        daemon.run("dataset", "link", linked, str(images))
        daemon.run("dataset", "upload", full, str(archive))
        error = daemon.error("dataset", "rm", linked, full, stdin="n\n")
        assert f"but not the linked folder {images}" in error
        assert "its 2 images" in error
        assert daemon.ids("dataset", "rm", "-y", linked, full) == [linked, full]
        assert images.is_dir()

    def test_a_used_dataset_is_not_deleted(self, daemon) -> None:
        daemon.model(name="user of the data")
        assert "used" in daemon.error("dataset", "rm", "--yes", "ready images")

    def test_a_job_is_deleted_with_its_files(self, daemon) -> None:
        train = daemon.id("model", "run", daemon.model(), "train")
        daemon.run("job", "wait", train)
        assert "checkpoints included" in daemon.error("job", "rm", train, stdin="n\n")
        assert daemon.json("job", "rm", "--yes", train)["id"] == train
        assert not (daemon.root / "jobs" / train).exists()


class TestFiles:
    def test_a_file_is_downloaded_and_an_existing_file_is_kept(self, daemon, tmp_path: Path) -> None:
        train = daemon.id("model", "run", daemon.model(), "train")
        daemon.run("job", "wait", train)
        (path,) = [path for path in daemon.ids("job", "files", train) if path.endswith(".pth")]
        downloaded = daemon.json("job", "files", train, path, "-o", str(tmp_path))
        assert downloaded == {"path": str(tmp_path / "epoch_1.pth"), "size_bytes": 7}
        assert (tmp_path / "epoch_1.pth").read_text() == "weights"
        assert "--force" in daemon.error("job", "files", train, path, "-o", str(tmp_path), code=2)
        daemon.run("job", "files", train, path, "-o", str(tmp_path), "--force")
        assert "no file" in daemon.error("job", "files", train, "../../taod.db", "-o", str(tmp_path / "stolen"))
        assert daemon.id("job", "download", train, "-o", str(tmp_path / "all.tar.gz")) == train
        assert f"folder {tmp_path / 'no'} not found" in daemon.error(
            "job", "download", train, "-o", str(tmp_path / "no" / "x"), code=2
        )

    def test_an_upload_must_be_an_archive(self, daemon, tmp_path: Path) -> None:
        (tmp_path / "notes.tar.gz").write_text("not an archive")
        id = new_dataset(daemon, "rejected")
        daemon.error("dataset", "upload", id, str(tmp_path / "notes.tar.gz"))
        daemon.error("dataset", "upload", id, str(tmp_path), code=2)
        assert daemon.json("dataset", "summary", id)["state"] == "empty"


class TestOthers:
    def test_weights_are_registered_and_used(self, daemon, images: Path) -> None:
        weights = images.parent / "weights.pth"
        weights.write_bytes(b"weights")
        registered = daemon.json("ptm", "add", str(weights), "--arch", "classification_pyt", "--name", "mine")
        assert registered["path"] == str(weights)
        assert registered["id"] in daemon.ids("ptm", "ls", "--arch", "classification_pyt", "--registered")
        assert registered["id"] not in daemon.ids("model", "ls"), (
            "scripts that delete all models do not see pretrained ones"
        )
        assert daemon.json("model", "set", daemon.model(), "ptm=mine")["ptm"] == [registered["id"]]

    def test_a_parent_is_chosen_by_prefix(self, daemon) -> None:
        model = daemon.model()
        train = daemon.id("model", "run", model, "train")
        evaluate = daemon.id("model", "run", model, "evaluate", "--parent", train[:12])
        assert daemon.json("job", "show", evaluate)["job"]["parent_id"] == train
        assert "dance" in daemon.error("model", "run", model, "dance")

    def test_a_remote_daemon_is_reached_by_url_and_key(self, daemon) -> None:
        key = daemon.json("user", "add", "remote")["key"]
        url = find(daemon.root).url
        assert daemon.json("dataset", "ls", "--url", url, "--token", key, "--root", "/nowhere") == []
        daemon.error("dataset", "ls", "--url", url, "--token", "wrong", "--root", "/nowhere")
        assert daemon.json("user", "rm", "remote", "--yes")["name"] == "remote"

    def test_parameters_of_an_action_need_no_daemon(self, daemon, tmp_path: Path) -> None:
        shown = daemon.run("network", "show", "detectnet_v2", "train", "--popular", TAOD_ROOT=str(tmp_path)).stdout
        assert "parameter" in shown
        assert "no action 'dance'" in daemon.error("network", "show", "dino", "dance")
        daemon.error("network", "show", "dinosaur", "train")
        daemon.error("network", "show", "dino", "--popular", code=2)

    @pytest.mark.slow
    def test_the_openapi_document_equals_that_of_the_server(self, daemon, tmp_path: Path) -> None:
        served = httpx.get(f"{find(daemon.root).url}/openapi.json", trust_env=False).json()
        assert json.loads(daemon.run("openapi", TAOD_ROOT=str(tmp_path)).stdout) == served
        assert yaml.safe_load(daemon.run("openapi", "--yaml").stdout) == served

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion_scripts_are_those_of_click(self, daemon, shell: str) -> None:
        assert "_TAOD_COMPLETE" in daemon.run("completion", shell).stdout

    def test_a_shell_completes_commands(self, daemon, tmp_path: Path) -> None:
        def completed(words: str, position: int) -> list[str]:
            request = {"_TAOD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(position)}
            answer = subprocess.run(
                [sys.executable, "-m", "taod"],
                capture_output=True,
                text=True,
                env={"PATH": os.environ["PATH"], **daemon.environment, **request},
            )
            return [line.split(",")[1] for line in answer.stdout.splitlines()]

        assert completed("taod d", 1) == ["dataset", "device", "doctor"]
        assert completed("taod model spec ", 3) == ["default", "edit", "get", "schema", "set"]


@pytest.mark.slow
def test_a_wait_survives_a_restart_of_the_daemon(
    daemon, tmp_path: Path, images: Path, start: Callable[[Path], subprocess.Popen[str]]
) -> None:
    """The new daemon has another port: `wait` finds it by the root."""
    (tmp_path / "taod.toml").write_text((daemon.root.parent / "taod.toml").read_text())
    root = tmp_path / "root"
    process = start(root)
    try:
        other = type(daemon)(root, process, daemon.gate).with_images(images)
        train = other.id("model", "run", other.model("wait"), "train")
        other.first_output(train)
        with subprocess.Popen(
            [sys.executable, "-m", "taod", "job", "wait", train],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **other.environment},
        ) as waiting:
            assert waiting.stderr.readline().startswith("train ")
            stop(process)
            process = start(root)
            daemon.open_gate()
            out, err = waiting.communicate(timeout=PATIENCE_S)
        assert waiting.returncode == 0, err
        assert "done" in out
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(PATIENCE_S)
    process.stdout.close()
