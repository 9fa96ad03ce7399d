"""Renames a LoRA's tensors between sd-scripts' layout and that of diffusers and PEFT.

`lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight` <->
`unet.down_blocks.0.attentions.0.proj_in.lora_A.weight`.
diffusers' files hold no alpha, so alpha / rank goes into the upper matrices and comes back as alpha = rank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import UserError
from ..families.names import ldm
from ..families.names.tables import Names, renamed, reverse
from ..families.tensor_file import TensorFile
from .networks import (
    ALPHA,
    DIFFUSERS_SIGNS,
    DOWN,
    PREFIXES,
    UP,
    Factors,
    base_family,
    open_file,
    open_network,
    refuse_others,
    saved_dtype,
)  # fmt: skip
from .places import TEXT, TEXT_1, TEXT_2, UNET, stored_as_convolution
from .records import VERSIONS, of_sizes, save, save_tensors
from .settings import ConvertSettings
from .tool import Say

SDXL = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
}
PARTS = {UNET: "unet.", TEXT: "text_encoder.", TEXT_1: "text_encoder.", TEXT_2: "text_encoder_2."}
WORDS = sorted(
    "down_blocks up_blocks mid_block transformer_blocks proj_in proj_out to_q to_k to_v to_out time_emb_proj "
    "conv_shortcut "
    "time_embedding add_embedding linear_1 linear_2 conv_in conv_out text_model self_attn q_proj k_proj v_proj "
    "out_proj "
    "input_blocks middle_block output_blocks in_layers out_layers emb_layers skip_connection time_embed label_emb "
    "final_layer_norm layer_norm1 layer_norm2".split(),
    key=len,
    reverse=True,
)
"""Parts of paths that have an underscore of their own."""
DOTTED = re.compile("_?(" + "|".join(WORDS) + r"|[a-z0-9]+)")
PEFT_DOWN = re.compile(r"(\.lora_A(\.\w+)?|[._]lora\.down|_lora\.down|\.lora_linear_layer\.down)\.weight$")
ENDINGS = (
    (re.compile(r"\.lora_A(\.\w+)?\.weight$"), DOWN), (re.compile(r"\.lora_B(\.\w+)?\.weight$"), UP),
    (re.compile(r"[._]lora\.down\.weight$"), DOWN), (re.compile(r"[._]lora\.up\.weight$"), UP),
    (re.compile(r"\.lora_linear_layer\.down\.weight$"), DOWN), (re.compile(r"\.lora_linear_layer\.up\.weight$"), UP),
    (re.compile(r"\.alpha$"), ALPHA),
)  # fmt: skip


def run(settings: ConvertSettings, say: Say) -> None:
    save_to = Path(settings.save_to).expanduser()
    if settings.layout == "kohya":
        file = open_file(settings.model, "model")
        if any(name.startswith(PREFIXES) for name in file.entries):
            raise UserError(f"model: {file.path} is in the layout of kohya already; choose the layout diffusers.")
        modules, family = from_diffusers(file)
        dtype = saved_dtype(settings.save_precision, next(iter(file.entries.values())).dtype)
        metadata = {key: value for key, value in file.metadata.items() if key.startswith(("ss_", "modelspec."))}
        found = {"ss_v2": str(family == "sd2"), "ss_base_model_version": VERSIONS[family]}
        save(save_to, modules, dtype, {**found, **metadata, **of_sizes(modules)})
    else:
        network = open_network(settings.model, "model")
        refuse_others("model", network.path, network.modules)
        modules = {name: network.factors(name) for name in network.modules}
        dtype = saved_dtype(settings.save_precision, network.dtype)
        metadata = {key: value for key, value in network.metadata.items() if not key.startswith("sshs_")}
        save_tensors(save_to, to_diffusers(modules, base_family(network) == "sdxl"), dtype, metadata)
    say(f"Saved {save_to}: {len(modules)} modules in the layout of {settings.layout}.")


def is_diffusers(file: TensorFile) -> bool:
    return any(sign in name for name in file.entries for sign in DIFFUSERS_SIGNS)


def to_diffusers(modules: Mapping[str, Factors], is_sdxl: bool) -> dict[str, Tensor]:
    names = reverse(ldm.unet_names(SDXL)) if is_sdxl else {}
    tensors = {}
    for name, factors in modules.items():
        path, held = diffusers_path(name, names), factors.tensors()
        tensors[f"{path}.lora_A.weight"] = held[DOWN]
        tensors[f"{path}.lora_B.weight"] = held[UP] * factors.scale
    return tensors


def diffusers_path(name: str, names: Names) -> str:
    """`lora_unet_mid_block_attentions_0_proj_in` -> `unet.mid_block.attentions.0.proj_in`.

    names: original prefix -> diffusers prefix, for networks whose names are made of original paths.
    """
    prefix = next(prefix for prefix in (TEXT_1, TEXT_2, TEXT, UNET) if name.startswith(prefix))
    path = ".".join(DOTTED.findall(name[len(prefix) :]))
    return PARTS[prefix] + (renamed(path, names) or path if prefix == UNET else path)


def from_diffusers(file: TensorFile, setting: str = "model") -> tuple[dict[str, Factors], str]:
    """Modules under sd-scripts' names, and the family. Raises UserError where tensors are named in no known way."""
    found: dict[str, dict[str, Tensor]] = {}
    for key in file.entries:
        path, kind = _split(key, file, setting)
        found.setdefault(path, {})[kind] = file.get(key).float()
    family = _family(found)
    names = ldm.unet_names(SDXL) if family == "sdxl" else {}
    given = Alphas(file)
    modules = {}
    for path, tensors in found.items():
        if not {DOWN, UP} <= set(tensors):
            raise UserError(f"{setting}: {file.path} has only one half of {path}; it is damaged, get it again.")
        name = kohya_name(path, family, names)
        modules[name] = _factors(name, tensors, given(path), family)
    refuse_others(setting, file.path, modules)
    if not modules:
        raise UserError(f"{setting}: {file.path} holds nothing; choose another file.")
    return modules, family


