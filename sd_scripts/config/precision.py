from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from .schema import Aliases, AppliesTo, Group, Notice, Problem, Ui

Backend = Literal[
    "eager",
    "aot_eager",
    "inductor",
    "aot_ts_nvfuser",
    "nvprims_nvfuser",
    "cudagraphs",
    "ofi",
    "fx2trt",
    "onnxrt",
    "tensorrt",
    "ipex",
    "tvm",
]

FROZEN_MODEL = AppliesTo(methods=("lora", "textual_inversion"))


class PrecisionConfig(Group):
    title: ClassVar[str] = "Precision and memory"

    mixed_precision: Annotated[Literal["no", "fp16", "bf16"], Ui(basic=True)] = "no"
    """Compute in 16 bits where that is safe: faster and smaller on GPUs. bf16 for RTX 30 and later, fp16 for older
    ones, no for computing everything in 32 bits."""

    full_fp16: bool = False
    """Keep the trained weights and their gradients in fp16 too. Saves memory, can make training unstable. Needs mixed
    precision fp16."""

    full_bf16: bool = False
    """Keep the trained weights and their gradients in bf16 too. Saves memory at some loss of accuracy. Needs mixed
    precision bf16."""

    fp8_base: Annotated[bool, FROZEN_MODEL] = False
    """Keep the base model's U-Net and text encoder in 8 bits while a network is trained: half the memory of 16 bits.
    Needs mixed precision."""

    fp8_base_unet: Annotated[bool, FROZEN_MODEL] = False
    """Keep only the base model's U-Net in 8 bits; the text encoder stays in 16. Needs mixed precision."""

    gradient_checkpointing: Annotated[bool, Ui(basic=True)] = False
    """Compute parts of the forward pass twice instead of keeping them. About a third slower, much less memory."""

    cpu_offload_checkpointing: bool = False
    """Keep what gradient checkpointing still stores in the computer's memory instead of the GPU's. Slower; needs
    gradient checkpointing."""

    sdpa: Annotated[bool, Ui(label="SDPA attention")] = False
    """Compute attention with PyTorch's own fast function. It is what is used when no other kind is chosen."""

    xformers: Annotated[bool, Aliases("diffusers_xformers"), Ui(label="xFormers attention")] = False
    """Compute attention with the xFormers library. Where it is not installed, PyTorch's own is used and the log says
    so."""

    mem_eff_attn: Annotated[bool, Ui(label="Memory-efficient attention")] = False
    """Compute attention in slices: slow, for GPUs that run out of memory otherwise."""

    highvram: Annotated[bool, Ui(label="Much video memory")] = False
    """Never hand cached GPU memory back between the stages of a run. A little faster where there is plenty."""

    torch_compile: bool = False
    """Compile the U-Net before training: minutes of waiting at first, then faster steps on recent GPUs."""

    dynamo_backend: Annotated[Backend, Ui(label="Compiler")] = "inductor"
    """What compiles, where compiling is on. inductor is PyTorch's own."""

    dynamo_mode: Annotated[Literal["default", "reduce-overhead", "max-autotune"], Ui(label="Compiler mode")] = "default"
    """How hard the compiler tries. reduce-overhead suits small batches; max-autotune takes longest to start."""

    dynamo_use_fullgraph: Annotated[bool, Ui(label="Compile as one graph")] = False
    """Refuse to compile in pieces; stops with an error where the model can't be compiled whole."""

    dynamo_use_dynamic: Annotated[bool, Ui(label="Compile for any size")] = False
    """Compile once for all picture sizes instead of once for each bucket."""

    def relations(self) -> Iterator[Problem]:
        for key, needed in (("full_fp16", "fp16"), ("full_bf16", "bf16")):
            if getattr(self, key) and self.mixed_precision != needed:
                yield Problem(
                    key, f"It needs mixed_precision {needed}, which is {self.mixed_precision}; change one of them."
                )
        for key in ("fp8_base", "fp8_base_unet"):
            if getattr(self, key) and self.mixed_precision == "no":
                yield Problem(key, "It needs mixed_precision fp16 or bf16 to compute in; choose one or turn this off.")
        kinds = [key for key in ("xformers", "sdpa", "mem_eff_attn") if getattr(self, key)]
        if len(kinds) > 1:
            yield Notice(kinds[1], f"{kinds[0]} is used; only one kind of attention can be.")
        if self.cpu_offload_checkpointing and not self.gradient_checkpointing:
            yield Problem("cpu_offload_checkpointing", "It needs gradient_checkpointing; turn that on or this off.")
        if not self.torch_compile:
            for key in ("dynamo_mode", "dynamo_use_fullgraph", "dynamo_use_dynamic"):
                if getattr(self, key) not in (False, "default"):
                    yield Notice(key, "It has no effect unless torch_compile is on.")
