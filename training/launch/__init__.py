"""Training in several processes, on one machine or many, started by `accelerate launch`.

| Module | Holds |
|---|---|
| `config.py` | how many processes, where, how long they may be silent; LoRA; free of torch |
| `deepspeed_settings.py`, `configs/` | the shipped settings of DeepSpeed and accelerate |
| `driver.py` | the process that has the rows, the engine and the store: hands the work over |
| `group.py`, `start.py`, `launcher.py` | starts the ranks, listens to them, leaves none behind |
| `watch.py`, `member.py`, `failures.py` | what is known of the ranks, and what has gone wrong |
| `wire.py`, `request.py` | what driver and ranks tell each other, as lines and as files |
| `rank.py`, `world.py` | one rank; what the ranks do together |
| `join.py` | the same on a further machine |
"""
