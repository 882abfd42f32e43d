"""Files copied to a trial that starts from the checkpoint of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from taod.automl.best import copy_checkpoint
from taod.paths import JobFolder

UNET = ("model.epoch-1.tlt/model.ckpt-1.index", "model.epoch-1.tlt/model.ckpt-1.data-00000-of-00001")


@pytest.mark.parametrize(
    ("network", "left", "taken"),
    [
        ("detectnet_v2", ("model.epoch-1.hdf5", "model.epoch-1.ckzip"), {"model.epoch-1.hdf5", "model.epoch-1.ckzip"}),
        ("unet", UNET, set(UNET)),
        ("ssd", ("weights/ssd_resnet18_epoch_001.hdf5", "status.json"), {"weights/ssd_resnet18_epoch_001.hdf5"}),
    ],
)
def test_the_whole_checkpoint_is_copied(tmp_path: Path, network: str, left: tuple[str, ...], taken: set[str]) -> None:
    source, trial = JobFolder(tmp_path / "source"), JobFolder(tmp_path / "trial")
    for name in left:
        (source.results / name).parent.mkdir(parents=True, exist_ok=True)
        (source.results / name).write_bytes(b"weights")
    checkpoint = copy_checkpoint(network, source, trial)
    assert checkpoint is not None and checkpoint.exists()
    assert {str(path.relative_to(trial.results)) for path in trial.results.rglob("*") if path.is_file()} == taken
