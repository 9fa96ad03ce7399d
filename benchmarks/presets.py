"""Trains with every preset that comes with the program, on the starter model with the preset's sizes scaled to it.

    python benchmarks/presets.py [--steps 10] [--only lora/SD1_style finetune/demo]

All that a preset decides about learning stays as it is: method, network, optimizer, rates, schedule, loss, captions.
Only the model, the folders, the pictures' sizes and the number of steps are the bench's own. The starter model is of
SD 1.x's structure, so what a preset says of SD 2.x's or SDXL's structure is left out; tests/training trains those on
tiny models of their own structure. Prints a table in Markdown; ends with 1 where a preset did not train.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sd_scripts.events import RunFolder  # noqa: E402
from sd_scripts.train import main as train  # noqa: E402

OF_THE_MODEL = {"pretrained_model_name_or_path", "sdxl", "v2", "no_half_vae"}
OF_THE_SIZES = {"resolution", "max_bucket_reso", "min_bucket_reso", "bucket_reso_steps", "enable_bucket"}
OF_THE_LENGTH = {"max_train_epochs", "max_train_steps", "save_every_n_epochs", "save_every_n_steps"}
OF_THE_MACHINE = {"max_data_loader_n_workers", "persistent_data_loader_workers"}
OF_THE_FOLDERS = {"train_data_dir", "reg_data_dir", "output_dir", "output_name", "logging_dir"}
OF_SAMPLES = {"sample_prompts", "sample_every_n_steps", "sample_every_n_epochs", "sample_at_first"}
SCALED = OF_THE_MODEL | OF_THE_SIZES | OF_THE_LENGTH | OF_THE_MACHINE | OF_THE_FOLDERS | OF_SAMPLES
STARTER = {
    "pretrained_model_name_or_path": str(ROOT / "sd_scripts" / "starter" / "model"), "resolution": "64",
    "min_bucket_reso": 32, "bucket_reso_steps": 8, "max_data_loader_n_workers": 0,
}  # fmt: skip


def scaled(preset: dict[str, Any], steps: int) -> dict[str, Any]:
    kept = {key: value for key, value in preset.items() if key not in SCALED}
    if "text_encoder_lr" in kept:
        kept["text_encoder_lr"] = kept["text_encoder_lr"][:1]
    if kept.get("mixed_precision") == "fp16":
        kept["mixed_precision"] = "bf16"  # no processor computes in fp16
    return {**kept, **STARTER, "max_train_steps": steps}


def flags(settings: dict[str, Any]) -> list[str]:
    words = []
    for key, value in settings.items():
        many = value if isinstance(value, list) else [value]
        words += [f"--{key}", *map(str, many)]
    return words


def run(file: Path, steps: int, folder: Path) -> str | None:
    """The preset's row of the table; None where it did not train."""
    settings = scaled(json.loads(file.read_text(encoding="utf-8"))["settings"], steps)
    shutil.copytree(ROOT / "sd_scripts" / "starter" / "demo", folder / "images")  # caches are written beside pictures
    settings |= {"train_data_dir": folder / "images", "output_dir": folder, "output_name": "trained"}
    AcceleratorState._reset_state(reset_partial_state=True)  # as in a new process
    began = time.perf_counter()
    code = train(flags({**settings, "run_dir": folder / "run"}))
    seconds = time.perf_counter() - began
    events = RunFolder(folder / "run").read()[0]
    losses = [event["loss"] for event in events if event["kind"] == "step"]
    (saved,) = folder.glob("trained*") if code == 0 else (None,)
    if saved is None or len(losses) != steps:
        print(f"{file} did not train", file=sys.stderr)
        return None
    size = sum(part.stat().st_size for part in ([saved] if saved.is_file() else saved.rglob("*.*"))) / 1024
    name = f"{file.parent.name}/{file.stem}"
    return f"| {name} | {len(losses)} | {sum(losses) / len(losses):.3f} | {size:,.0f} | {seconds:.1f} |"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", nargs="*", metavar="METHOD/NAME")
    asked = parser.parse_args()
    files = sorted(path for path in (ROOT / "presets").glob("*/*.json") if path.parent.name != "user")
    wanted = [file for file in files if not asked.only or f"{file.parent.name}/{file.stem}" in asked.only]
    rows = []
    for file in wanted:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run(file, asked.steps, Path(folder)))
    print("\n| Preset | Steps | Mean loss | File, KB | Seconds |\n| --- | ---: | ---: | ---: | ---: |")
    print("\n".join(row for row in rows if row))
    return int(None in rows)


if __name__ == "__main__":
    sys.exit(main())
