"""Files that are copied into an environment with `--cpu`; they run under the tool's own Python, 3.8 and newer."""
