"""`python3 setup/doctor.py`: what this machine has and what is missing, in words. Needs no environment."""

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from setup import python_version  # noqa: E402  (the version has to be checked before anything newer is read)

if __name__ == "__main__":
    python_version.require("setup/doctor.py")

    from setup.report import run

    sys.exit(run())
