"""Rewards, filters, SFT, RL and construction of training data; free of Prefect and the store."""
