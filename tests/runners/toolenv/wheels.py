"""Tiny packages for real installations: wheels with entry points, in a folder that pip searches."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path
from textwrap import dedent

from runners.toolenv.machine import Machine
from runners.toolenv.spec import Licence, Probe, Step, ToolSpec

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
MACHINE = Machine(processor="x86_64", glibcxx="3.4.30", free_bytes=10**12)

SCRIPTS = {"train": "", "evaluate": "", "export": "import a_package_that_is_missing\n"}
"""Actions of the tool's second network; `export` cannot be imported."""


def wheel(folder: Path, name: str, version: str, files: dict[str, str], scripts: dict[str, str] | None = None) -> Path:
    """A wheel of pure Python. `scripts`: console scripts with what they call."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    entries = "".join(f"{key} = {value}\n" for key, value in (scripts or {}).items())
    everything = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{entries}",
    }
    record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in everything.items())
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in everything.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def tool_files() -> dict[str, str]:
    """A package with two networks in NVIDIA's layout: an entry point that imports every module of `scripts`."""
    files = {"tiny_tool/__init__.py": ""}
    for network, scripts in (("net_a", {"train": "import tiny_library\n", "evaluate": ""}), ("net_b", SCRIPTS)):
        files |= {f"tiny_tool/{network}/{folder}__init__.py": "" for folder in ("", "scripts/", "entrypoint/")}
        files |= {f"tiny_tool/{network}/scripts/{action}.py": text for action, text in scripts.items()}
        files[f"tiny_tool/{network}/entrypoint/{network}.py"] = dedent(f"""
            import os, sys
            from tiny_tool.{network} import scripts

            def main():
                print("{network}", *sys.argv[1:], os.environ.get("TINY_TOOL", ""), flush=True)
        """)
    return files


def index(folder: Path) -> Path:
    """A folder with the tool and the library that it needs."""
    folder.mkdir(exist_ok=True)
    wheel(folder, "tiny-library", "1.0", {"tiny_library.py": "BUILD = 'cuda'\n"})
    networks = ("net_a", "net_b")
    entries = {network: f"tiny_tool.{network}.entrypoint.{network}:main" for network in networks}
    wheel(folder, "tiny-tool", "7.3.0", tool_files(), entries)
    return folder


def pip_settings(folder: Path) -> dict[str, str]:
    """pip's settings with which it finds these packages alone."""
    return {"PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1"}


def tool_spec(**changed: object) -> ToolSpec:
    """The tool as taod would describe it."""
    given = {
        "tool": "tiny",
        "release": "7.3.0",
        "title": "Tiny networks",
        "package": "tiny-tool",
        "python": PYTHON,
        "licence": Licence("Tiny Licence", "in the wheel"),
        "download_mb": 2,
        "disk_mb": 60,
        "cpu_download_mb": 1,
        "cpu_disk_mb": 30,
        "step": [
            Step("library", ["tiny-library==1.0"], cpu=["tiny-library==1.0+cpu"]),
            Step("tool", ["tiny-tool==7.3.0"], options=["--no-deps"]),
        ],
        "probe": Probe(all_or_none=False),
        "environment": {"TINY_TOOL": "set"},
    }
    return ToolSpec(**(given | changed))  # type: ignore[arg-type]


def _digest(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
