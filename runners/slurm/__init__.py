"""Runs as jobs of a Slurm cluster over a shared file system."""
