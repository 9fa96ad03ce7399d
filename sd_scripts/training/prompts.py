"""Sample prompts: lines with options behind them, and the .txt, .toml and .json files that hold them. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import tomlkit
from tomlkit.exceptions import TOMLKitError

from ..config.sampling import Sampler
from ..errors import UserError

ENDINGS = (".txt", ".toml", ".json")
STEPS, SCALE = 30, 7.5
MOST_STEPS, SMALLEST_SIDE = 1000, 64
SAMPLERS: tuple[str, ...] = get_args(Sampler)


class BadPrompts(UserError):
    """Sample prompts that can't be read."""


@dataclass(frozen=True)
class Prompt:
    """One picture to draw. None: what the data set or the settings say. `ignored` names options without a meaning
    here."""

    text: str
    negative: str = ""
    width: int | None = None
    height: int | None = None
    steps: int = STEPS
    scale: float = SCALE
    seed: int | None = None
    sampler: str | None = None
    ignored: tuple[str, ...] = ()


def _side(value: Any) -> int:
    """Floored to a multiple of 8, as latents need it."""
    return max(SMALLEST_SIDE, int(value) // 8 * 8)


def _steps(value: Any) -> int:
    return min(MOST_STEPS, max(1, int(value)))


def _sampler(value: Any) -> str:
    if value not in SAMPLERS:
        raise ValueError(f"there is no sampler {value}; choose one of {', '.join(SAMPLERS)}")
    return str(value)


OPTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "n": ("negative", str),
    "w": ("width", _side),
    "h": ("height", _side),
    "d": ("seed", int),
    "s": ("steps", _steps),
    "l": ("scale", float),
    "ss": ("sampler", _sampler),
}
FILE_KEYS = {
    "negative_prompt": "n", "width": "w", "height": "h", "seed": "d", "sample_steps": "s", "scale": "l",
    "sample_sampler": "ss",
}  # fmt: skip
WITHOUT_EFFECT = {
    "g": "guidance of distilled models", "cn": "a control image", "ctr": "a control ratio",
    "rcfg": "renormalized guidance", "fs": "a flow shift", "c": "a prompt for CLIP guidance",
    "sm": "a sampler's own extras", "am": "the strength of networks added to the model",
}  # fmt: skip
FILE_KEYS_WITHOUT_EFFECT = {
    "guidance_scale": "g", "controlnet_image": "cn", "controlnet_ratio": "ctr", "renorm_cfg": "rcfg",
    "flow_shift": "fs",
}  # fmt: skip


GLUED = re.compile(rf"\s--(?:{'|'.join([*OPTIONS, *WITHOUT_EFFECT])})[=\d]\S*", re.IGNORECASE)


def parse_line(line: str) -> Prompt:
    """`a cat --n dog --w 512 --d 1`. Raises BadPrompts, which names the option."""
    if glued := GLUED.search(line):
        option = glued.group().strip()
        raise BadPrompts(f"sample_prompts: {option} needs a blank before its value (in {line.strip()!r}).")
    text, *options = re.split(r"\s--(?=[A-Za-z]+\s)", " " + line.strip() + " ")
    prompt, ignored = Prompt(text.strip()), []
    for option in options:
        name, value = option.strip().partition(" ")[::2]
        name = name.lower()
        if name in WITHOUT_EFFECT:
            ignored.append(f"--{name}")
        elif name in OPTIONS:
            prompt = _with(prompt, name, value.strip(), f"--{name}")
        else:
            raise BadPrompts(f"sample_prompts: There is no option --{name} (in {line.strip()!r}); leave it out.")
    return replace(prompt, ignored=tuple(ignored))


def _with(prompt: Prompt, name: str, value: object, shown: str) -> Prompt:
    attribute, convert = OPTIONS[name]
    try:
        return replace(prompt, **{attribute: convert(value)})
    except (ValueError, TypeError) as error:
        reason = str(error) if name == "ss" else f"{value!r} is no number"
        raise BadPrompts(f"sample_prompts: {shown} of {prompt.text!r} is wrong: {reason}.") from error


def is_file(prompts: str) -> bool:
    """Whether a setting names a file rather than holding prompts."""
    line = prompts.strip()
    return "\n" not in line and line.lower().endswith(ENDINGS)


def read(prompts: str) -> list[Prompt]:
    """The prompts of a file, or of the text itself. Raises BadPrompts."""
    if not is_file(prompts):
        return parse_lines(prompts.splitlines())
    file = Path(prompts.strip())
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".txt":
            found = parse_lines(text.splitlines())
        elif file.suffix.lower() == ".toml":
            found = _from_toml(tomlkit.parse(text).unwrap())
        else:
            found = _from_list(json.loads(text))
    except FileNotFoundError as error:
        raise BadPrompts(f"sample_prompts: The file {file} does not exist; check its name.") from error
    except (OSError, ValueError, TOMLKitError) as error:
        raise BadPrompts(f"sample_prompts: The file {file} can't be read: {error}.") from error
    if not found:
        raise BadPrompts(f"sample_prompts: The file {file} holds no prompt; write one a line.")
    return found


def parse_lines(lines: Iterable[str]) -> list[Prompt]:
    """Empty lines and lines that start with # are no prompts."""
    return [parse_line(line) for line in lines if line.strip() and not line.strip().startswith("#")]


def _from_toml(document: Mapping[str, Any]) -> list[Prompt]:
    """[prompt] holds what is common to all, [[prompt.subset]] each one's own."""
    common = dict(document.get("prompt", {}))
    subsets = common.pop("subset", None)
    if subsets is None:
        return [_from_keys(common)] if common else []
    return [_from_keys({**common, **subset}) for subset in subsets]


def _from_list(entries: object) -> list[Prompt]:
    if not isinstance(entries, list):
        raise BadPrompts("sample_prompts: A JSON file of prompts must hold a list.")
    return [parse_line(entry) if isinstance(entry, str) else _from_keys(entry) for entry in entries]


def _from_keys(keys: Mapping[str, Any]) -> Prompt:
    prompt, ignored = Prompt(str(keys.get("prompt", "")).strip()), []
    for key, value in keys.items():
        if key in FILE_KEYS:
            prompt = _with(prompt, FILE_KEYS[key], value, key)
        elif key in FILE_KEYS_WITHOUT_EFFECT:
            ignored.append(key)
        elif key not in ("prompt", "enum"):
            raise BadPrompts(f"sample_prompts: There is no key {key} for a prompt; leave it out.")
    return replace(prompt, ignored=tuple(ignored))
