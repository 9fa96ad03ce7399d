"""Any tool by its name: `python -m sd_scripts.tools resize_lora --flag ...`"""

import sys

from . import TOOLS, main

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TOOLS:
        print("Tools:\n" + "\n".join(f"  {tool.name:26} {tool.help}" for tool in TOOLS.values()), file=sys.stderr)
        sys.exit(2)
    sys.exit(main(TOOLS[sys.argv[1]], sys.argv[2:]))
