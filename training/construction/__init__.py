"""Construction of training trajectories from the known chains of questions."""
