"""Trackers of runs: TensorBoard and others get what the store has of each job, from processes of their own."""
