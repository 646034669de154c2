"""Multi-hop questions built from the fact graph, and their held-out splits."""
