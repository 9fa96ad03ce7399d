"""Serves the app as gui.py does, but with the fake engine."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kohya_gui.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], engine=(sys.executable, str(ROOT / "tests" / "kohya_gui" / "fake_engine.py"))))
