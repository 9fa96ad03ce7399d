"""What every kind of network learns of the demo, how large its file is and how fast it trains.

    python benchmarks/network_kinds.py [--steps 150] [--only locon loha]

Each kind is trained on the demo pictures with the demo's settings and a learning rate of its own, but without
regularization pictures, and merged into the starter model. The measure is that of demo_learning.py: the distance of
samples of the new caption to the demo pictures, and how far other captions moved.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from demo_learning import NEW, OTHERS, ROOT, STARTER, latents, moved, nearest, sample
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(ROOT))

from sd_scripts import adapters  # noqa: E402
from sd_scripts.config import load, toml  # noqa: E402
from sd_scripts.families import load_family  # noqa: E402

LYCORIS = {"network_module": "lycoris.kohya"}
RANK = {"network_dim": 8, "network_alpha": 8}
OFT = {"network_dim": 4, "network_alpha": 1, "network_module": "networks.oft"}
KINDS: dict[str, dict[str, Any]] = {
    "lora": RANK,
    "locon (conv_dim 8)": {**RANK, "conv_dim": 8, "conv_alpha": 8},
    "lora_fa": {**RANK, "network_module": "networks.lora_fa"},
    "dylora": {**RANK, "network_module": "networks.dylora", "unit": 4},
    "oft": OFT,
    "oft, all layers": {**OFT, "enable_all_linear": True, "enable_conv": True},
    "lycoris locon": {**LYCORIS, **RANK},
    "dora": {**LYCORIS, **RANK, "dora_wd": True},
    "loha": {**LYCORIS, **RANK, "algo": "loha"},
    "lokr": {**LYCORIS, **RANK, "algo": "lokr", "factor": 4},
    "lycoris dylora": {**LYCORIS, **RANK, "algo": "dylora"},
    "glora": {**LYCORIS, **RANK, "algo": "glora"},
    "ia3": {**LYCORIS, "algo": "ia3", "preset": "ia3"},
    "ia3, all layers": {**LYCORIS, "algo": "ia3"},
    "diag-oft": {**LYCORIS, "network_dim": 4, "algo": "diag-oft"},
    "boft": {**LYCORIS, "network_dim": 8, "algo": "boft", "preset": "attn-mlp"},
    "full": {**LYCORIS, "algo": "full"},
    "full, norms": {**LYCORIS, "algo": "full", "train_norm": True},
}
RATES = {
    "lora": 2e-3, "lora_fa": 1e-2, "dylora": 5e-3, "oft": 1e-2, "oft, all layers": 7e-4, "lokr": 3e-3,
    "lycoris dylora": 3e-3, "ia3": 2e-1, "ia3, all layers": 5e-2, "diag-oft": 5e-3, "boft": 2e-3, "full": 1e-4,
    "full, norms": 1e-4,
}  # fmt: skip
"""Of the U-Net; that of the text encoder is half of it. Kinds that are not here have the demo's."""
DEMOS = 1e-3


def settings(kind: str, steps: int, folder: Path) -> dict[str, object]:
    """The demo's settings without samples, with the kind's own."""
    demo = json.loads((ROOT / "presets" / "lora" / "demo.json").read_text(encoding="utf-8"))["settings"]
    demo = {key: value for key, value in demo.items() if key in load.parameters() and not key.startswith("sample_")}
    for key in ("network_dim", "network_alpha", "logging_dir", "reg_data_dir"):
        demo.pop(key, None)
    rate = RATES.get(kind, DEMOS)
    rates = {"learning_rate": rate, "unet_lr": rate, "text_encoder_lr": [rate / 2]}
    return {
        **demo, **rates, **KINDS[kind], "max_train_steps": steps, "output_dir": str(folder), "output_name": "network",
        "save_precision": "fp16", "run_dir": str(folder / "run"),
    }  # fmt: skip


def trained(kind: str, steps: int, folder: Path) -> tuple[Path, float]:
    """The kind's file, and the seconds of its training's steps."""
    config = folder / "config.toml"
    config.write_text(toml.write_flat(settings(kind, steps, folder)), encoding="utf-8")
    command = [sys.executable, "-m", "sd_scripts.train", "--config_file", str(config)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    lines = (folder / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    times = [event["time"] for event in map(json.loads, lines) if event["kind"] == "step"]
    return folder / "network.safetensors", (len(times) - 1) / max(times[-1] - times[0], 1e-9)


def merged(file: Path, scheduler: Any) -> Any:
    """A pipeline on the starter model with the network merged into it."""
    config = load.from_flat({"pretrained_model_name_or_path": str(STARTER / "model")}).unwrap()
    family = load_family(config.model, config.precision)
    missing = adapters.merge(load_file(file), family.adapter_targets(True, more=True), 1.0)
    if missing:
        raise ValueError(f"{file} has modules that the starter model lacks, such as {missing[0]}")
    pipe = family.pipeline(scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--only", nargs="*", choices=list(KINDS), default=list(KINDS))
    asked = parser.parse_args()
    pipe = StableDiffusionPipeline.from_pretrained(STARTER / "model", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    demo = latents(pipe, [Image.open(file) for file in sorted((STARTER / "demo").rglob("*.png"))])
    plain = [latents(pipe, sample(pipe, prompts)) for prompts in (NEW, OTHERS)]
    print(f"{asked.steps} steps. Distance to the demo without a network: {nearest(plain[0], demo):.3f}\n")
    print("| Kind | Rate | Parameters | File, KB | Steps/s | New caption to demo | Other captions moved |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind in asked.only:
        with tempfile.TemporaryDirectory() as name:
            file, speed = trained(kind, asked.steps, Path(name))
            count = sum(tensor.numel() for tensor in load_file(file).values() if tensor.ndim)
            size = file.stat().st_size / 1000
            other = merged(file, pipe.scheduler)
        new, others = (latents(pipe, sample(other, prompts)) for prompts in (NEW, OTHERS))
        figures = f"{count:,} | {size:,.0f} | {speed:.2f} | {nearest(new, demo):.3f} | {moved(plain[1], others):.3f}"
        print(f"| {kind} | {RATES.get(kind, DEMOS):g} | {figures} |", flush=True)


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"\n{time.monotonic() - started:.0f} s")
