"""What orchestration costs: seconds of a run that no stage accounts for, inline and dispatched.

    python -m benchmarks.orchestration [--parts size inline dispatched] [--iterations N] [--json]

One Prefect server, with the pools and deployments of `evolvesearch deploy`, serves everything:

- **inline**: a small run (profile smoke). What lies between the end of one stage and the end of
  the next, less the time that the next one says it took, is the loop's: flows, tasks, artifacts,
  events, records. Then the same run again, where every stage is reused.
- **dispatched**: the same run in a new store, its stages sent to process workers; what lies
  beside the stages is now the hand-over. Both must come to the same policies.
- **size**: one rollout stage over few and over many questions, with trajectories made up in place
  of sampled ones: bytes that the server's database grows by, and flow runs, task runs and artifacts
  that it gets to know.

Shares are of a whole run: of this one, and of one that takes `--run-s` with `--run-iterations`
(what docs/results/laptop.md says of profile laptop). The start of the server stands apart.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.orchestration_server import Server
from benchmarks.orchestration_size import measure_size

GOALS = {
    "inline_s_per_iteration": 2.0,
    "dispatched_s_per_stage": 6.0,
    "share_of_laptop_run_percent": 1.0,
    "task_runs_of_many": 300.0,
    "database_growth_many_over_few": 1.5,
}
PARTS = ("size", "inline", "dispatched")
SETTINGS = {"benchmark.num_questions": 1, "gate.num_questions": 4}
"""On top of profile smoke: stages as short as they can be, so that the run is soon over."""


def measure_run(store: Path, iterations: int, mode: str) -> dict[str, Any]:
    """One run: seconds beside its stages, by iteration, and what it came to."""
    from flows.evolve import run_evolution
    from flows.profiles import load_profile
    from tasks.stage_events import StageEvent, stage_events

    settings = {
        **SETTINGS,
        "iterations": iterations,
        "execution.mode": mode,
        "store.uri": str(store),
    }
    heard: list[tuple[float, StageEvent]] = []
    started = time.perf_counter()
    with stage_events(lambda event: heard.append((time.perf_counter(), event))):
        document = run_evolution(load_profile("smoke", settings), "measured")
    ended = time.perf_counter()
    beside: dict[int, float] = defaultdict(float)
    gaps = []
    before = started
    for moment, event in heard:
        gaps.append(moment - before - event.wall_s)
        beside[event.iteration] += gaps[-1]
        before = moment
    # What follows the last stage is the last iteration's: its record, its artifacts.
    beside[iterations] += ended - before
    return {
        "wall_s": ended - started,
        "stages_s": sum(event.wall_s for _, event in heard),
        "num_stages": len(heard),
        "beside_s": sum(beside.values()),
        # Before the first iteration Prefect is imported and the heavy server started.
        "beside_s_by_iteration": {str(key): beside[key] for key in sorted(beside)},
        "s_per_iteration": statistics.median(beside[n] for n in range(1, iterations + 1)),
        "beside_s_by_stage": {
            f"{event.iteration} {event.stage} {event.subject}".strip(): gap
            for (_, event), gap in zip(heard, gaps, strict=True)
        },
        # The first stage waits for imports; workers have theirs in every gap.
        "s_per_stage": statistics.median(gaps[1:]),
        "most_s_per_stage": max(gaps[1:]),
        "policies": [entry["policy"] for entry in document["iterations"]],
    }


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    server = Server(folder / "prefect")
    found: dict[str, Any] = {}
    with (
        server.running(),
        temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_HOME: server.home}),
    ):
        found["server_start_s"] = server.start_s
        # Before there are workers, whose heartbeats are written, too.
        if "size" in arguments.parts:
            found["size"] = measure_size(server, folder / "size", arguments.questions)
        if "inline" in arguments.parts:
            found["inline"] = measure_run(folder / "inline", arguments.iterations, "inline")
            found["reused"] = measure_run(folder / "inline", arguments.iterations, "inline")
        if "dispatched" in arguments.parts:
            server.deploy()
            with server.workers():
                store = folder / "dispatched"
                found["dispatched"] = measure_run(store, arguments.iterations, "dispatch")
    if "inline" in found and "dispatched" in found:
        assert found["dispatched"]["policies"] == found["inline"]["policies"]
    found["summary"] = summary(found, arguments)
    return found


def summary(found: Mapping[str, Any], arguments: argparse.Namespace) -> dict[str, float]:
    """The figures that there are goals for, of the parts that were measured."""
    figures: dict[str, float] = {}
    if inline := found.get("inline"):
        # The iterations, and base policy and cold start, which are not more than another one.
        of_laptop = inline["s_per_iteration"] * (arguments.run_iterations + 1)
        figures |= {
            "inline_s_per_iteration": inline["s_per_iteration"],
            "inline_s_per_stage": inline["s_per_stage"],
            "share_of_this_run_percent": 100 * inline["beside_s"] / inline["wall_s"],
            "share_of_laptop_run_percent": 100 * of_laptop / arguments.run_s,
            "reused_s_per_iteration": found["reused"]["s_per_iteration"],
        }
    if dispatched := found.get("dispatched"):
        figures["dispatched_s_per_stage"] = dispatched["s_per_stage"]
        figures["dispatched_most_s_per_stage"] = dispatched["most_s_per_stage"]
        if inline:
            figures["dispatched_over_inline_wall"] = dispatched["wall_s"] / inline["wall_s"]
    if size := found.get("size"):
        few, many = size["stages"]
        figures["task_runs_of_many"] = many["task_runs"]
        growth = many["database_bytes"] / max(1, few["database_bytes"])
        figures["database_growth_many_over_few"] = growth
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--questions", type=int, nargs=2, default=[100, 100_000])
    parser.add_argument("--run-s", type=float, default=966.0, help="seconds of a laptop run")
    parser.add_argument("--run-iterations", type=int, default=2, help="its iterations")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="evolvesearch-orchestration-"))
    try:
        found = measure(folder, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        json.dump({"goals": GOALS, **found}, sys.stdout)
        print()
        return
    print(f"{'server start':32} {found['server_start_s']:10.2f} s")
    for name in ("inline", "reused", "dispatched"):
        if run := found.get(name):
            print(
                f"{name:32} {run['wall_s']:10.2f} s, of which {run['num_stages']} stages "
                f"{run['stages_s']:.2f} s, beside them {run['beside_s']:.2f} s"
            )
            for stage, seconds in run["beside_s_by_stage"].items():
                print(f"  before {stage:23} {seconds:10.2f} s")
    for stage in found.get("size", {}).get("stages", ()):
        print(
            f"rollout of {stage['questions']:,} questions: database "
            f"+{stage['database_bytes'] / 1024:.0f} KiB, {stage['task_runs']} task runs, "
            f"{stage['flow_runs']} flow runs, {stage['artifacts']} artifacts, "
            f"{stage['wall_s']:.1f} s"
        )
    for name, value in found["summary"].items():
        goal = f"  (goal: at most {GOALS[name]:g})" if name in GOALS else ""
        print(f"{name:32} {value:10.3f}{goal}")


if __name__ == "__main__":
    main()
