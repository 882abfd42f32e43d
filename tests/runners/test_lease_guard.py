"""A native run stays on its leased GPUs, though its tool chooses GPUs by index and overwrites CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runners.environment import Rules
from runners.native import Native
from runners.protocol import Command, DeviceGrant, RunRequest
from taod.config import NativeConfig

FIRST, SECOND, FOURTH = (DeviceGrant(f"GPU-{index}", "gpu", index) for index in (0, 1, 3))
MIG = DeviceGrant("MIG-1", "gpu", 0)
# As `check_valid_gpus` of TF1, TF2 and augment does: indices of nvidia-smi, written over the variable.
BY_OPTION = """
import argparse, os
parser = argparse.ArgumentParser()
parser.add_argument("task")
parser.add_argument("--gpus", type=int, default=1)
parser.add_argument("--gpu_index", type=int, nargs="+", default=None)
args = parser.parse_args()
ids = sorted(set(args.gpu_index or range(args.gpus)))
assert len(ids) == args.gpus and max(ids) < 4
os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, ids))
print(os.environ["CUDA_DEVICE_ORDER"], os.environ["CUDA_VISIBLE_DEVICES"])
"""
# As the exports of efficientdet do, in a process that an entry point starts through a shell.
BY_CONSTANT = """
import os, subprocess, sys
script = "import os; os.environ['CUDA_VISIBLE_DEVICES'] = '0'; print(os.environ['CUDA_VISIBLE_DEVICES'])"
subprocess.check_call(f'CUDA_VISIBLE_DEVICES=0 {sys.executable} -c "{script}"', shell=True)
"""
# As mask_rcnn does: each rank takes its entry of the variable.
BY_RANK = """
import os
os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["CUDA_VISIBLE_DEVICES"].split(",")[1]
print(os.environ["CUDA_VISIBLE_DEVICES"])
"""
# Indices outside the lease, and removal.
ESCAPING = """
import os
os.environ.update(CUDA_VISIBLE_DEVICES="3")
print(os.environ["CUDA_VISIBLE_DEVICES"])
os.environ.pop("CUDA_VISIBLE_DEVICES")
print(os.environ["CUDA_VISIBLE_DEVICES"])
"""


async def log_of(tool: str, folder: Path, lease: list[DeviceGrant], *options: str, rules: Rules | None = None) -> str:
    path = folder / "bin" / "ssd"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{tool}")
    path.chmod(0o755)
    request = RunRequest("job", 1, Command("ssd", "train", ["ssd", "train", *options], "tlt-tf1"), str(folder), lease)
    runner = Native(NativeConfig(path=[str(path.parent)]), rules)
    ended = await runner.wait(await runner.start(request), request)
    log = request.job_folder.log.read_text()
    assert ended.exit_code == 0, log
    return log


@pytest.mark.parametrize(
    ("lease", "seen"),
    [
        ([FIRST], "GPU-0"),
        ([SECOND], "GPU-1"),
        ([FOURTH, SECOND], "GPU-3,GPU-1"),
        ([FIRST, SECOND], "GPU-0,GPU-1"),
        ([MIG], "MIG-1"),
    ],
)
async def test_an_index_of_a_command_line_counts_within_the_lease(
    tmp_path: Path, lease: list[DeviceGrant], seen: str
) -> None:
    assert await log_of(BY_OPTION, tmp_path, lease, f"--gpus={len(lease)}") == f"PCI_BUS_ID {seen}\n"


async def test_a_constant_index_in_a_process_of_the_tool_counts_within_the_lease(tmp_path: Path) -> None:
    assert await log_of(BY_CONSTANT, tmp_path, [FOURTH]) == "GPU-3\n"


async def test_a_process_may_narrow_itself_to_one_gpu_of_the_lease(tmp_path: Path) -> None:
    assert await log_of(BY_RANK, tmp_path, [SECOND, FOURTH]) == "GPU-3\n"


async def test_no_process_leaves_the_lease(tmp_path: Path) -> None:
    assert await log_of(ESCAPING, tmp_path, [SECOND, FOURTH]) == "GPU-1,GPU-3\nGPU-1,GPU-3\n"


async def test_a_configured_python_path_and_its_sitecustomize_stay_in_effect(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text("import shim\nprint('customised')\n")
    (modules / "shim.py").write_text("")
    rules = Rules(extra={"PYTHONPATH": str(modules)})
    assert await log_of("import shim", tmp_path, [SECOND], rules=rules) == "customised\n"


async def test_a_run_without_gpus_is_not_touched(tmp_path: Path) -> None:
    tool = "import os; os.environ['CUDA_VISIBLE_DEVICES'] = '5'; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    assert await log_of(tool, tmp_path, [DeviceGrant("cpu:0", "cpu", 0)]) == "5\n"
