"""How long a folder of 100,000 images takes to be planned, the first time and the next, and how much memory.

    python benchmarks/plan_100k.py [--images 100000] [--captions]

The images are made first: each begins and ends as a true PNG does and is half a megabyte long, but takes almost no
room on the disk. Each time is that of a new process, as with a real start.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LENGTH = 500_000
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
LIMITS = {"first": (15.0, 1.5), "next": (2.0, 1.5)}  # seconds, GB

MEASURED = """
import json, resource, sys, time
start = time.perf_counter()
from sd_scripts import plan
from sd_scripts.config import load
settings = {"train_data_dir": sys.argv[1], "resolution": "512", "train_batch_size": 4, "max_train_epochs": 1, "seed": 1}
made = plan.make(load.from_flat(settings).unwrap())
seconds, busy = time.perf_counter() - start, time.process_time()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024**-1) / 1024**3
wrong = [str(problem) for problem in made.problems if problem.stops]
print(json.dumps({"seconds": seconds, "busy": busy, "gigabytes": memory, "sum": made.sum_text, "wrong": wrong}))
"""


def png_header(width: int, height: int) -> bytes:
    """Everything up to the pixels, which reach to the end."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = struct.pack(">I", LENGTH - 33 - 12 - len(PNG_END)) + b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + pixels


def make_images(folder: Path, count: int, with_captions: bool) -> None:
    folder.mkdir(parents=True)
    rng = random.Random(1)
    for number in range(count):
        file = folder / f"image_{number:06d}.png"
        with file.open("wb") as opened:
            opened.write(png_header(rng.randrange(256, 4000), rng.randrange(256, 4000)))
            opened.seek(LENGTH - len(PNG_END))
            opened.write(PNG_END)
        if with_captions:
            text = ", ".join(rng.choice(("cat", "dog", "grass", "tree", "sky")) for _ in range(12))
            file.with_suffix(".txt").write_text(text, encoding="utf-8")


def measure(parent: Path, cache: Path) -> dict[str, object]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(parent)],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=int, default=100_000)
    words.add_argument("--captions", action="store_true", help="a caption file beside each image")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        parent, cache = Path(place) / "images", Path(place) / "cache"
        make_images(parent / "1_thing", given.images, given.captions)
        print(
            f"| {given.images:,} images | seconds | of them computing | GB of memory | limits |\n|---|---|---|---|---|"
        )
        good = True
        for name, (seconds, gigabytes) in LIMITS.items():
            found = measure(parent, cache)
            good = good and not found["wrong"] and found["seconds"] <= seconds and found["gigabytes"] <= gigabytes
            figures = f"{found['seconds']:.1f} | {found['busy']:.1f} | {found['gigabytes']:.2f}"
            print(f"| {name} | {figures} | {seconds:g} s, {gigabytes:g} GB |")
        print(f"\n{found['sum']}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
