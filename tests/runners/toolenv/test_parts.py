"""The pure parts of managed tools: specifications, preconditions, interpreters, pip's lines, what is supplied."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from runners.toolenv import interpreters, own_modules, pip
from runners.toolenv.machine import Machine, newest_glibcxx
from runners.toolenv.preconditions import notices, obstacle
from runners.toolenv.spec import Layer, Operators, ToolSpecs
from taod.errors import BadRequest, ConfigError, NoSpace, NotFound

from .wheels import MACHINE, PYTHON, tool_spec

GPU = msgspec.structs.replace(MACHINE, gpus=1, driver="580.65.06", cuda=13, glibcxx="3.4.32")


def test_every_specification_has_its_lists_and_pins_every_requirement() -> None:
    known = ToolSpecs()
    names = [f"{each.tool} {each.release}" for each in known.all()]
    assert names == ["data-services 7.3.0", "deploy 7.3.0", "pytorch 7.3.0", "pytorch 5.1.0", "tf2 6.0.0"]
    for spec in known.all():
        titles = [step.title for step in spec.step]
        assert len(set(titles)) == len(titles)
        listed = [line for step in spec.step if step.file for line in _lines(known, spec, step.file)]
        for requirement in [*listed, *(each for step in spec.step for each in [*step.packages, *step.cpu])]:
            assert "==" in requirement and "://" not in requirement, (spec.tool, requirement)
        assert any(f"{spec.package}=={spec.release}" in step.packages for step in spec.step)
        for package in spec.supplies:
            assert (own_modules.LAYER / "supplied" / package).is_dir()


def _lines(known: ToolSpecs, spec: object, file: str) -> list[str]:
    return (known.lists(spec) / file).read_text().split()  # type: ignore[arg-type]


def test_the_newest_release_is_taken_unless_one_is_named() -> None:
    known = ToolSpecs()
    assert known.get("pytorch").release == "7.3.0"
    assert known.get("pytorch", "5").release == known.get("pytorch", "5.1").release == "5.1.0"
    with pytest.raises(NotFound, match=r"pytorch has no release '6.0' that taod can install; it has 7.3.0, 5.1.0"):
        known.get("pytorch", "6.0")
    with pytest.raises(NotFound, match=r"tool 'pytroch' is unknown; did you mean pytorch\? taod can install data-serv"):
        known.get("pytroch")


def test_a_folder_of_own_specifications_adds_to_the_known_ones_and_replaces_them(tmp_path: Path) -> None:
    text = (ToolSpecs().lists(ToolSpecs().get("tf2")) / "tf2-6.0.0.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace("TensorFlow 2 networks", "My networks"))
    known = ToolSpecs(tmp_path)
    assert known.get("tf2").title == "My networks" and known.lists(known.get("tf2")) == tmp_path
    assert len(known.all()) == len(ToolSpecs().all())
    (tmp_path / "own.toml").write_text(text.replace("tool =", "tol ="))
    with pytest.raises(ConfigError, match=r"own.toml: Object .*tol"):
        ToolSpecs(tmp_path).all()


def test_preconditions_name_cause_and_remedy() -> None:
    spec = tool_spec(cuda=13)

    def why(machine: Machine, *, cpu: bool = False, **changed: object) -> str:
        changed_spec = msgspec.structs.replace(spec, **changed)
        found = obstacle(changed_spec, machine, cpu=cpu, cuda_builds=bool(machine.gpus))
        return "" if found is None else str(found)

    assert why(GPU) == why(MACHINE) == why(MACHINE, cpu=True) == ""
    assert why(msgspec.structs.replace(MACHINE, processor="aarch64")) == (
        "tiny 7.3.0 is built for x86_64, and this machine is aarch64; use a container image for it"
    )
    old = msgspec.structs.replace(GPU, driver="550.54", cuda=12)
    assert why(old) == (
        "tiny 7.3.0 needs a driver for CUDA 13, and driver 550.54 supports CUDA 12; update the NVIDIA driver, or add "
        "--cpu for trials"
    )
    assert why(old, cpu=True) == ""
    assert why(MACHINE, cpu=True, cpu_disk_mb=0) == "tiny 7.3.0 needs a GPU; --cpu is not available for it"
    assert why(GPU, gpu_obstacle="use the image") == "tiny 7.3.0: use the image"
    full = obstacle(spec, msgspec.structs.replace(GPU, free_bytes=59 * 10**6), cpu=False, cuda_builds=True)
    assert isinstance(full, NoSpace)
    half = msgspec.structs.replace(GPU, free_bytes=40 * 10**6)
    assert obstacle(spec, half, cpu=False, cuda_builds=True, done_bytes=30 * 10**6) is None


def test_operators_that_cannot_be_loaded_are_named_before_the_installation() -> None:
    operators = Operators("attention", ["dino", "rtdetr"], "3.4.32", 13, "PyTorch's own are used")
    spec = tool_spec(operators=[operators])
    assert notices(spec, GPU, cpu=False) == []
    old = msgspec.structs.replace(GPU, glibcxx="3.4.30", cuda=12)
    assert notices(spec, old, cpu=False) == [
        "dino, rtdetr: attention cannot be loaded (needs GLIBCXX_3.4.32, the system's is 3.4.30; needs CUDA 13, the "
        "driver supports 12); PyTorch's own are used"
    ]
    on_cpu = notices(spec, msgspec.structs.replace(MACHINE, glibcxx=""), cpu=True)
    assert on_cpu[0].startswith("runs on the CPU") and "libstdc++ was not found; needs CUDA 13)" in on_cpu[1]


def test_the_newest_symbol_version_of_libstdcxx_is_read_from_the_file(tmp_path: Path) -> None:
    library = tmp_path / "libstdc++.so.6"
    library.write_bytes(b"\0GLIBCXX_3.4\0GLIBCXX_3.4.9\0GLIBCXX_3.4.30\0GLIBCXX_TUNABLES\0GLIBCXX_3.4.29\0")
    assert newest_glibcxx(library) == "3.4.30"
    assert newest_glibcxx(tmp_path / "none") == newest_glibcxx(None) == ""


def test_an_interpreter_is_found_in_a_version_managers_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".pyenv/versions/9/bin"
    folder.mkdir(parents=True)
    (folder / f"python{PYTHON}").symlink_to(sys.executable)
    found = interpreters.search(PYTHON, [], {"PATH": "/nowhere", "HOME": str(tmp_path)})
    assert found.minor == PYTHON and found.venv
    with pytest.raises(BadRequest, match=r"does not have tensorrt_absent, which the tool needs"):
        interpreters.search(PYTHON, ["tensorrt_absent"], {"PATH": "/nowhere", "HOME": str(tmp_path)})


def test_an_interpreter_is_installed_through_uv_where_none_is_found(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text(
        f"#!/bin/sh\ncase $2 in\ninstall) touch {tmp_path}/done ;;\n"
        f'find) [ -e {tmp_path}/done ] && echo "{sys.executable}" || exit 2 ;;\nesac\n'
    )
    uv.chmod(0o755)
    found = interpreters.search(PYTHON, [], {"PATH": str(tmp_path), "HOME": "/nowhere"})
    assert found.minor == PYTHON and (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("line", "detail", "size"),
    [
        ("  Downloading torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl (520.1 MB)", "torch-2.13.0", 520_100_000),
        ("  Using cached numpy-2.5.5-cp312.whl (16.2 kB)", "numpy-2.5.5", 16_200),
        ("Processing /wheels/tiny-1.0-py3-none-any.whl", "tiny-1.0", 0),
        ("  Downloading numpy-2.5.5-cp312.whl.metadata (6.6 kB)", "numpy-2.5.5", 0),
        ("Collecting torch==2.13.0", "torch==2.13.0", 0),
        ("  Building wheel for fairscale (pyproject.toml): started", "building fairscale", 0),
        ("Installing collected packages: a, b, c", "installing 3 packages", 0),
    ],
)
def test_pips_lines_are_read(line: str, detail: str, size: int) -> None:
    found = pip.parse(line)
    assert found is not None and found.detail.startswith(detail) and found.loaded_bytes == size


def test_pips_settings_of_the_user_are_kept_and_other_places_are_not() -> None:
    found = pip.environment({"PIP_INDEX_URL": "mine", "PIP_TARGET": "/x", "PYTHONPATH": "/y", "PIP_USER": "1"})
    assert found["PIP_INDEX_URL"] == "mine" and found["PIP_NO_INPUT"] == "1"
    assert not {"PIP_TARGET", "PYTHONPATH", "PIP_USER"} & found.keys()


def test_a_package_that_was_not_written_to_its_end_is_installed_again(tmp_path: Path) -> None:
    for name, files in (("whole-1", ("METADATA", "INSTALLER", "RECORD")), ("half-1", ("METADATA", "RECORD"))):
        (tmp_path / f"{name}.dist-info").mkdir()
        for file in files:
            (tmp_path / f"{name}.dist-info" / file).touch()
    (tmp_path / "~alf").mkdir()
    pip.repair(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["whole-1.dist-info"]


def test_the_panoptic_colours_that_taod_supplies_are_those_of_the_format(tmp_path: Path) -> None:
    import numpy as np

    own_modules.supply(tmp_path, ["panopticapi"])
    code = (
        "import numpy as np, json\nfrom panopticapi.utils import id2rgb, rgb2id\n"
        "ids = np.array([[0, 255, 256], [65536, 70000, 16777215]])\n"
        "print(json.dumps([id2rgb(ids).tolist(), rgb2id(id2rgb(ids)).tolist(), id2rgb(70000), rgb2id((112, 17, 1))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, check=True
    )
    colours, ids, colour, one = msgspec.json.decode(done.stdout)
    assert colours[0] == [[0, 0, 0], [255, 0, 0], [0, 1, 0]] and colours[1][2] == [255, 255, 255]
    assert np.array_equal(ids, [[0, 255, 256], [65536, 70000, 16777215]])
    assert colour == [112, 17, 1] and one == 70000


def test_the_cpu_layer_stands_in_for_packages_and_changes_nothing_else(tmp_path: Path) -> None:
    layer = Layer(modules=["horovod", "mpi4py", "pycuda", "tensorrt", "json"])
    own_modules.add_layer(tmp_path, tool_spec(layer=layer), cpu=True)
    code = """
