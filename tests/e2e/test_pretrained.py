"""A training from registered weights says, over HTTP and in `taod job show`, what of them the model took over."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from taod.client import AsyncClient
from taod.types.job import Stat
from taod.types.model import ModelPatch, PtmCreate
from taod.types.state import State
from tests.e2e.journey import REPOSITORY, Daemon, ended, small_model, train, until

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.slow, pytest.mark.engine]


@pytest.fixture(autouse=True)
def weights_may_be_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the test's own folder; before the daemon starts."""
    monkeypatch.setenv("TAOD_STORAGE_LINK_ROOTS", f'["{tmp_path}"]')


async def test_a_training_reports_which_pretrained_weights_it_loaded(
    daemon: Daemon, client: AsyncClient, images: Path, tmp_path: Path
) -> None:
    from runners.engine.networks.classification_pyt import models

    other = models.build(models.plan("resnet_tiny", {}, 7, (8, 8))[0])  # the digits have ten classes
    torch.save({"state_dict": other.state_dict()}, tmp_path / "seven.pth")
    total = len(other.state_dict())
    registered = await client.ptms.register(PtmCreate(str(tmp_path / "seven.pth"), "classification_pyt"))
    model_id = await small_model(client, images, tmp_path, epochs=1)
    await client.models.update(model_id, ModelPatch(ptm=[registered.id]))

    job_id = await train(client, model_id)
    done = await until(client, job_id, ended)

    assert done.job.state is State.DONE, (await client.logs.tail(job_id, 10_000)).data.decode()
    (stat,) = done.job.result.stats
    start = f"seven.pth: {total - 2} of {total} tensors loaded; left out: "
    assert stat == Stat("pretrained weights", stat.value) and stat.value.startswith(start)
    assert "(7x" in stat.value and " in the file, 10x" in stat.value
    command = [sys.executable, "-m", "taod", "job", "show", job_id]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "250", "TAOD_ROOT": str(daemon.root)}
    shown = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    text = (await shown.communicate())[0].decode()
    assert "pretrained weights" in text and stat.value in text
