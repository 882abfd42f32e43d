"""NVIDIA's packages installed for real by `taod tools install … --cpu`, and what can be imported of them.

`make test-tools` runs this. TAOD_TOOLS_ROOT names a folder that keeps the environments between runs, so that only the
first run downloads and installs (pytorch 7.3.0: 3.4 GB and 10 minutes); TAOD_TOOLS narrows the tools to a list.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from runners.toolenv.environments import Environments
from runners.toolenv.interpreters import search
from runners.toolenv.spec import ToolSpecs
from taod.catalogue.network import get_network
from taod.errors import BadRequest
from taod.types.tool import Environment, ToolState
from tests.tools import text_models
from tests.tools.plans import PLANS

ROOT = os.environ.get("TAOD_TOOLS_ROOT", "")
CACHE = Path(ROOT) / "cache"
"""Where runs of the daemons find tokenizers."""
CHOSEN = os.environ.get("TAOD_TOOLS", "pytorch data-services tf2").replace(",", " ").split()
HOUR_S = 3600
pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(2 * HOUR_S),
    pytest.mark.skipif(not ROOT, reason="TAOD_TOOLS_ROOT names no folder for installed tools (make test-tools)"),
]

TRAINED = {get_network(name, "7.3").program for name in PLANS}
"""Networks of pytorch 7.3 that are trained on a CPU with a compatibility layer."""
USABLE = {
    "pytorch": TRAINED,
    "data-services": {"analytics", "annotations", "augmentation"},
    "tf2": {"classification_tf2", "efficientdet_tf2"},
}


@pytest.fixture(scope="module", params=["pytorch", "data-services", "tf2"])
def installed(request: pytest.FixtureRequest) -> Environment:
    """The tool's newest release with the CPU layer, installed unless an earlier run has done that."""
    return install(request.param)


@pytest.fixture(scope="module")
def pytorch() -> Environment:
    """The newest PyTorch tools with the CPU layer."""
    made = install("pytorch")
    text_models.make_bert(Path(made.path, "bin", "python"), CACHE)
    return made


@pytest.fixture(scope="module")
def data_services() -> Environment:
    """The newest data services with the CPU layer."""
    return install("data-services")


@pytest.fixture(scope="module")
def tf2() -> Environment:
    """The newest TF2 tools with the CPU layer."""
    return install("tf2")


def install(tool: str) -> Environment:
    """Skips where it was not chosen, or this machine has no Python of the right version."""
    if tool not in CHOSEN:
        pytest.skip(f"TAOD_TOOLS = {' '.join(CHOSEN)}: {tool} is not among them")
    spec = ToolSpecs().get(tool)
    try:
        search(spec.python, [])
    except BadRequest as error:
        pytest.skip(str(error))
    words = ["tools", "install", tool, "--cpu", "--accept-license", "--json"]
    # The check of an installation imports oneformer, which reads a tokenizer.
    done = taod(*words, environ=text_models.offline(CACHE))
    assert done.returncode == 0, done.stderr[-4000:]
    return msgspec.json.decode(done.stdout, type=Environment)


def taod(*words: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TAOD_")} | dict(environ or {})
    program = "import sys; from taod.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, *words, "--root", ROOT]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_every_network_that_trained_can_be_imported(installed: Environment) -> None:
    assert installed.state is ToolState.READY and installed.cpu
    reasons = {
        entry.name: entry.reason or [action.reason for action in entry.actions if not action.ok]
        for entry in installed.entry_points
        if not entry.offers("train") and not any(action.ok for action in entry.actions)
    }
    assert not USABLE[installed.tool] & reasons.keys(), reasons
    assert USABLE[installed.tool] <= {entry.name for entry in installed.entry_points}
    assert installed.packages[installed.package] == installed.release


def test_an_entry_point_runs_with_the_environment_on_its_path(installed: Environment, tmp_path: Path) -> None:
    entry = sorted(USABLE[installed.tool])[0]
    environ = {"PATH": f"{installed.path}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "TELEMETRY_OPT_OUT": "yes"}
    done = subprocess.run([entry, "--help"], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    actions = {action.name for action in installed.entry_points[0].actions}
    assert any(action in done.stdout for action in actions)


def test_another_installation_of_it_changes_nothing(installed: Environment) -> None:
    before = Environments(Path(installed.path).parent).get(installed.name)
    done = taod("tools", "install", installed.tool, "--cpu", "--json")
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout, type=Environment) == before
