"""Entry points of the child processes that do the heavy work of a stage."""
