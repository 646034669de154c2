"""Where the real data lie that some tests try things on, beside the project; they skip without."""

from __future__ import annotations

from pathlib import Path

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
