"""Where Chromium is, and how it is started so that all it sends goes through our proxy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from agents.errors import UsageError

VARIABLE = "EVOLVESEARCH_CHROMIUM"
MAX_SCRIPT_MEMORY_MIB = 512


def find_chromium() -> str | None:
    """Path of Chromium from the environment or the system; None leaves it to Playwright's own.

    Raises:
        UsageError: The environment names one that does not exist.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).exists():
            raise UsageError(f"{VARIABLE} is {named}, which does not exist")
        return named
    return shutil.which("chromium") or shutil.which("chromium-browser")


def chromium_arguments(proxy_port: int) -> list[str]:
    """Arguments for a Chromium that reaches nothing but our proxy on loopback.

    Each line closes a way around it: names that Chromium resolves itself, addresses that it
    takes for local and so for direct, QUIC and WebRTC, which use UDP, and its own services.
    """
    arguments = [
        f"--proxy-server=http://127.0.0.1:{proxy_port}",
        "--proxy-bypass-list=<-loopback>",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        "--dns-prefetch-disable",
        "--no-pings",
        "--disable-quic",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-domain-reliability",
        "--disable-sync",
        "--disable-extensions",
        "--disable-default-apps",
        "--no-first-run",
        "--no-default-browser-check",
        "--mute-audio",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--blink-settings=imagesEnabled=false",
        f"--js-flags=--max-old-space-size={MAX_SCRIPT_MEMORY_MIB}",
    ]
    # Chromium refuses to run as root inside its sandbox; anybody else keeps it.
    return [*arguments, "--no-sandbox"] if os.geteuid() == 0 else arguments
