"""The rules that keep the rooms of the house apart (docs of the design, section 2), read from the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from sd_scripts.config.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
OURS = ("sd_scripts", "kohya_gui", "setup")
LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 400, 60, 7


@cache
def sources() -> tuple[Path, ...]:
    """Every Python file of ours."""
    files = [path for top in OURS for path in (ROOT / top).rglob("*.py")]
    return (*sorted(files), ROOT / "gui.py")


def name_of(path: Path) -> str:
    """The dotted module name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def modules() -> dict[str, Path]:
    return {name_of(path): path for path in sources()}


def imports(path: Path, *, at_start: bool = False) -> set[str]:
    """The modules that a file imports, full names; with `at_start` only those that importing the file imports."""
    nodes = _start_nodes(tree_of(path).body) if at_start else ast.walk(tree_of(path))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path)
            submodules = {f"{base}.{alias.name}" for alias in node.names} & modules().keys()
            found |= submodules or {base}
    return found


def _base(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, node.module] if node.module else package)


def _start_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The statements that run when a module is imported: no bodies of functions, nothing for type checkers only."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        for part in ("body", "orelse", "finalbody"):
            yield from _start_nodes(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _start_nodes(handler.body)


def inside(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


def offences(room: str, *forbidden: str, but: tuple[str, ...] = ()) -> list[str]:
    """ "file imports module" for every import of a forbidden module in a room."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        if inside(name_of(path), room)
        for name in sorted(imports(path))
        if inside(name, *forbidden) and not inside(name, *but)
    ]


def test_importing_the_app_leaves_the_heavy_libraries_out() -> None:
    if not (ROOT / "kohya_gui" / "app.py").exists():
        pytest.skip("There is no kohya_gui/app.py.")
    program = (
        "import sys, kohya_gui.app; "
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("room", "forbidden", "but"),
    [
        ("sd_scripts", ("gradio", "kohya_gui"), ()),
        ("sd_scripts.config", ("sd_scripts", "kohya_gui", "torch"), ("sd_scripts.config", "sd_scripts.errors")),
        ("sd_scripts.objective", ("sd_scripts.families",), ()),
        ("sd_scripts.adapters", ("sd_scripts.families",), ()),
        ("sd_scripts.optim", ("sd_scripts.families",), ()),
        ("sd_scripts.data", ("sd_scripts.families",), ()),
        ("sd_scripts.families", ("sd_scripts.training",), ()),
        ("kohya_gui", ("torch", "diffusers", "transformers"), ()),
        ("setup", ("sd_scripts", "torch", "gradio"), ()),
    ],
)
def test_a_room_does_not_look_into(room: str, forbidden: tuple[str, ...], but: tuple[str, ...]) -> None:
    assert offences(room, *forbidden, but=but) == []


def test_setup_needs_only_the_standard_library() -> None:
    allowed = {*sys.stdlib_module_names, "setup"}
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources()
        if inside(name_of(path), "setup")
        for name in imports(path)
        if name.partition(".")[0] not in allowed and name not in ("kohya_gui.__main__", "kohya_gui.flags")
    ]
    assert found == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: sorted(imports(path, at_start=True) & modules().keys()) for name, path in modules().items()}
    done: set[str] = set()
    circles: list[str] = []

    def walk(name: str, trail: list[str]) -> None:
        if name in trail:
            circles.append(" -> ".join([*trail[trail.index(name) :], name]))
        elif name not in done:
            for other in graph[name]:
                walk(other, [*trail, name])
            done.add(name)

    for name in graph:
        walk(name, [])
    assert circles == []


def test_no_file_is_longer_than_a_person_reads_in_one_go() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert [f"{path.relative_to(ROOT)}: {lines}" for path, lines in lengths.items() if lines > LONGEST_FILE] == []


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sources():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def test_no_function_is_longer_than_a_screen() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1}"
        for path, node in functions()
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert found == []


def test_no_function_takes_more_parameters_than_one_can_remember() -> None:
    found = []
    for path, node in functions():
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len([name for name in names if name not in ("self", "cls")])
        if count > MOST_PARAMETERS:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {count}")
    assert found == []


def test_only_its_settings_and_its_own_file_ask_which_method_it_is() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path in sources()
        if not inside(name_of(path), "sd_scripts.config", "sd_scripts.methods")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Compare) and _is_method_by_name([node.left, *node.comparators])
    ]
    assert found == []


def _is_method_by_name(sides: list[ast.expr]) -> bool:
    """`config.method == "lora"`, `method in ("dreambooth", "finetune")`, `config.method in METHODS`."""
    texts = [ast.unparse(side) for side in sides]
    by_name = any(isinstance(part, ast.Constant) and part.value in METHODS for side in sides for part in ast.walk(side))
    return any(text.endswith("method") for text in texts) and (
        by_name or any(text.endswith("METHODS") for text in texts)
    )


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    assert [str(path.relative_to(ROOT)) for path in sources() if path.stem in ("utils", "util", "helpers")] == []
