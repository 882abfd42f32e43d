"""GPUs, MIG instances and CPU slots: inventory, readings, processes of others."""
