"""`accelerate launch` that dies with the process that started it: `python -m … PARENT ARGUMENTS`.

The ranks are its children and die with it in turn (`training.launch.rank`), so that whichever of
the processes is killed, none is left.
"""

from __future__ import annotations

import sys

from agents.lifeline import die_with


def main() -> None:
    """Runs `accelerate launch` in this process."""
    die_with(int(sys.argv[1]))
    from accelerate.commands.launch import main as launch

    sys.argv = ["accelerate launch", *sys.argv[2:]]
    launch()


if __name__ == "__main__":
    main()
