"""Prefect flows: what follows what in the self-evolution loop, and nothing else."""

import os

# Prefect's SDK otherwise reports first uses to its makers, and reads this when it is imported.
os.environ.setdefault("DO_NOT_TRACK", "1")
