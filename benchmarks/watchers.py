"""What it costs to watch: twenty browsers on one run, and the answers about a run of 100,000 steps.

    python benchmarks/watchers.py [--browsers 20] [--seconds 10] [--pairs 30]

The engine is one that only counts its steps and does a little arithmetic in each, so whatever the watching takes from
it is seen at once. The browsers do what live.js does: a state every second, the list every four.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from kohya_gui.runs.store import RunStore  # noqa: E402
from sd_scripts.events import RunFolder  # noqa: E402

ENGINE = """
import json, sys, time
sys.path.insert(0, {root!r})
from sd_scripts.config import toml
from sd_scripts.events import Events, Heartbeat, RunFolder
from pathlib import Path
run = RunFolder(toml.read_flat(Path(sys.argv[2]))["run_dir"]).create()
events, step = Events(run), 0
import os
events.write("start", pid=os.getpid(), attempt=1, resumed_step=0)
events.write("plan", total_steps=10_000_000, epochs=10, batches_per_epoch=1_000_000, sum="")
events.state("training")
with Heartbeat(run, lambda: step):
    while True:
        step += 1
        sum(number * number for number in range(400_000))
        events.write("step", step=step, epoch=1, loss=0.1 + 1 / step, average_loss=0.1, lr={{"unet": 1e-4}})
"""
APP = """
import sys
sys.path.insert(0, {root!r})
from kohya_gui.__main__ import main
sys.exit(main(sys.argv[1:], engine=(sys.executable, {engine!r})))
"""


def get(address: str) -> tuple[Any, int]:
    with urllib.request.urlopen(address, timeout=30) as answer:
        body = answer.read()
    return json.loads(body), len(body)


class Watcher(threading.Thread):
    """Asks as a page does, and takes note of how much came and how long it took."""

    def __init__(self, base: str, run: str, over: threading.Event, delay: float) -> None:
        super().__init__(daemon=True)
        self.base, self.run_id, self.over, self.delay = base, run, over, delay
        self.bytes, self.times = 0, []  # type: tuple[int, list[float]]

    def run(self) -> None:
        self.over.wait(self.delay)
        known = {"generation": -1, "points": 0, "validation": 0, "samples": -1, "log": -1}
        turn = 0
        while not self.over.is_set():
            began = time.perf_counter()
            if turn % 4 == 0:
                self.bytes += get(f"{self.base}live/runs")[1]
            query = "&".join(f"{key}={value}" for key, value in known.items())
            state, size = get(f"{self.base}live/runs/{self.run_id}/state?{query}")
            curve = state["curve"]
            known |= {"generation": curve["generation"], "points": curve["from"] + len(curve["points"])}
            known["samples"] = len(state["samples"]) if "samples" in state else known["samples"]
            known["log"] = state["log"]["size"] if "log" in state else known["log"]
            self.bytes += size
            self.times.append(time.perf_counter() - began)
            turn += 1
            self.over.wait(max(0.0, 1 - (time.perf_counter() - began)))


def measure(app: psutil.Process, store: RunStore, run: str, seconds: float) -> tuple[float, float]:
    """Steps a second, and the app's share of a core."""
    first, cpu, began = store.reader(run).step, sum(app.cpu_times()[:2]), time.perf_counter()
    time.sleep(seconds)
    taken = time.perf_counter() - began
    return (store.reader(run).step - first) / taken, (sum(app.cpu_times()[:2]) - cpu) / taken


def watched(base: str, run: str, browsers: int, app: psutil.Process, store: RunStore, seconds: float) -> dict[str, Any]:
    over = threading.Event()
    watchers = [Watcher(base, run, over, number / max(1, browsers)) for number in range(browsers)]
    for watcher in watchers:
        watcher.start()
    time.sleep(3)  # what comes first comes once
    rate, share = measure(app, store, run, seconds)
    over.set()
    times = [taken for watcher in watchers for taken in watcher.times[1:]]
    return {"steps/s": rate, "core": share, "ms": statistics.median(times) * 1000 if times else 0.0}


