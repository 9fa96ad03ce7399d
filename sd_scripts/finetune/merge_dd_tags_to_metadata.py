"""Gathers tags in a metadata file: `python sd_scripts/finetune/merge_dd_tags_to_metadata.py --flag ...`"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
from sd_scripts.tools import TOOLS, main  # noqa: E402 - it is found only from the folder above

if __name__ == "__main__":
    sys.exit(main(TOOLS["merge_dd_tags_to_metadata"]))
