"""`python3 setup/run_tests.py [pytest arguments]`: makes the environment, then checks everything."""

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from setup import python_version  # noqa: E402  (the version has to be checked before anything newer is read)

if __name__ == "__main__":
    python_version.require("setup/run_tests.py")

    from setup.checks import run

    sys.exit(run(sys.argv[1:]))
