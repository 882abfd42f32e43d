"""A native run stays on the GPUs of its lease, though its tool overwrites CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runners import gpu_index
from runners.native import Native
from runners.protocol import Command, DeviceGrant, RunRequest, StartFailed
from taod.config import NativeConfig

FIRST, SECOND, FOURTH = (DeviceGrant(f"GPU-{index}", "gpu", index) for index in (0, 1, 3))
# What `check_valid_gpus` does: indices of nvidia-smi (four GPUs here), written over the variable.
TOOL = f"""#!{sys.executable}
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


@pytest.mark.parametrize(
    ("lease", "seen"), [([FIRST], "0"), ([SECOND], "1"), ([FOURTH, SECOND], "1,3"), ([FIRST, SECOND], "0,1")]
)
async def test_a_tf1_tool_ends_up_on_its_lease(tmp_path: Path, lease: list[DeviceGrant], seen: str) -> None:
    tool = tmp_path / "bin" / "ssd"
    tool.parent.mkdir()
    tool.write_text(TOOL)
    tool.chmod(0o755)
    command = Command("ssd", "train", ["ssd", "train", f"--gpus={len(lease)}"], "tlt-tf1")
    request = RunRequest("job", 1, command, str(tmp_path), lease)
    runner = Native(NativeConfig(path=[str(tool.parent)]))
    ended = await runner.wait(await runner.start(request), request)
    assert ended.exit_code == 0
    assert request.job_folder.log.read_text() == f"PCI_BUS_ID {seen}\n"


def test_each_kind_of_tool_is_given_the_index_in_its_own_way() -> None:
    def words(network: str, action: str, image: str) -> list[str]:
        return gpu_index.hold(Command(network, action, [network, action], image), [FOURTH])[0]

    assert words("efficientdet_tf2", "train", "tlt-tf2") == ["--gpu_index", "3"]
    assert words("dino", "gen_trt_engine", "tao-deploy") == ["--gpu_index=3"]
    assert words("ocrnet", "evaluate", "tlt-pytorch") == ["evaluate.gpu_id=3"]
    # These keep to the variable, where the lease stands by UUID.
    assert words("ocrnet", "train", "tlt-pytorch") == words("dino", "train", "tlt-pytorch") == []
    assert words("trtexec", "trtexec", "tao-deploy") == []


def test_deploys_own_count_takes_the_index_for_valid() -> None:
    _, variables = gpu_index.hold(Command("ssd", "evaluate", ["ssd", "evaluate"], "tao-deploy"), [FOURTH])
    assert variables == {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}


def test_a_mig_instance_is_rejected_with_the_remedy() -> None:
    mig = DeviceGrant("MIG-1", "gpu", 0)
    with pytest.raises(StartFailed, match="MIG instance MIG-1; use the docker runner"):
        gpu_index.hold(Command("ssd", "train", ["ssd", "train"], "tlt-tf1"), [mig])
    assert gpu_index.hold(Command("dino", "train", ["dino", "train"], "tlt-pytorch"), [mig]) == ([], {})