def _split(key: str, file: TensorFile, setting: str) -> tuple[str, str]:
    """`unet.mid_block.attentions.0.proj_in.lora_A.weight` -> its path with the part's name, and which half it is."""
    for ending, kind in ENDINGS:
        path = ending.sub("", key)
        if path != key:
            path = path.removeprefix("base_model.model.").replace(".processor.", ".")
            if not path.startswith(("unet.", "text_encoder.", "text_encoder_2.")):
                path = ("text_encoder." if "text_model" in path or ".self_attn." in path else "unet.") + path
            return re.sub(r"\.to_out$", ".to_out.0", path), kind
    raise UserError(
        f"{setting}: {file.path} is not a LoRA in the layout of diffusers or PEFT: it has {key}; choose another file."
    )


def _family(found: Mapping[str, Mapping[str, Tensor]]) -> str:
    if any(path.startswith("text_encoder_2.") for path in found):
        return "sdxl"
    width = next((t[DOWN].shape[1] for path, t in found.items() if path.endswith("attn2.to_k") and DOWN in t), 0)
    return {1024: "sd2", 2048: "sdxl"}.get(width, "sd1")


def kohya_name(path: str, family: str, names: Names) -> str:
    part, _, inside = path.partition(".")
    if part == "unet":
        return UNET + (renamed(inside, names) or inside).replace(".", "_")
    inside = inside if inside.startswith("text_model.") else f"text_model.{inside}"
    prefix = TEXT_2 if part == "text_encoder_2" else TEXT_1 if family == "sdxl" else TEXT
    return prefix + inside.replace(".", "_")


def _factors(name: str, tensors: Mapping[str, Tensor], alpha: float | None, family: str) -> Factors:
    down, up = tensors[DOWN], tensors[UP]
    kernel = tuple(down.shape[1:])
    if len(kernel) == 1 and stored_as_convolution(name, family):
        kernel = (*kernel, 1, 1)
    alpha = float(tensors[ALPHA]) if ALPHA in tensors else alpha
    return Factors(up.flatten(1), down.flatten(1), 1.0 if alpha is None else alpha / len(down), kernel)


class Alphas:
    """Path -> alpha, from what PEFT writes beside its file or diffusers into its header; None where neither tells."""

    def __init__(self, file: TensorFile) -> None:
        beside = file.path.with_name("adapter_config.json")
        inside = file.metadata.get("lora_adapter_metadata")
        self.own = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() and not inside else {}
        self.noted = json.loads(inside) if inside else {}

    def __call__(self, path: str) -> float | None:
        part, _, inner = path.partition(".")
        config = self.own or {
            key.removeprefix(f"{part}."): v for key, v in self.noted.items() if key.startswith(f"{part}.")
        }
        patterns = config.get("alpha_pattern") or {}
        alpha = next((value for end, value in patterns.items() if inner.endswith(end)), config.get("lora_alpha"))
        return None if alpha is None else float(alpha)
