"""Engines that turn token ids into sampled token ids with their log-probabilities."""
