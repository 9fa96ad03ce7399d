"""What holds for every tool: its settings, its command, its page."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from sd_scripts.tools import TOOLS, Tool

from .conftest import MakeLora

ROOT = Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)


@EVERY
def test_every_setting_has_help_and_is_read(tool: Tool) -> None:
    module, _, name = tool.function.partition(":")
    assert callable(getattr(import_module(module), name))
    read = set()
    for file in (ROOT / "sd_scripts" / "tools").glob("*.py"):
        if not file.name.endswith("settings.py"):
            nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            read |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    for parameter in tool.parameters.values():
        assert len(parameter.help) > 15 and parameter.help.rstrip().endswith((".", ")")), parameter.key
        assert parameter.key in read, f"{parameter.key} is a dead control"


@EVERY
def test_its_command_has_a_file_of_its_name(tool: Tool) -> None:
    file = ROOT / "sd_scripts" / tool.folder / f"{tool.name}.py"
    code = file.read_text(encoding="utf-8")
    assert f'TOOLS["{tool.name}"]' in code
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_a_command_ends_with_0_or_with_2_and_a_sentence(make_lora: MakeLora) -> None:
    script = [sys.executable, str(ROOT / "sd_scripts" / "networks" / "check_lora_weights.py")]
    good = subprocess.run([*script, "-s", str(make_lora("a"))], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout.splitlines()[-1]) == (
        0, "5 modules, 0 without effect, 0 tensors with numbers that are not finite."
    )  # fmt: skip
    bad = subprocess.run([*script, "nowhere.safetensors"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stderr) == (
        2,
        "Error: file: There is no file nowhere.safetensors; check its spelling.\n",
    )


def test_the_page_of_every_tool_is_made_without_torch() -> None:
    code = (
        "import sys, gradio as gr\nfrom kohya_gui import tool_page\nfrom sd_scripts.tools import TOOLS\n"
        "with gr.Blocks() as page:\n    tool_page.build_all(TOOLS)\nassert 'torch' not in sys.modules\n"
        "assert tool_page.OTHERS not in tool_page.grouped(TOOLS), 'a tool has no place on the page'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_page_runs_the_tool_and_shows_what_it_says(
    make_lora: MakeLora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kohya_gui import access
    from kohya_gui.tool_page import ToolPage

    monkeypatch.setattr(access, "_rules", access.Rules.at_home([tmp_path]))
    page = ToolPage(TOOLS["resize_lora"])
    out = tmp_path / "out with blanks.safetensors"
    shown = {
        "model": str(make_lora("a")),
        "save_to": str(out),
        "new_rank": "2",
        "dynamic_method": "not set",
        "verbose": True,
    }
    values = [shown.get(p.key, "" if p.kind != "bool" else False) for p in page.parameters]
    said = list(page.run(*values))
    assert said[0][0] == "Working …"
    assert said[-1][0].endswith("Done.") and f"Saved {out}: 5 modules of rank 2 to 2" in said[-1][0]


def test_the_page_shows_every_problem_at_once() -> None:
    from kohya_gui.tool_page import ToolPage

    page = ToolPage(TOOLS["merge_lora"])
    values = [False if p.kind == "bool" else "" for p in page.parameters]
    ((text, _),) = page.run(*values)
    assert text == (
        "Error: models: It is empty; name one LoRA file or more.\n"
        "Error: save_to: It is empty; name the file to write, ending in .safetensors."
    )


def test_the_docs_page_is_the_tools() -> None:
    from sd_scripts.tools import docs

    assert docs.PAGE.read_text(encoding="utf-8") == docs.page(), "run python -m sd_scripts.tools.docs"
