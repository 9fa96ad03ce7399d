"""What holds for every parameter there is."""

import ast
import json
from pathlib import Path

import pytest

from sd_scripts.adapters import modelspec
from sd_scripts.config import cli, docs, load, toml
from sd_scripts.config.schema import Parameter
from sd_scripts.config.train_config import all_parameters

ROOT = Path(__file__).parents[2]
ODD = {"resolution": "128,64", "face_crop_aug_range": "2.0,4.0"}  # texts with a form of their own
EVERY = pytest.mark.parametrize("parameter", all_parameters().values(), ids=lambda parameter: parameter.key)


def another(parameter: Parameter) -> object:
    """A valid value that is not the default."""
    if parameter.key in ODD:
        return ODD[parameter.key]
    low, high = (
        parameter.limits.get("ge", parameter.limits.get("gt", 0)),
        parameter.limits.get("le", parameter.limits.get("lt", 1e9)),
    )
    if parameter.kind == "bool":
        return not parameter.default
    if parameter.kind == "choice":
        return next(choice for choice in parameter.choices if choice != parameter.default)
    if parameter.kind in ("int", "float", "mixed"):
        numbers = [n for n in (low + 1, low + 2, low + 0.25, low + 0.5) if n < high or n == parameter.limits.get("le")]
        whole = [int(n) for n in numbers if n == int(n)] if parameter.kind != "float" else numbers
        return next(n for n in whole if n != parameter.default)
    if parameter.kind == "list":
        return ["a=1"] if "str" in str(parameter.annotation) else [1 if "int" in str(parameter.annotation) else 0.5]
    return f"other {parameter.key}"


def alone(key: str, value: object) -> object:
    """The value after a check of its own group only (relations may want others beside it)."""
    parameter = all_parameters()[key]
    return getattr(parameter.group.model_validate({key: value}), key)


@EVERY
def test_it_has_help_in_a_sentence(parameter: Parameter) -> None:
    assert len(parameter.help) > 20, f"{parameter.key} has no help under it"
    assert parameter.help.rstrip().endswith((".", ")", "?", "!")), (
        f"the help of {parameter.key} should end like a sentence"
    )


@EVERY
def test_its_default_is_within_its_own_limits(parameter: Parameter) -> None:
    if not parameter.required:
        assert alone(parameter.key, parameter.default) == parameter.default


@EVERY
def test_it_survives_json(parameter: Parameter) -> None:
    if parameter.kind == "secret":
        return
    value = alone(parameter.key, another(parameter))
    assert alone(parameter.key, json.loads(json.dumps(load.plain(value)))) == value


@EVERY
def test_it_survives_toml(parameter: Parameter, tmp_path: Path) -> None:
    if parameter.kind == "secret":
        return
    value = alone(parameter.key, another(parameter))
    file = tmp_path / "settings.toml"
    file.write_text(toml.write_flat({parameter.key: value}), encoding="utf-8")
    assert alone(parameter.key, toml.read_flat(file)[parameter.key]) == value


@EVERY
def test_it_is_a_flag(parameter: Parameter) -> None:
    value = another(parameter)
    words = [str(word) for word in value] if isinstance(value, list) else [str(value)]
    flags = cli.read([f"--{parameter.key}", *words])
    assert alone(parameter.key, load.present(parameter, flags[parameter.key])) == alone(parameter.key, value)


@EVERY
def test_a_secret_never_leaves(parameter: Parameter) -> None:
    if parameter.kind == "secret":
        config = load.from_flat({parameter.key: "hush"}).unwrap()
        assert "hush" not in json.dumps(load.to_flat(config, all=True)) + repr(config)


def checks(function: ast.AST) -> bool:
    """Whether a function of config/ only judges values: that is no use of them."""
    return any(isinstance(node, ast.Name) and node.id in ("Problem", "Notice") for node in ast.walk(function))


def names_in(tree: ast.AST) -> set[str]:
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return attributes | {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.fixture(scope="session")
def names_read() -> set[str]:
    """Every attribute and text constant of the engine's code, and what properties in config/ derive from."""
    found = {f"metadata_{name}" for name in modelspec.TAKEN_OVER}
    for file in (ROOT / "sd_scripts").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if file.parent.name != "config":
            found |= names_in(tree)
            continue
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and not checks(node)]
        found |= {node.attr for function in functions for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return found


@EVERY
def test_something_outside_config_reads_it(parameter: Parameter, names_read: set[str]) -> None:
    assert parameter.key in names_read, f"{parameter.key} is a dead control"


def test_the_docs_page_is_the_schemas() -> None:
    assert docs.PAGE.read_text(encoding="utf-8") == docs.page(), "run python -m sd_scripts.config.docs"
