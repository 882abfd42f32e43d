"""Entry point: `python -m runners.engine <network> <action> -e spec.yaml -r results -k key`."""

from __future__ import annotations

import sys

from runners.engine.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
