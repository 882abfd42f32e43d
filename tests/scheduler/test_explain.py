"""Which line of a log explains a failure: final lines of NVIDIA's tools, their libraries and launchers."""

from __future__ import annotations

import pytest

from runners.protocol import RunEnd
from taod.scheduler.supervision.exit_classification import ExitFacts, judge
from taod.scheduler.supervision.failure_reason import MAX_CHARACTERS, explain, reported
from taod.types.reason_text import text

TELEMETRY = """\
Telemetry data couldn't be sent, but the command ran successfully.
[WARNING]: Uninitialized
Execution status: FAIL
"""
HYDRA = "\nSet the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n" + TELEMETRY
TRACEBACK = """\
Traceback (most recent call last):
  File "/opt/nvidia/tools/train.py", line 150, in main
    run_experiment(experiment_config=cfg)
"""
TORCHRUN = """\
ERROR:torch.distributed.elastic.multiprocessing.api:failed (exitcode: 1) local_rank: 0 (pid: 912) of binary: /usr/bin/python
Traceback (most recent call last):
  File "/usr/local/bin/torchrun", line 8, in <module>
    sys.exit(main())
  File "/usr/lib/python3.8/site-packages/torch/distributed/launcher/api.py", line 246, in launch_agent
    raise ChildFailedError(
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
/opt/nvidia_tao_pytorch/cv/segformer/scripts/train.py FAILED
------------------------------------------------------------
Failures:
  <NO_OTHER_FAILURES>
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2023-07-09_09:04:12
  host      : workstation
  rank      : 0 (local_rank: 0)
  exitcode  : 1 (pid: 912)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================
"""  # noqa: E501
OOM = (
    "CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 23.65 GiB total capacity; 21.10 GiB already allocated; "
    "1.20 GiB free; 21.50 GiB reserved in total by PyTorch)"
)

