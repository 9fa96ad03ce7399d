"""`python -m kohya_gui`, which gui.py does once there is an environment: the app, started quickly."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Nothing of what is imported and built becomes garbage, but looking for some in it takes an eighth of the time;
    `app.serve` looks again once all is there."""
    gc.disable()
    try:
        from .app import main as served

        return served(argv)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
