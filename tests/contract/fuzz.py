"""schemathesis over a real daemon on a socket: the daemon, things for it to find, and its command line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from taod.client.find import find
from taod.types.common import DaemonInfo
from tests.api.conftest import PNG
from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]

ANY_LOG = '"query.follow" = false'
ENDED_LOG = (
    '"query.follow" = true, "path.job_id" = { dictionary = "ended", probability = 1.0 }, '
    '"path.model_id" = { dictionary = "models", probability = 1.0 }'
)
"""Logs are followed only of jobs that have ended: then the answer ends by itself."""

TOOL = """#!/bin/sh
# Stands for a TAO tool: leaves weights behind and says that all went well, at once.
for argument; do case $argument in --results_dir=*) results=${argument#--results_dir=} ;; esac; done
results=${results%/}
mkdir -p "$results/train"
echo "running $1"
printf weights > "$results/train/epoch_1.pth"
echo '{"epoch": 1, "max_epoch": 1, "status": "RUNNING", "message": "Training", "kpi": {"loss": 0.5}}' \\
  >> "$results/status.json"
echo '{"status": "SUCCESS", "message": "Finished"}' >> "$results/status.json"
"""

CONFIG = """
[server]
port = 0
[storage]
root = "{folder}/root"
link_roots = ["{folder}/open"]
[devices]
gpus = false
[runner]
order = ["native"]
[runner.native]
path = ["{folder}/bin"]
"""

SCHEMATHESIS = """
request-timeout = 600
continue-on-failure = true
warnings = false

[parameters]
"path.user_id" = "{user}"
"path.dataset_id" = {{ dictionary = "datasets", probability = 0.6 }}
"path.model_id" = {{ dictionary = "models", probability = 0.6 }}
"path.job_id" = {{ dictionary = "jobs", probability = 0.6 }}
"path.action" = {{ dictionary = "actions", probability = 0.6 }}
"path.path" = {{ dictionary = "files", probability = 0.6 }}

[dictionaries]
datasets.values = [{datasets}]
models.values = [{models}]
jobs.values = [{jobs}]
ended.values = [{ended}]
actions.values = ["train", "evaluate", "export", "convert", "nothing"]
files.values = ["log.txt", "results/status.json", "../taod.db", "results"]

# What refers to other objects, or to this machine, can be well-formed and still be rejected.
[checks]
positive_data_acceptance.enabled = {acceptance}

# An object that was just made need not have an upload under way, a report, a sweep or a file of that name.
[[operations]]
include-path-regex = "/(dataset|model|job)/[{{][a-z_]+[}}]/"
checks.ensure_resource_availability.enabled = false

# A log that is followed continues for as long as its job.
[[operations]]
include-operation-id-regex = "get_log$"
parameters = {{ {logs} }}

[[operations]]
include-operation-id = "events_events"
max-stream-events = 2
"""


class World:
    """A running daemon, and objects of its user: some that work, one that is read-only, some that are done."""

    def __init__(self, info: DaemonInfo, folder: Path) -> None:
        self.info, self.folder = info, folder
        self.client = httpx.Client(
            base_url=f"{info.url}/api/v1/user/{info.user_id}",
            headers={"Authorization": f"Bearer {info.token}"},
            timeout=PATIENCE_S,
        )
        images = _images(folder / "open")
        self.datasets = [self._make("dataset", type="image_classification", format="classification_pyt")]
        self.datasets.append(self._make("dataset", type="object_detection", format="kitti"))
        self.beat = self._make("dataset", type="bpnet", format="default")
        self._post(f"dataset/{self.datasets[0]}/link", {"path": str(images)})
        data = {"train_datasets": [self.datasets[0]], "eval_dataset": self.datasets[0]}
        self.models = [self._make("model", network_arch="classification_pyt", **data)]
        self.models.append(self._make("model", network_arch="detectnet_v2", read_only=True, public=True))
        self.models.append(self._make("model", network_arch="classification_pyt", **data))
        weights = folder / "open" / "weights.pth"
        weights.write_bytes(b"w")
        ptm = self._post("ptm", {"path": str(weights), "network_arch": "dino", "ngc_path": "a/b:c"})["id"]
        self.models.append(ptm)
        self.jobs = [
            job for model in (self.models[0], self.models[2]) for job in
            self._post(f"model/{model}/job", {"actions": ["train", "evaluate", "export"]})
        ]  # fmt: skip

    def _post(self, path: str, body: object) -> object:
        answer = self.client.post(f"/{path}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def _make(self, kind: str, **fields: object) -> str:
        return self._post(kind, fields)["id"]

    def ended(self) -> list[str]:
        """Jobs that have ended; the first ones to be made are waited for, by following their logs."""
        for job in self.jobs[:3]:
            assert self.client.get(f"/job/{job}/log?follow=true").status_code == 200
        return [job["id"] for job in self.client.get("/job?status=Done").json()]

    @contextmanager
    def heart(self) -> Iterator[None]:
        """Something happens all the time, so that readers of the event stream receive something."""
        ending = threading.Event()

        def beat() -> None:
            number = 0
            while not ending.wait(0.1):
                number += 1
                self.client.patch(f"/dataset/{self.beat}", json={"version": str(number)})

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A daemon over a fresh root in `folder`, seeded; it must end well. Its log is `folder/root/daemon.log`."""
    tools = folder / "bin"
    tools.mkdir()
    for network in ("classification_pyt", "detectnet_v2", "dino"):
        (tools / network).write_text(TOOL)
        (tools / network).chmod(0o755)
    (folder / "open").mkdir()
    (folder / "taod.toml").write_text(CONFIG.format(folder=folder))
    command = [sys.executable, "-m", "taod", "serve", "--config", str(folder / "taod.toml")]
    # A tool whose installation is requested has no packages: nothing of gigabytes is downloaded.
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=folder)
    assert daemon.stdout is not None
    try:
        assert daemon.stdout.readline(), "the daemon did not start"
        yield World(find(folder / "root", None, None), folder)
    finally:
        daemon.terminate()
        code = daemon.wait(PATIENCE_S)
        daemon.stdout.close()
    assert code == 0


def schemathesis(
    world: World, *options: str, acceptance: bool = False, logs: str = ANY_LOG
) -> subprocess.CompletedProcess[str]:
    """Run schemathesis with its checks over the daemon's own document; its output says what failed."""

    def quoted(ids: list[str]) -> str:
        return ", ".join(f'"{each}"' for each in ids)

    config = world.folder / "schemathesis.toml"
    config.write_text(
        SCHEMATHESIS.format(
            user=world.info.user_id,
            datasets=quoted(world.datasets),
            models=quoted(world.models),
            jobs=quoted(world.jobs),
            acceptance=str(acceptance).lower(),
            ended=quoted(world.ended()),
            logs=logs,
        )
    )
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run",
        f"{world.info.url}/openapi.json", "-H", f"Authorization: Bearer {world.info.token}",
        "--generation-database", "none", "--no-color", "--suppress-health-check", "all", *options,
    ]  # fmt: skip
    with world.heart():
        return subprocess.run(command, cwd=world.folder, capture_output=True, text=True)


def _images(folder: Path) -> Path:
    """A dataset of two classes for training and evaluation."""
    images = folder / "images"
    for name in ("cat", "dog"):
        place = images / "images_train" / name
        place.mkdir(parents=True)
        (place / "1.png").write_bytes(PNG)
    (images / "classes.txt").write_text("cat\ndog\n")
    return images
