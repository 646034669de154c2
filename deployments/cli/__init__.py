"""The `evolvesearch` command line."""
