"""Flags of sd-scripts that are no parameters here: what they stand for, or why they are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

OFF = (False, "false", None, "")

SHORTCUTS = {"use_8bit_adam": ("optimizer_type", "AdamW8bit"), "use_lion_optimizer": ("optimizer_type", "Lion")}
"""Switches -> the setting that they stand for."""

_PLAIN = "Processes share their gradients without DDP, so it has no effect."
WITHOUT_EFFECT = {
    "use_safetensors": "Models are saved as safetensors unless save_model_as says otherwise, so it has no effect.",
    "console_log_simple": "The console log is always plain lines, so it has no effect.",
    "tokenizer_cache_dir": "Tokenizers come with the model or with this program, so it has no effect.",
    "disable_mmap_load_safetensors": "Files are read in the way that takes the least memory, so it has no effect.",
    "ddp_gradient_as_bucket_view": _PLAIN,
    "ddp_static_graph": _PLAIN,
}
"""What is understood and changes nothing -> why."""

_DEEPSPEED = "DeepSpeed is for models that fit on no single card, which these do; leave it out."
REFUSED = {
    "dataset_class": "It would run code that a settings file names; give dataset_config instead.",
    **dict.fromkeys(
        (
            "deepspeed", "zero_stage", "offload_optimizer_device", "offload_optimizer_nvme_path",
            "offload_param_device", "offload_param_nvme_path", "zero3_init_flag", "zero3_save_16bit_model",
            "fp16_master_weights_and_gradients",
        ),
        _DEEPSPEED,
    ),
}  # fmt: skip
"""What is not offered -> why, and what to do."""
NAMES = (*SHORTCUTS, *WITHOUT_EFFECT, *REFUSED)


def translated(flat: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """Name that was given, key and value that are meant: switches become settings, and those that are off vanish."""
    for given, value in flat.items():
        if given not in NAMES or value not in OFF:
            yield given, *SHORTCUTS.get(given, (given, value))
