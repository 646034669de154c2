"""Prefect's server with the settings that were found to matter.

`make server` or `python -m deployments.prefect.server`. Its database is SQLite in `PREFECT_HOME`,
or the Postgres that `PREFECT_SERVER_DATABASE_CONNECTION_URL` names (docs/deployments.md).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from flows.prefect_runtime import SERVER_ENVIRONMENT


def server_environment(given: Mapping[str, str], host: str, port: int) -> dict[str, str]:
    """The environment of a server; what was set by hand counts more.

    Args:
        given: The environment as it is.
        host: Address to listen on.
        port: Port to listen on.
    """
    settings = {
        **SERVER_ENVIRONMENT,
        "PREFECT_UI_ENABLED": "true",
        "DO_NOT_TRACK": "1",
    }
    where = {
        "PREFECT_SERVER_API_HOST": host,
        # `--port` alone is not enough: the UI would go on asking port 4200.
        "PREFECT_SERVER_API_PORT": str(port),
    }
    return {**settings, **given, **where}


def main() -> None:
    """Becomes the server."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.prefect.server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on [default: 127.0.0.1]; the server lets in whoever reaches it, "
        "unless PREFECT_SERVER_API_AUTH_STRING is set",
    )
    parser.add_argument("--port", type=int, default=4200, help="port [default: 4200]")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "prefect", "server", "start"]
    environment = server_environment(os.environ, arguments.host, arguments.port)
    # A server that was told of another one would have its UI ask that one.
    environment.pop("PREFECT_API_URL", None)
    sys.stdout.flush()
    os.execve(command[0], command, environment)  # noqa: S606 - a fixed list of arguments


if __name__ == "__main__":
    main()
