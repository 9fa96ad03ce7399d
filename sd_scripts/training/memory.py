"""Less memory, at the price of time: checkpointing, 8-bit weights, compiling."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from ..config.precision import PrecisionConfig
from ..errors import UserError


class NotOnThisMachine(UserError):
    """A setting that this machine's hardware can't do."""


def device_type() -> str:
    """Of what training runs on: the first kind that this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def in_words(device: torch.device, precision: PrecisionConfig) -> str:
    """`NVIDIA H200 in bf16`, `CPU (threads: 2)`"""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    name = f"CPU (threads: {torch.get_num_threads()})" if device.type == "cpu" else name
    return name if precision.mixed_precision == "no" else f"{name} in {precision.mixed_precision}"


def check(precision: PrecisionConfig, device: str) -> None:
    """Before anything is loaded. Raises NotOnThisMachine."""
    if precision.mixed_precision == "fp16" and device == "cpu":
        raise NotOnThisMachine(
            "mixed_precision: fp16 needs a GPU, and this machine has none that PyTorch can use; choose bf16 or no."
        )
    if precision.mixed_precision == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported():
        raise NotOnThisMachine("mixed_precision: This GPU can't compute in bf16; choose fp16.")
    key = "fp8_base" if precision.fp8_base else "fp8_base_unet"
    if (precision.fp8_base or precision.fp8_base_unet) and device not in ("cuda", "cpu"):
        raise NotOnThisMachine(f"{key}: 8-bit weights are not known to {device}; turn it off.")
    if precision.torch_compile:
        _check_compiler(precision.dynamo_backend)


def _check_compiler(name: str) -> None:
    try:
        torch.compile(nn.Identity(), backend=name)  # which compiles nothing yet
    except Exception as error:  # noqa: BLE001 - compilers that aren't there fail in types of their own
        raise NotOnThisMachine(f"dynamo_backend: {name} can't be used here; choose inductor, or install it.") from error


def set_up(precision: PrecisionConfig, family: Any, is_frozen: bool = True) -> None:
    """After base weights are merged, so that only the sum is rounded to 8 bits. is_frozen: the model is not trained."""
    if is_frozen and (precision.fp8_base or precision.fp8_base_unet):
        family.store_in_8_bits(text_encoder=precision.fp8_base)
    if precision.gradient_checkpointing:
        family.checkpoint_gradients()


def compile_unet(precision: PrecisionConfig, unet: nn.Module) -> None:
    """In place, so that names and state dicts stay as they are."""
    if not precision.torch_compile:
        return
    unet.compile(
        backend=precision.dynamo_backend,
        mode=None if precision.dynamo_mode == "default" else precision.dynamo_mode,
        fullgraph=precision.dynamo_use_fullgraph,
        dynamic=True if precision.dynamo_use_dynamic else None,
    )


def allow_fp16_gradients(precision: PrecisionConfig, scaler: Any) -> None:
    """PyTorch's gradient scaler refuses fp16 gradients unless it is told for each call that they are meant."""
    if not precision.full_fp16 or scaler is None:
        return
    unscale = scaler._unscale_grads_

    def unscale_fp16_too(optimizer: Any, inverse: Any, found_infinite: Any, _: bool) -> Any:
        return unscale(optimizer, inverse, found_infinite, True)

    scaler._unscale_grads_ = unscale_fp16_too


def offloading(precision: PrecisionConfig, device: torch.device) -> AbstractContextManager[Any]:
    """Where the forward pass keeps what the backward pass needs. Can be entered again and again."""
    if not precision.cpu_offload_checkpointing:
        return nullcontext()
    return OnCpu(device)


class OnCpu:
    """`save_on_cpu`, which by itself can be entered only once."""

    def __init__(self, device: torch.device) -> None:
        self._pinned = device.type == "cuda"
        self._open: list[Any] = []

    def __enter__(self) -> None:
        inner = torch.autograd.graph.save_on_cpu(pin_memory=self._pinned)
        inner.__enter__()
        self._open.append(inner)

    def __exit__(self, *error: Any) -> None:
        self._open.pop().__exit__(*error)


def hand_back(precision: PrecisionConfig) -> None:
    """Between the stages of a run: memory that PyTorch keeps for later goes back to the GPU, unless there is plenty."""
    if precision.highvram:
        return
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
