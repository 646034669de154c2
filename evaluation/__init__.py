"""Questions, scoring, benchmarks, statistics and promotion."""
