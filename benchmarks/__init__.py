"""Measurements of what EvolveSearch promises; see README.md."""
