"""Heavy work in child processes of their own group."""
