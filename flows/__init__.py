"""Prefect flows: what follows what in the self-evolution loop, and nothing else."""
