"""Adapters between flows and libraries: artifacts, caching, retries, progress, child processes."""
