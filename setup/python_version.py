"""Refuses a Python that cannot run the project, in words.

This file and the scripts that import it must stay readable for very old Pythons (no f-strings, no annotations):
an old Python has to get as far as printing the sentence instead of stopping at a syntax error.
"""

import os
import sys

OLDEST = (3, 10)
NEWEST = (3, 13)


def _others():
    """The commands on the PATH that name a fitting Python, best first."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    names = ["python3.%d" % minor for minor in (11, 12, 13, 10)]
    return [name for name in names if any(os.access(os.path.join(folder, name), os.X_OK) for folder in folders)]


def problem(version, script, others):
    """The sentence for a `version` outside the supported range; an empty string for one inside it."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return ""
    sentence = "Python %d.%d runs this, but Python %d.%d to %d.%d is needed: " % (
        tuple(version[:2]) + OLDEST + NEWEST
    )
    if others:
        return sentence + "%s is on this machine, so run `%s %s`." % (others[0], others[0], script)
    return sentence + "install one of them (3.11 is a good choice) and run `python3.11 %s`." % script


def require(script):
    """Ends the program with a sentence if this Python is too old or too new to run `script`."""
    sentence = problem(sys.version_info, script, _others())
    if sentence:
        sys.exit(sentence)
