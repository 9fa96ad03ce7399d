"""Peak memory and time of the tools on files of SDXL's size: `python benchmarks/merge_memory.py FOLDER [NAME ...]`

Makes an fp16 model of 6.9 GB with SDXL's layers and random numbers, and two LoRAs of rank 32 for all of them. Then it
merges one into the model, merges both, exactly and to rank 32, resizes one to rank 16, and extracts a LoRA of rank 32
from the model and the merged one. NAME: only those of these whose names are given. All of it is deleted again.
The figures are in docs/measurements.md.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from sd_scripts.tools.convert import DOTTED  # noqa: E402 - it is found only from the folder above

RANK = 32
FILE_BYTES = 6_900_000_000
TRANSFORMERS = (
    *((f"input_blocks_{n}_1", 640, 2) for n in (4, 5)), *((f"input_blocks_{n}_1", 1280, 10) for n in (7, 8)),
    ("middle_block_1", 1280, 10), *((f"output_blocks_{n}_1", 1280, 10) for n in (0, 1, 2)),
    *((f"output_blocks_{n}_1", 640, 2) for n in (3, 4, 5)),
)  # fmt: skip
"""SDXL's transformers: where, how wide, how many blocks."""
OPENCLIP = {"mlp_fc1": "mlp.c_fc", "mlp_fc2": "mlp.c_proj", "self_attn_out_proj": "attn.out_proj"}


def layers() -> dict[str, tuple[int, ...]]:
    """Name of a module for SDXL -> the shape of its weight: every layer that a LoRA reaches."""
    found: dict[str, tuple[int, ...]] = {}
    for place, width, depth in TRANSFORMERS:
        found |= {f"lora_unet_{place}_{end}": (width, width) for end in ("proj_in", "proj_out")}
        for k in range(depth):
            start = f"lora_unet_{place}_transformer_blocks_{k}"
            for attention, inputs in (("attn1", width), ("attn2", 2048)):
                found |= {f"{start}_{attention}_to_{x}": (width, inputs) for x in "kv"}
                found |= {f"{start}_{attention}_to_{x}": (width, width) for x in ("q", "out_0")}
            found |= {f"{start}_ff_net_0_proj": (8 * width, width), f"{start}_ff_net_2": (width, 4 * width)}
    for prefix, width, depth in (("lora_te1_", 768, 12), ("lora_te2_", 1280, 32)):
        for i in range(depth):
            start = f"{prefix}text_model_encoder_layers_{i}"
            found |= {f"{start}_self_attn_{x}_proj": (width, width) for x in ("q", "k", "v", "out")}
            found |= {f"{start}_mlp_fc1": (4 * width, width), f"{start}_mlp_fc2": (width, 4 * width)}
    return found


def tensor_name(name: str) -> str:
    """In the original layout. The second text encoder's joined attention is left to `model_shapes`."""
    if name.startswith("lora_unet_"):
        return f"model.diffusion_model.{'.'.join(DOTTED.findall(name.removeprefix('lora_unet_')))}.weight"
    if name.startswith("lora_te1_"):
        return f"conditioner.embedders.0.transformer.{'.'.join(DOTTED.findall(name.removeprefix('lora_te1_')))}.weight"
    block, _, rest = name.removeprefix("lora_te2_text_model_encoder_layers_").partition("_")
    return f"conditioner.embedders.1.model.transformer.resblocks.{block}.{OPENCLIP.get(rest, 'attn.in_proj')}.weight"


