"""Tools that hand their command line to a shell, as NVIDIA's entry points do: nothing of a user's is executed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from taod.config import Config
from taod.types.state import State
from tests.api.test_data_services import service
from tests.api.test_jobs import post, reached
from tests.datasets import valid_sets

TOOL = f"""#!{sys.executable}
import pathlib, subprocess, sys
results = [word.partition("=")[2] for word in sys.argv if word.startswith("--results_dir=")][0]
# The way of release 5.0: one line, nothing quoted.
sys.exit(subprocess.call("printf '%s\\\\n' " + " ".join(sys.argv[1:]) + " >" + results + "/words", shell=True))
"""
ATTACKS = [
    "a;touch MARK", "a&touch MARK", "a|touch MARK", "$(touch MARK)", "`touch MARK`", "a\ntouch MARK",
    "x' touch MARK '", 'x" touch MARK "', "a>MARK", "a b", "*", "${HOME}", "a\\", "~", "a#b", "{a,b}",
]  # fmt: skip


@pytest.fixture
def tool_path(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for network in ("classification_tf1", "classification_pyt"):
        (folder / network).write_text(TOOL)
        (folder / network).chmod(0o755)
    return folder


async def model_of(server, images, arch: str = "classification_tf1", **more) -> str:
    train = await server.ready_dataset(images("train"))
    val = await server.ready_dataset(images("val"))
    return await server.model(arch, train_datasets=[train], eval_dataset=val, **more)


async def paused(server, value: bool) -> None:
    answer = await server.client.patch("/api/v1/queue", json={"paused": value})
    assert answer.status_code == 200, answer.text


async def ended(server, job_id: str) -> dict:
    return await reached(server, job_id, State.DONE, State.FAILED)


async def test_a_key_of_letters_reaches_the_tool(server, images, tmp_path: Path) -> None:
    model = await model_of(server, images, encryption_key="nvidia_tlt-1.0@x!")
    (train,) = await post(server, model, "train")
    await ended(server, train)
    words = (tmp_path / "root" / "jobs" / train / "results" / "words").read_text().splitlines()
    assert "--key=nvidia_tlt-1.0@x!" in words


@pytest.mark.parametrize(
    ("network", "key", "warned"),
    [
        ("classification_tf1", "my-own", True),
        ("classification_tf1", "tlt_encode", False),
        ("classification_pyt", "my-own", False),
    ],
)
async def test_a_plan_warns_of_a_key_that_the_process_list_shows(server, images, network, key, warned) -> None:
    """Of a tool that takes it on its command line only, and of a key that is not the published one."""
    model = await model_of(server, images, network, encryption_key=key)
    (plan,) = await server.call("POST", f"/model/{model}/job?dry_run=1", 200, json={"actions": ["train"]})
    assert ("key_shown" in [one["code"] for one in plan["warnings"]]) == warned


@pytest.mark.parametrize("key", ATTACKS)
async def test_a_key_with_shell_characters_is_rejected_when_set_and_never_executed(
    server, images, tmp_path: Path, key: str
) -> None:
    mark = tmp_path / "mark"
    key = key.replace("MARK", str(mark))
    error = await server.rejected("POST", "/model", json={"network_arch": "classification_tf1", "encryption_key": key})
    assert "encryption_key contains " in error and ("set a key of letters, digits" in error or "U+000A" in error)
    assert len(key) < 3 or key not in error
    model = await model_of(server, images)
    assert "encryption_key" in await server.rejected("PATCH", f"/model/{model}", json={"encryption_key": key})

    # A model of an earlier release has such a key in the store.
    (queued,) = await post(server, model, "train")
    await ended(server, queued)
    server.services.store.models.update(model, encryption_key=key)
    error = await server.rejected("POST", f"/model/{model}/job", json={"job": None, "actions": ["train"]})
    assert error.startswith("train: encryption_key contains ") and (len(key) < 3 or key not in error)
    error = await server.rejected("POST", f"/model/{model}/job?dry_run=1", json={"job": None, "actions": ["train"]})
    assert "encryption_key contains " in error
    assert not mark.exists()


async def test_a_key_that_changes_behind_a_waiting_job_is_caught_when_it_starts(server, images, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    model = await model_of(server, images)
    await paused(server, True)
    (train,) = await post(server, model, "train")
    server.services.store.models.update(model, encryption_key=f"a;touch {mark};")
    await paused(server, False)
    job = await ended(server, train)
    assert job["state"] == "failed" and "encryption_key contains ';'" in job["reason"]
    assert not mark.exists()


async def test_a_network_that_reads_the_key_from_its_specification_takes_any_key(server, images) -> None:
    await server.model("classification_tf2", encryption_key="a;b c")


async def test_a_linked_folder_that_a_tool_cannot_be_given_is_named_with_the_remedy(
    server, images, tmp_path: Path
) -> None:
    """Only where it comes to stand on the command line: a training reads its folders from the specification."""
    folder = images("test").rename(tmp_path / "my test; touch mark")
    test = await server.ready_dataset(folder)
    model = await model_of(server, images, inference_dataset=test)
    await post(server, model, "train")
    body = {"job": None, "actions": ["train", "inference"]}
    error = await server.rejected("POST", f"/model/{model}/job", json=body)
    assert error == (
        f"inference: image_dir = '{folder}/images_test' contains a space, and the entry point of classification_tf1 "
        "passes its command line to a shell unquoted; change it, or link or upload the data under a path without it"
    )


class TestRootWithASpace:
    @pytest.fixture
    def config(self, config: Config, tmp_path: Path) -> Config:
        config.storage.root = str(tmp_path / "my root")
        return config

    async def test_it_is_rejected_for_tools_that_use_a_shell(self, server, images, tmp_path: Path) -> None:
        model = await model_of(server, images)
        error = await server.rejected("POST", f"/model/{model}/job", json={"job": None, "actions": ["train"]})
        assert f"the root '{tmp_path}/my root' contains a space" in error
        assert "start the daemon with a --root without it, or use the embedded runner" in error


class TestEngineInARootThatAShellWouldRead:
    @pytest.fixture
    def config(self, config: Config, tmp_path: Path) -> Config:
        config.storage.root = str(tmp_path / "my root; $(touch mark) 'x'")
        config.runner.order = ["embedded"]
        config.datasets.check = "off"
        return config

    async def test_its_jobs_run(self, server, tmp_path: Path) -> None:
        valid_sets.kitti(tmp_path / "my kitti")
        spec = {"data": {"input_format": "KITTI", "output_format": "COCO"}}
        results = await service(server, "annotations", "convert", tmp_path / "my kitti", "kitti", spec)
        assert str(results).startswith(f"{tmp_path}/my root; $(touch mark) 'x'/jobs/")
