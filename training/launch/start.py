"""How ranks are started: the command line of `accelerate launch`, and its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from training.launch.config import LaunchConfig
from training.launch.deepspeed_settings import ACCELERATE_CONFIG

RANK_MODULE = "training.launch.rank"
"""What each rank runs."""


def launch_command(folder: Path, socket: Path, launch: LaunchConfig) -> list[str]:
    """The command that starts the ranks of this machine.

    Args:
        folder: The request.
        socket: Where this process listens to them.
        launch: How many, on which machines.
    """
    place = ["--main_process_port", str(launch.port)]
    if launch.address is not None:
        place += ["--main_process_ip", launch.address]
    return [
        *(sys.executable, "-P", "-m", "training.launch.launcher", str(os.getpid())),
        *("--config_file", str(ACCELERATE_CONFIG)),
        *("--num_processes", str(launch.num_processes)),
        *("--num_machines", str(launch.num_machines)),
        *("--machine_rank", str(launch.machine_rank), *place),
        *("--module", RANK_MODULE, str(folder.absolute()), str(socket)),
    ]


def launch_environment(launch: LaunchConfig, *, cpu: bool) -> dict[str, str]:
    """The environment of the ranks: this process's own, its modules, and their share of the cores.

    Args:
        launch: How many there are.
        cpu: Whether they train on a CPU.
    """
    paths = [path or os.getcwd() for path in sys.path]
    environment = {
        "TOKENIZERS_PARALLELISM": "false",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
    }
    if cpu:
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // launch.num_local)))
    if launch.num_machines == 1 and sys.platform == "linux":
        # They talk to each other on this machine alone, whatever its name resolves to.
        environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return environment
