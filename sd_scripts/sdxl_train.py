"""Trains a whole Stable Diffusion XL model: `python sd_scripts/sdxl_train.py --flag ...`"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
from sd_scripts.train import main  # noqa: E402 - it is found only from the folder above

if __name__ == "__main__":
    sys.exit(main(fixed={"sdxl": True}, usual={"method": "finetune", "learning_rate": 2e-6}))