import taod_cpu_layer, sys, json
taod_cpu_layer.install()
import horovod.tensorflow.keras as hvd
import pycuda.autoinit, pycuda.driver as cuda
import tensorrt as trt
from mpi4py import MPI
hvd.init()
sys.modules["tensorflow.keras.callbacks"] = callbacks = type(sys)("callbacks")
callbacks.Callback = type("Callback", (), {})
assert isinstance(hvd.callbacks.BroadcastGlobalVariablesCallback(0), callbacks.Callback)
class Calibrator(trt.IInt8EntropyCalibrator2):
    pass
logger = trt.Logger(trt.Logger.WARNING)
context = pycuda.autoinit.device.retain_primary_context()
context.push()
context.pop()
try:
    cuda.mem_alloc(1).free
except RuntimeError as error:
    text = str(error)
found = [hvd.size(), hvd.rank(), hvd.DistributedOptimizer("sgd"), MPI.COMM_WORLD.Get_size(), text]
print(json.dumps([*found, json.__file__[-16:]]))
"""
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    size, rank, optimizer, world, text, file = msgspec.json.decode(done.stdout)
    assert (size, rank, optimizer, world) == (1, 0, "sgd", 1)
    assert text == "pycuda.driver.mem_alloc cannot be used: pycuda is not installed in this environment"
    assert file == "json/__init__.py", "a package that is installed is used"


_FAKES = {
    "pytorch_lightning": """
