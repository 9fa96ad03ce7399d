"""Start here: `python3 gui.py` makes the environment on first use, then serves the app in the browser."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from setup import python_version  # noqa: E402  (the version has to be checked before anything newer is read)

if __name__ == "__main__":
    python_version.require("gui.py")

    from setup.start import run

    run(sys.argv[1:])
