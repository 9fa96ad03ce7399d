"""Why an engine has ended that could not say so itself."""

from __future__ import annotations

import re

ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception|Interrupt): .+")
"""How Python ends its account of an exception that nobody caught."""

BY_SIGNAL = {
    6: "The engine was ended by a library that it uses (SIGABRT); the end of its log says more.",
    9: "The engine was killed, most often because memory ran out; try a smaller batch or resolution.",
    11: "A library that the engine uses has crashed (SIGSEGV); update the driver of the GPU or the packages.",
    15: "The engine was ended from outside (SIGTERM), as when a machine shuts down.",
}


def why(code: int | None, log: str) -> str:
    """code: what the process returned, negative where a signal ended it, None where nobody saw it end."""
    if code is None:
        return "The engine ended without saying why; the machine or the process may have been switched off."
    if code < 0:
        return BY_SIGNAL.get(-code, f"The engine was ended by signal {-code}.")
    said = last_error(log)
    return f"The engine ended on its own with code {code}{': ' + said if said else ''}; the end of its log says more."


def last_error(log: str) -> str:
    """The last exception that the log tells of, without a full stop; empty where there is none."""
    found = [line for line in log.splitlines() if ERROR.fullmatch(line)]
    return found[-1].rstrip(".")[:300] if found else ""