def model_shapes(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    found = {tensor_name(name): shape for name, shape in shapes.items()}
    joined = [name for name in found if name.endswith("attn.in_proj.weight")]
    for name in joined:
        rows, columns = found.pop(name)
        found[name.replace("in_proj.weight", "in_proj_weight")] = (3 * rows, columns)
    found["model.diffusion_model.input_blocks.0.0.weight"] = (320, 4, 3, 3)
    found["model.diffusion_model.out.2.weight"] = (4, 320, 3, 3)
    for n, width in ((1, 320), (2, 320), (4, 640), (5, 640), (7, 1280), (8, 1280)):
        found[f"model.diffusion_model.input_blocks.{n}.0.out_layers.3.weight"] = (width, width, 3, 3)
    for n, width in ((3, 320), (6, 640)):
        found[f"model.diffusion_model.input_blocks.{n}.0.op.weight"] = (width, width, 3, 3)
    found |= {f"model.diffusion_model.input_blocks.{n}.1.norm.weight": (w,) for n, w in ((4, 640), (7, 1280))}
    rest = FILE_BYTES // 2 - sum(torch.Size(shape).numel() for shape in found.values())
    return found | {f"first_stage_model.rest.{i}": (rest // 20,) for i in range(20)}


def write_numbers(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Random ones, the same 64 MB again and again."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 2 * torch.Size(shape).numel()
        header[name], offset = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, end]}, end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        numbers = (torch.randn(1 << 25) * 0.02).half().numpy().tobytes()
        for start in range(0, offset, len(numbers)):
            file.write(numbers[: offset - start])


def check(folder: Path, name: str) -> None:
    """One layer of the result against its sum."""
    before, after, lora = (safe_open(folder / f"{x}.safetensors", "pt") for x in ("model", "out", "lora"))
    key = tensor_name(name)
    up, down = (lora.get_tensor(f"{name}.lora_{half}.weight").float() for half in ("up", "down"))
    expected = before.get_tensor(key).float() + up @ down
    found = after.get_tensor(key).float()
    assert torch.allclose(found, expected, rtol=2e-3, atol=2e-2), f"{key} is not the sum"


def write_lora(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    tensors = {}
    for name, (outputs, *inside) in shapes.items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(RANK, *inside).half()
        tensors[f"{name}.lora_up.weight"] = torch.randn(outputs, RANK, *[1] * (len(inside) - 1)).half()
    save_file(tensors, path)


TOOLS = {
    "into a model": ["merge_lora", "--sd_model", "model", "--models", "lora", "--save_to", "out"],
    "two LoRAs": ["merge_lora", "--models", "lora", "other", "--save_to", "sum"],
    "two LoRAs to rank 32": ["svd_merge_lora", "--models", "lora", "other", "--new_rank", "32", "--save_to", "svd"],
    "resize to rank 16": ["resize_lora", "--model", "lora", "--new_rank", "16", "--save_to", "small"],
    "extract": ["extract_lora_from_models", "--model_org", "model", "--model_tuned", "out", "--dim", "32",
                "--save_to", "extracted"],
}  # fmt: skip
FILES = {"model", "lora", "other", "out", "sum", "svd", "small", "extracted"}


def measure(name: str, folder: Path) -> None:
    tool, *words = TOOLS[name]
    words = [f"{word}.safetensors" if word in FILES else word for word in words]
    started = time.monotonic()
    script = [sys.executable, str(ROOT / "sd_scripts" / "networks" / f"{tool}.py")]
    process = subprocess.Popen([*script, *words], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, f"{tool} failed"
    seconds, busy = time.monotonic() - started, used.ru_utime + used.ru_stime
    print(f"{name}: {used.ru_maxrss / 1e6:.2f} GB, {seconds:.0f} s ({busy:.0f} s of computing)", flush=True)


def main(parent: str, names: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder, shapes = Path(name), layers()
        write_numbers(folder / "model.safetensors", model_shapes(shapes))
        for lora in ("lora", "other"):
            write_lora(folder / f"{lora}.safetensors", shapes)
        for tool in TOOLS:
            if tool in names or not names:
                measure(tool, folder)
            if tool == "into a model" and (tool in names or not names):
                check(folder, "lora_unet_middle_block_1_transformer_blocks_9_ff_net_2")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir(), sys.argv[2:])