__version__ = "2.6.6"
class Device:
    def __init__(self, type, index=None):
        self.type, self.index = type, index
class Trainer:
    def __init__(self, accelerator, devices, precision):
        self.given = [accelerator, devices, precision]
        self.strategy = type("SingleDevice", (), {"_root_device": Device(accelerator)})()
""",
    "nvidia/dali": """
import types
def pipeline_def(function=None, *, device_id=0, batch_size):
    return device_id, batch_size
fn = types.SimpleNamespace(image_decoder=lambda images, device: (images, device))
""",
}
"""Package -> the part of it that the layer changes."""


def test_the_cpu_layer_puts_lightning_and_dali_on_the_cpu(tmp_path: Path) -> None:
    own_modules.add_layer(tmp_path, tool_spec(layer=Layer()), cpu=True)
    for package, text in _FAKES.items():
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text(text)
    code = """
import taod_cpu_layer, json
taod_cpu_layer.install()
from pytorch_lightning import Trainer
from nvidia.dali import fn, pipeline_def
trainer = Trainer(accelerator="gpu", devices=2, precision="16-mixed")
device = trainer.strategy._root_device
print(json.dumps([trainer.given, [device.type, device.index], pipeline_def(device_id=0, batch_size=8),
    fn.image_decoder("raw", device="mixed")]))
