"""The main program of the executable: `taod`, and modules by `-m`, as Python runs them (taod/program.py)."""

from __future__ import annotations

import os
import runpy
import sys

# What the bootloader sets for itself would make other programs load the executable's libraries instead of their own.
found = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
os.environ.pop("LD_LIBRARY_PATH", None)
if found is not None:
    os.environ["LD_LIBRARY_PATH"] = found
for name in [name for name in os.environ if name.startswith("_PYI_")]:
    del os.environ[name]

if sys.argv[1:2] == ["-m"] and len(sys.argv) > 2:
    del sys.argv[1]
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
else:
    from taod.cli.main import main

    main()
