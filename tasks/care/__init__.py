"""Care of a store: verify, collect garbage, archive and restore."""