"""
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout) == [["cpu", 1, "32-true"], ["cpu", 0], [None, 8], ["raw", "cpu"]]


@pytest.mark.engine
@pytest.mark.slow(8)
def test_the_cpu_layer_creates_tensors_on_the_cpu_and_computes_the_attention_of_xformers(tmp_path: Path) -> None:
    own_modules.add_layer(tmp_path, tool_spec(layer=Layer()), cpu=True)
    (tmp_path / "xformers" / "ops").mkdir(parents=True)
    (tmp_path / "xformers" / "__init__.py").touch()
    (tmp_path / "xformers" / "ops" / "__init__.py").write_text(
        "def memory_efficient_attention(): raise NotImplementedError"
    )
    code = """
import taod_cpu_layer
taod_cpu_layer.install()
import torch
from xformers.ops import memory_efficient_attention
class Blocks:
    def materialize(self, shape, dtype, device):
        mask = torch.full(shape, float("-inf"), dtype=dtype)
        mask[..., :2, :2] = mask[..., 2:, 2:] = 0
        return mask
gpu = torch.device("cuda")
for made in (torch.as_tensor([1.0], device=gpu), torch.zeros(1, device=gpu), torch.ones(1, device="cuda:0")):
    assert made.device.type == "cpu"
query, key, value = torch.randn(3, 1, 5, 2, 8)
whole = memory_efficient_attention(query, key, value, attn_bias=Blocks())
for part in (slice(0, 2), slice(2, 5)):
    for head in range(2):
        q, k, v = (each[0, part, head] for each in (query, key, value))
        alone = torch.softmax(q @ k.T / 8**0.5, dim=-1) @ v
        assert torch.allclose(whole[0, part, head], alone, atol=1e-6)
        assert torch.allclose(memory_efficient_attention(q[None], k[None], v[None])[0], alone, atol=1e-6)
"""
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cpu", [False, True])
def test_absent_packages_have_stand_ins_on_a_gpu_too(tmp_path: Path, cpu: bool) -> None:
    spec = tool_spec(absent=["spatial_of_none"], layer=Layer(modules=["pycuda"]))
    own_modules.add_layer(tmp_path, spec, cpu=cpu)
    code = "import taod_cpu_layer, sys; taod_cpu_layer.install(); import spatial_of_none.x; import pycuda"
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == cpu
    assert cpu or "No module named 'pycuda'" in done.stderr


@pytest.mark.parametrize(
    ("output", "no_build", "cause"),
    [
        ("ERROR: No matching distribution found for a==1", True, "No matching distribution found for a==1"),
        ("ERROR: Cannot install a\\nERROR: ResolutionImpossible: for help see", True, "Cannot install a"),
        ("ERROR: Could not install: No space left on device", False, "Could not install: No space left on device"),
        ("nothing to see", False, "pip ended with exit code 1"),
    ],
)
def test_why_pip_failed(tmp_path: Path, output: str, no_build: bool, cause: str) -> None:
    with pytest.raises(pip.PipFailed) as failed:
        pip.run(["/bin/sh", "-c", f"printf '{output}'; exit 1"], tmp_path / "log", os.environ, lambda line: None)
    assert (failed.value.no_build, str(failed.value)) == (no_build, cause)
    assert output.partition("\\n")[0] in (tmp_path / "log").read_text()
