"""Rewards, filters, SFT, RL and the construction of training data; free of Prefect and of the store."""
