"""The tools an agent may call: `search` and `visit`."""
