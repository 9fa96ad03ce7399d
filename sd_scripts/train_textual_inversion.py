"""Teaches Stable Diffusion 1.x or 2.x new words: `python sd_scripts/train_textual_inversion.py --flag ...`"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
from sd_scripts.train import main  # noqa: E402 - it is found only from the folder above

if __name__ == "__main__":
    sys.exit(main(fixed={"method": "textual_inversion"}, usual={"learning_rate": 1e-3}))