ENDINGS = {
    "Hydra, unknown key": (
        "'badkey.yaml' is validated against ConfigStore schema with the same name.\n"
        "Error merging 'badkey.yaml' with schema\nKey 'nope' not in 'DINODatasetConfig'\n    full_key: dataset.nope\n"
        "    reference_type=DINODatasetConfig\n    object_type=DINODatasetConfig\n" + HYDRA,
        "Key 'nope' not in 'DINODatasetConfig' (full_key: dataset.nope)",
    ),
    "Hydra, wrong type": (
        "Error merging 'badtype.yaml' with schema\nValue 'abc' of type 'str' could not be converted to Integer\n"
        "    full_key: train.num_epochs\n    reference_type=PCTrainExpConfig\n" + HYDRA,
        "Value 'abc' of type 'str' could not be converted to Integer (full_key: train.num_epochs)",
    ),
    "OmegaConf with a traceback": (
        TRACEBACK + "omegaconf.errors.ConfigAttributeError: Missing key hidden_dim\n    full_key: model.hidden_dim\n"
        "    object_type=dict\n" + HYDRA,
        "omegaconf.errors.ConfigAttributeError: Missing key hidden_dim (full_key: model.hidden_dim)",
    ),
    "the data is not there": (
        "Error executing job with overrides: ['encryption_key=k']\n" + TRACEBACK
        + '    fid = stack.enter_context(open(os_fspath(file), "rb"))\n'
        "TypeError: expected str, bytes or os.PathLike object, not NoneType\n" + HYDRA,
        "TypeError: expected str, bytes or os.PathLike object, not NoneType",
    ),
    "broken YAML": (
        TRACEBACK + 'yaml.parser.ParserError: while parsing a flow sequence\n  in "/jobs/spec.yaml", line 1, column 4\n'
        "expected ',' or ']', but got '<stream end>'\n  in \"/jobs/spec.yaml\", line 2, column 1\n" + TELEMETRY,
        'yaml.parser.ParserError: while parsing a flow sequence in "/jobs/spec.yaml", line 1, column 4 expected '
        "',' or ']', but got '<stream end>' in \"/jobs/spec.yaml\", line 2, column 1",
    ),
    "PyTorch out of memory under torchrun": (
        TRACEBACK + f"RuntimeError: {OOM}\n" + TORCHRUN + TELEMETRY,
        f"RuntimeError: {OOM}",
    ),
    "one of several processes": (
        "[rank0]: " + TRACEBACK.replace("\n", "\n[rank0]: ") + f"torch.cuda.OutOfMemoryError: {OOM}\n"
        "[rank1]: torch.distributed.DistBackendError: NCCL communicator was aborted on rank 1.\n" + TORCHRUN,
        f"torch.cuda.OutOfMemoryError: {OOM}",
    ),
    "Lightning": (
        TRACEBACK + "pytorch_lightning.utilities.exceptions.MisconfigurationException: No supported gpu backend found!"
        + HYDRA,
        "pytorch_lightning.utilities.exceptions.MisconfigurationException: No supported gpu backend found!",
    ),
    "state of another model": (
        TRACEBACK + "RuntimeError: Error(s) in loading state_dict for DINOModel:\n"
        "\tsize mismatch for model.class_embed.0.bias: copying a param with shape torch.Size([91])\n" + HYDRA,
        "RuntimeError: Error(s) in loading state_dict for DINOModel: size mismatch for model.class_embed.0.bias: "
        "copying a param with shape torch.Size([91])",
    ),
    "protobuf text": (
        TRACEBACK + 'google.protobuf.text_format.ParseError: 2:1 : Message type "Experiment" has no field named '
        '"nope_config".\n' + TELEMETRY,
        'google.protobuf.text_format.ParseError: 2:1 : Message type "Experiment" has no field named "nope_config".',
    ),
    "TF1, a key": (TRACEBACK + "KeyError: 'sample'\n" + TELEMETRY, "KeyError: 'sample'"),
    "TF1, a bare assertion": (
        TRACEBACK + '  File "dataloader.py", line 9, in check\n    assert steps >= 10\nAssertionError\n' + TELEMETRY,
        "AssertionError: assert steps >= 10",
    ),
    "TF1 out of memory": (
        TRACEBACK + "tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when allocating tensor with "
        "shape[64,512,48,160]\n" + TELEMETRY,
        "tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when allocating tensor with "
        "shape[64,512,48,160]",
    ),
    "argparse": (
        "usage: train.py [--help] [--hydra-help] [--version]\n                [overrides [overrides ...]]\n"
        "train.py: error: unrecognized arguments: -k k --bogus 3\n" + TELEMETRY,
        "train.py: error: unrecognized arguments: -k k --bogus 3",
    ),
    "the entry point": (
        "No CUDA runtime is found, using CUDA_HOME='/usr/local'\n"
        "ERROR: The indicated experiment spec file `/jobs/none.yaml` doesn't exist!\n",
        "ERROR: The indicated experiment spec file `/jobs/none.yaml` doesn't exist!",
    ),
    "no such program": ("sh: 1: nosuchtool: not found\n", "sh: 1: nosuchtool: not found"),
    "no such program, bash": ("bash: line 1: dino: command not found\n", "bash: line 1: dino: command not found"),
    "no such module": (
        "Traceback (most recent call last):\n  File \"<string>\", line 1, in <module>\n"
        "ModuleNotFoundError: No module named 'nosuchmodule'\n",
        "ModuleNotFoundError: No module named 'nosuchmodule'",
    ),
    "no such library": (
        TRACEBACK + "ImportError: libGL.so.1: cannot open shared object file: No such file or directory\n",
        "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
    ),
    "no driver": (
        TRACEBACK + "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU\n"
        + HYDRA,
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
    ),
    "an old driver, from C++": (
        "CUDA driver version is insufficient for CUDA runtime version\n" + TELEMETRY,
        "CUDA driver version is insufficient for CUDA runtime version",
    ),
    "disk full": (
        TRACEBACK + "OSError: [Errno 28] No space left on device\n" + HYDRA,
        "OSError: [Errno 28] No space left on device",
    ),
    "disk full, a shell": (
        "cp: error writing '/a': No space left on device\n", "cp: error writing '/a': No space left on device",
    ),
    "killed": ("Epoch 3: loss 0.2\n/jobs/run.sh: line 3:   912 Killed   python train.py\nKilled\n", "Killed"),
    "aborted in C++": (
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
        "what():  std::bad_alloc",
    ),
    "mpirun": (
        "Primary job  terminated normally, but 1 process returned\na non-zero exit code.\n"
        "mpirun noticed that process rank 0 with PID 0 on node ws exited on signal 9 (Killed).\n",
        "mpirun noticed that process rank 0 with PID 0 on node ws exited on signal 9 (Killed).",
    ),
    "the container engine": (
        "docker: Error response from daemon: could not select device driver \"\" with capabilities: [[gpu]].\n",
        "docker: Error response from daemon: could not select device driver \"\" with capabilities: [[gpu]].",
    ),
    "colours": ("\x1b[31mValueError: bad value\x1b[0m\n", "ValueError: bad value"),
    "nothing that explains": ("one\nusage: dino\n" + TELEMETRY, ""),
    "a warning is no failure": ("UserWarning: deprecated\nModuleNotFoundError(\"No module named 'faiss.avx2'\")\n", ""),
}  # fmt: skip


