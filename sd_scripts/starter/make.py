"""Makes the starter model: `python -m sd_scripts.starter.make`. Stop it at any time; the same command goes on."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import networks, train

VOCABULARY = Path(__file__).parent / "model" / "tokenizer"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("starter_work"), help="folder for what lies between the stages")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--vae_steps", type=int, default=4500)
    parser.add_argument("--vae_batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8000, help="steps of UNet and text encoder")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--stage", choices=("all", "vae", "denoiser"), default="all")
    return parser.parse_args()


def main() -> None:
    asked = _arguments()
    asked.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    vae = networks.new_vae()
    train.train_vae(vae, asked.work, train.Fit(asked.vae_steps, rate=3e-3), asked.vae_batch, asked.device)


if __name__ == "__main__":
    main()
