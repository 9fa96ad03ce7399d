"""Runs pip (or uv) and puts into words what it does and why it fails."""

from __future__ import annotations

import os
import queue
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from setup.console import Console, SetupProblem

PIP_SETTINGS_UV_IGNORES = (
    "index-url", "extra-index-url", "find-links", "no-index", "proxy", "cert", "client-cert", "trusted-host",
    "constraint",
)  # fmt: skip
DOWNLOADING = re.compile(r"Downloading (\S+) \(([\d.]+ [kMG]?B)\)")
PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
CAUSES = (  # the first pattern that the installer's output holds names the cause
    (r"No space left on device|Errno 28|disk quota",
     "The disk is full: free some space (also where temporary files go, see TMPDIR) and start again."),
    (r"Read-only file system|Errno 30",
     "The folder {folder} cannot be written: move the project to a folder that can be, and start again."),
    (r"Permission denied|Errno 13",
     "Files in {folder} belong to someone else: delete that folder (as their owner) and start again."),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError",
     "The package index was reached, but its certificate is not trusted here: tell pip your company's certificate "
     "(`pip config set global.cert FILE`) or set the clock right, and start again."),
    (r"ProxyError|407 Proxy",
     "The proxy refused the connection to the package index: check HTTPS_PROXY (or `pip config list`), start again."),
    (r"NewConnectionError|Name or service not known|Temporary failure in name resolution|getaddrinfo failed|"
     r"ConnectTimeoutError|Connection refused|Network is unreachable|Failed to establish|error sending request|"
     r"dns error|Could not connect|ReadTimeoutError|Read timed out|RemoteDisconnected|ConnectionResetError",
     "No package index can be reached: connect to the internet (or point pip to an index that can be reached, "
     "`pip config set global.index-url ADDRESS`) and start again; what was fetched so far is kept."),
    (r"No module named '?pip",
     "pip is missing in {folder}: delete that folder and start again."),
    (r"(?:No matching distribution found for|no version of) ([\w.\-\[\]=+<>!~]+)",
     "The package index has no {found} for this Python and machine: check that the index is a full one "
     "(`pip config list`), or use Python 3.11, and start again."),
    (r"THESE PACKAGES DO NOT MATCH THE HASHES|hash mismatch",
     "A download arrived damaged: start again (if it stays so, run `pip cache purge` first)."),
    (r"(?:error: command '?([\w.+\-]+)|Failed building wheel for ([\w.\-]+))",
     "{found} had to be compiled and could not be: use Python 3.11, for which everything comes ready-made, "
     "and start again."),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and the last lines that it printed."""

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def cause(text: str, folder: Path) -> str:
    """The sentence for what the installer printed; an empty string when it is nothing known."""
    for pattern, sentence in CAUSES:
        found = re.search(pattern, text, re.IGNORECASE)
        if found:
            name = next((group for group in found.groups() if group), "")
            return sentence.format(folder=folder, found=name)
    return ""


def in_words(line: str, downloading: str = "") -> str:
    """What one line of pip's or uv's output means, short enough to stand behind a stage; empty if not worth it."""
    progress = PROGRESS.match(line.strip())
    if progress and int(progress[2]) > 10_000_000:
        return f"downloading {downloading}, {int(progress[1]) // 1_000_000} of {int(progress[2]) // 1_000_000} MB"
    found = DOWNLOADING.search(line)
    if found:
        return f"downloading {short_name(found[1])} ({found[2]})"
    if "Retrying (" in line:
        return "the package index does not answer, trying again"
    words = line.split()
    if line.startswith("Collecting ") and len(words) > 1:
        return f"looking for {words[1]}"
    if line.startswith("Installing collected packages:"):
        return f"unpacking {line.count(',') + 1} packages"
    return f"building {words[3]}" if line.lstrip().startswith("Building wheel for ") else ""


def short_name(wheel: str) -> str:
    """Name and version of a wheel or archive: "torch 2.13.0"."""
    parts = wheel.rsplit("/", 1)[-1].split("-")
    return " ".join(parts[:2]).removesuffix(".tar.gz")


def pip_environment() -> dict[str, str]:
    """The environment for installers: the user's own, without what would send packages to another place."""
    dropped = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "__PYVENV_LAUNCHER__"}
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {**kept, "PIP_USER": "0", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Runner:
    """Runs commands into a log file while the console tells how far they are."""

    console: Console
    log: Path
    lock: int = -1

    def run(self, command: Sequence[str]) -> Outcome:
        """Runs `command` to its end. It inherits the lock, so a start killed now does not free the folder too early."""
        inherited = (self.lock,) if self.lock >= 0 and os.name == "posix" else ()
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            encoding="utf-8", errors="replace", env=pip_environment(), pass_fds=inherited,
        )  # fmt: skip
        lines: queue.Queue[str | None] = queue.Queue()
        with process:
            threading.Thread(target=_read, args=(process, lines), daemon=True).start()
            try:
                last = self._follow(lines)
            except BaseException:
                process.terminate()
                raise
        return Outcome(process.returncode, last)

    def _follow(self, lines: queue.Queue[str | None]) -> tuple[str, ...]:
        last: deque[str] = deque(maxlen=200)
        detail, downloading = "", ""
        with self.log.open("a", encoding="utf-8") as log:
            while True:
                try:
                    line = lines.get(timeout=0.5)
                except queue.Empty:
                    self.console.moving(detail)
                    continue
                if line is None:
                    return tuple(last)
                log.write(line)
                last.append(line.rstrip())
                found = DOWNLOADING.search(line)
                downloading = short_name(found[1]) if found else downloading
                detail = in_words(line, downloading) or detail
                self.console.moving(detail)


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def install_command(python: Path, console: Console) -> list[str]:
    """The start of the install command: uv where it is on the PATH and may be used, else the environment's pip.

    uv does not read pip's settings, so where this machine has some (an index of its own, a certificate, a folder
    of wheels), pip is used.
    """
    uv = shutil.which("uv")
    pip = [str(python), "-m", "pip"]
    if uv:
        settings = pip_settings(pip)
        if not settings:
            return [uv, "pip", "install", "--python", str(python)]
        console.say(f"      uv does not read this machine's pip settings ({', '.join(settings)}), so pip is used.")
    return [*pip, "install", "--no-input", *_raw_progress(pip)]


def pip_settings(pip: Sequence[str]) -> list[str]:
    """The names of this machine's pip settings that uv would not follow."""
    done = subprocess.run(
        [*pip, "config", "list"], capture_output=True, text=True, errors="replace", env=pip_environment(), check=False
    )
    names = {line.partition("=")[0].rpartition(".")[2] for line in done.stdout.splitlines()}
    return sorted(names.intersection(PIP_SETTINGS_UV_IGNORES))


def _raw_progress(pip: Sequence[str]) -> list[str]:
    """The option that makes pip count bytes in plain lines; pips before 24.1 lack it."""
    done = subprocess.run(
        [*pip, "--version"], capture_output=True, text=True, errors="replace", env=pip_environment(), check=False
    )
    found = re.match(r"pip (\d+)\.(\d+)", done.stdout)
    if found is None:
        raise SetupProblem("pip does not start in the new environment: run this again with --reinstall.")
    return ["--progress-bar", "raw"] if (int(found[1]), int(found[2])) >= (24, 1) else []
