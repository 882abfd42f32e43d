"""GPUs, MIG instances and CPU slots: inventory, measurements, GPU processes."""