@pytest.mark.parametrize(("log", "line"), ENDINGS.values(), ids=ENDINGS)
def test_the_line_that_explains(log: str, line: str) -> None:
    assert explain(log) == line


@pytest.mark.parametrize("log", [log for log, line in ENDINGS.values() if line])
def test_a_failure_is_explained_in_its_first_line_without_boilerplate(log: str) -> None:
    words = text(judge(ExitFacts(stop_intent=None, ended=RunEnd(1), status=None, log="epoch 1\n" + log)).reason)
    first, *below = words.splitlines()
    assert first.startswith("exit code 1: ") and below in ([], [explain(log)])
    for boilerplate in ("HYDRA_FULL_ERROR", "Telemetry", "Execution status", "ChildFailedError"):
        assert boilerplate not in words


def test_without_an_explanation_the_last_lines_are_shown_without_boilerplate() -> None:
    facts = ExitFacts(stop_intent=None, ended=RunEnd(1), status=None, log="one\ntwo\n" + HYDRA)
    assert text(judge(facts).reason) == "exit code 1\none\ntwo"


def test_a_line_that_explains_goes_below_a_known_meaning() -> None:
    facts = ExitFacts(stop_intent=None, ended=RunEnd(127), status=None, log="sh: 1: dino: not found\n")
    assert text(judge(facts).reason) == "exit code 127: the program was not found\nsh: 1: dino: not found"


@pytest.mark.parametrize(
    ("message", "log", "line"),
    [
        ("Parameter validation error: 'NoneType' object is not iterable", TRACEBACK + "TypeError: other",
         "Parameter validation error: 'NoneType' object is not iterable"),
        ("'sample'", TRACEBACK + "KeyError: 'sample'", "KeyError: 'sample'"),
        ("Training was interrupted", TRACEBACK + "ValueError: x", "ValueError: x"),
        ("Training was interrupted", "", "Training was interrupted"),
        ("", TRACEBACK + "ValueError: x", "ValueError: x"),
        (TRACEBACK + "ValueError: x", "", "ValueError: x"),
        ("Weights only load failed. This file can still be loaded.\n\t(1) In PyTorch 2.6, we changed", "",
         "Weights only load failed. This file can still be loaded."),
    ],
)  # fmt: skip
def test_the_tools_own_message_is_used_unless_the_log_explains_more(message: str, log: str, line: str) -> None:
    assert reported(message, log) == line
    assert (
        text(judge(ExitFacts(stop_intent=None, ended=RunEnd(1), status="FAILURE", message=message, log=log)).reason)
        == line
    )


def test_an_overlong_line_is_cut() -> None:
    assert len(explain("ValueError: " + "x" * 5_000)) == MAX_CHARACTERS