def compared(measured: Callable[[int], dict[str, float]], browsers: int, pairs: int) -> None:
    """Stretches with and without watchers take turns, because other things go on on the machine as well; what they
    cost is the mean of the pairs' ratios, give or take its standard error."""
    ratios, found = [], {0: [], browsers: []}  # type: tuple[list[float], dict[int, list[dict[str, float]]]]
    for pair in range(pairs):
        for watching in (0, browsers) if pair % 2 else (browsers, 0):
            found[watching].append(measured(watching))
        ratios.append(found[browsers][-1]["steps/s"] / found[0][-1]["steps/s"])
    for watching, stretches in found.items():
        figures = {name: statistics.median(one[name] for one in stretches) for name in stretches[0]}
        print(f"{watching} browsers: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    error = statistics.stdev(ratios) / math.sqrt(pairs)
    print(f"steps/s with {browsers} browsers / without: {statistics.mean(ratios):.4f} +- {error:.4f} ({pairs} pairs)")


def long_run(folder: Path, steps: int) -> None:
    """The answers about a long run: the first, which reads everything, the whole one, and that of a second later."""
    store = RunStore(folder)
    run = RunFolder(folder / "long").create()
    run.config.touch()
    with run.events.open("w") as file:
        for step in range(1, steps + 1):
            event = {"time": 1e9 + step / 10, "kind": "step", "step": step, "epoch": 1, "loss": 0.1 + 1 / step}
            event |= {"average_loss": 0.1, "lr": {"unet": 1e-4, "text_encoder": 5e-5}}
            file.write(json.dumps(event) + "\n")
    from kohya_gui.live import Answer, Known, changes

    known = Known()
    for name in ("first, reads all events", "whole curve", "a second later"):
        began = time.perf_counter()
        answer = changes(store, "long", known)
        body = Answer(answer).body
        print(f"{steps:,} steps, {name}: {(time.perf_counter() - began) * 1000:.1f} ms, {len(body) / 1000:.1f} kB")
        if name == "whole curve":
            curve = answer["curve"]
            known = Known(
                curve["generation"], len(curve["points"]), len(answer.get("samples", [])), answer["log"]["size"]
            )


def many_runs(folder: Path, count: int) -> None:
    from kohya_gui.runs.listing import Listing
    from kohya_gui.runs.supervisor import Supervisor

    for number in range(count):
        run = RunFolder(folder / f"run-{number:04d}").create()
        run.config.touch()
        run.events.write_text(json.dumps({"time": 1e9, "kind": "state", "state": "done", "message": ""}) + "\n")
    for name in ("first, without an index", "with its index"):
        listing = Listing(Supervisor(RunStore(folder)))
        began = time.perf_counter()
        found = listing.since("", -1)
        size = len(json.dumps(found))
        print(f"{count} runs, list, {name}: {(time.perf_counter() - began) * 1000:.0f} ms, {size / 1000:.0f} kB")
    began = time.perf_counter()
    listing.stale()
    size = len(json.dumps(listing.since(found["token"], found["serial"])))
    print(f"{count} runs, list again, nothing changed: {(time.perf_counter() - began) * 1000:.0f} ms, {size} bytes")


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    engine, program = folder / "engine.py", folder / "app.py"
    engine.write_text(ENGINE.format(root=str(ROOT)))
    program.write_text(APP.format(root=str(ROOT), engine=str(engine)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(program), "--server_port", str(port), "--runs", str(folder / "runs")]
    app = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}/"
    for _ in range(600):
        try:
            get(f"{base}live/runs")
            return app, base
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the app did not answer")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--browsers", type=int, default=20)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--pairs", type=int, default=30)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        long_run(folder / "a", 100_000)
        many_runs(folder / "b", 500)
        app, base = serve(folder)
        store = RunStore(folder / "runs")
        run = store.create("watched", {}, status="queued")
        while store.reader(run).step < 5:
            time.sleep(0.2)
        try:
            process = psutil.Process(app.pid)
            compared(
                lambda browsers: watched(base, run, browsers, process, store, given.seconds),
                given.browsers,
                given.pairs,
            )
        finally:
            engine = store.process(run)[0]
            if engine:
                os.kill(engine.pid, signal.SIGKILL)
            app.terminate()
            app.wait()


if __name__ == "__main__":
    main()
