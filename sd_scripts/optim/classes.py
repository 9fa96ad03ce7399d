"""Classes of other libraries by name, and the sentences for what can be wrong with a name or its arguments."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from ..config.schema import Problem, did_you_mean, nearest
from ..errors import ConfigError

PACKAGES = {
    "lion_pytorch": "lion-pytorch",
    "pytorch_optimizer": "pytorch-optimizer",
    "prodigyplus": "prodigy-plus-schedule-free",
}
"""Where the name to install differs from the name to import."""


def find(key: str, path: str) -> type[Any]:
    """The class at module.Class. Raises ConfigError for the setting `key` when the package or the class is missing."""
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = (error.name or module_name).partition(".")[0]
        raise _error(key, _not_installed(path, missing, module_name)) from error
    except ImportError as error:
        raise _error(key, f"{path} can't be imported: {error}.") from error
    found = getattr(module, name, None)
    if not inspect.isclass(found):
        raise _error(key, f"{module_name} has no class {name}{_advice(module, name)}")
    return found


def _advice(module: Any, name: str) -> str:
    """A near miss, or a newer version of a package that is not torch (whose build is chosen for the machine)."""
    near = nearest(name, [word for word in dir(module) if inspect.isclass(getattr(module, word))])
    package = module.__name__.partition(".")[0]
    if near or package == "torch":
        return f"; did you mean {near}?" if near else "."
    return f"; a newer version may have it, run: pip install --upgrade {PACKAGES.get(package, package)}"


def _not_installed(path: str, missing: str, module_name: str) -> str:
    if importlib.util.find_spec(missing):
        return f"{path} is not there: {missing} has no module {module_name}; check its spelling."
    return f"{path} needs a package that is not installed; run: pip install {PACKAGES.get(missing, missing)}"


def check_arguments(key: str, kind: type[Any], given: Mapping[str, Any], ours: Sequence[str], note: str = "") -> None:
    """Raises ConfigError for names that `kind` does not take, that we set ourselves, or that it needs and lacks."""
    signature = inspect.signature(kind)
    takes = [name for name, p in signature.parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    free = [name for name in takes if name not in ours]
    for name in given:
        if name in ours:
            raise _error(key, f"{name} is not given here; it comes from the other settings.")
        if name not in takes and not takes_any:
            hint = did_you_mean(name, free)
            raise _error(key, f"{kind.__name__} has no argument {name}; it has {', '.join(free)}.{hint}")
    lacking = [
        name for name in free if signature.parameters[name].default is inspect.Parameter.empty and name not in given
    ]
    if lacking:
        raise _error(key, f"{kind.__name__} needs {' and '.join(lacking)}; add {lacking[0]}=... here.{note}")


def make(key: str, kind: type[Any], *positional: Any, **arguments: Any) -> Any:
    """`kind(...)`. Raises ConfigError with what it says about values it does not accept."""
    try:
        return kind(*positional, **arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError, NotImplementedError) as error:
        raise _error(key, f"{kind.__name__} refuses these arguments: {str(error).strip().rstrip('.')}.") from error


def _error(key: str, message: str) -> ConfigError:
    return ConfigError([Problem(key, message)])
