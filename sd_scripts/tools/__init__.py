"""Work on files of networks, models and pictures. Nothing here needs torch until a tool runs."""

from __future__ import annotations

from . import data_settings, settings
from .tool import Tool, main

__all__ = ["TOOLS", "Tool", "main"]

IN_FLOAT32 = "Everything is computed in float32."
FROM_FILE = "The kind of model is read from the file."

_MERGE = Tool(
    name="merge_lora",
    title="Merge LoRAs",
    help="Merges LoRAs into one, or into a model. The result does exactly what they do together at the strengths "
    "asked for.",
    settings=settings.MergeSettings,
    function="sd_scripts.tools.merge:run",
    idle={
        "v2": FROM_FILE,
        "precision": IN_FLOAT32,
        "concat": "Networks are always merged by stacking ranks, which is exact.",
    },
)
_LIST = (
    _MERGE,
    Tool(
        name="svd_merge_lora",
        title="Merge LoRAs to a rank",
        help="Merges networks into one LoRA of the rank asked for, by singular values: as near as that rank can come.",
        settings=settings.SvdMergeSettings,
        function="sd_scripts.tools.svd_merge:run",
        idle={"precision": IN_FLOAT32},
    ),
    Tool(
        name="resize_lora",
        title="Resize a LoRA",
        help="Changes the rank of a LoRA, the same for all modules or for each as its singular values say.",
        settings=settings.ResizeSettings,
        function="sd_scripts.tools.resize:run",
    ),
    Tool(
        name="extract_lora_from_models",
        title="Extract a LoRA from two models",
        help="Makes a LoRA of the difference between a model and what was tuned from it.",
        settings=settings.ExtractSettings,
        function="sd_scripts.tools.extract:run",
        idle={
            "v2": FROM_FILE,
            "sdxl": FROM_FILE,
            "load_precision": IN_FLOAT32,
            "load_original_model_to": "Models are read tensor by tensor.",
            "load_tuned_model_to": "Models are read tensor by tensor.",
        },
    ),
    Tool(
        name="extract_lora_from_dylora",
        title="Extract LoRAs from a DyLoRA",
        help="Makes LoRAs of every rank that a DyLoRA was trained for.",
        settings=settings.ExtractDyloraSettings,
        function="sd_scripts.tools.dylora:run",
    ),
    Tool(
        name="check_lora_weights",
        title="Check a network",
        help="Looks for numbers that are not finite and modules that change nothing, and shows how large the rest is.",
        settings=settings.CheckSettings,
        function="sd_scripts.tools.check:run",
        positional=("file",),
    ),
    Tool(
        name="inspect_lora",
        title="What is in this file",
        help="Shows kind, ranks, blocks, hashes and training settings of a network file.",
        settings=settings.InspectSettings,
        function="sd_scripts.tools.inspect:run",
        positional=("file",),
    ),
    Tool(
        name="convert_lora",
        title="Convert a LoRA",
        help="Renames the tensors of a LoRA between sd-scripts' layout and that of diffusers and PEFT.",
        settings=settings.ConvertSettings,
        function="sd_scripts.tools.convert:run",
    ),
    Tool(
        name="settings_from_file",
        title="Training settings of a file",
        help="Prints the settings that a network was trained with, as its metadata has them, as TOML.",
        settings=settings.ReadSettingsSettings,
        function="sd_scripts.tools.settings_from_file:run",
        positional=("file",),
    ),
    Tool(
        name="convert_diffusers20_original_sd",
        title="Convert a model",
        help="Makes a diffusers folder of a model in one file, or one file of a diffusers folder.",
        settings=data_settings.ConvertModelSettings,
        function="sd_scripts.tools.convert_model:run",
        folder="tools",
        positional=("model_to_load", "model_to_save"),
        idle={
            "v1": FROM_FILE,
            "v2": FROM_FILE,
            "unet_use_linear_projection": FROM_FILE,
            "use_safetensors": "Folders and files are safetensors, but for files that end in .ckpt.",
            **dict.fromkeys(("fp16", "bf16", "float"), "The precision is that of --save_precision_as."),
        },
    ),
    Tool(
        name="merge_captions_to_metadata",
        title="Captions to metadata",
        help="Gathers the captions of a folder's pictures in one metadata file, for fine-tuning.",
        settings=data_settings.CaptionsToMetadataSettings,
        function="sd_scripts.tools.metadata:merge_captions",
        folder="finetune",
        positional=("train_data_dir", "out_json"),
    ),
    Tool(
        name="merge_dd_tags_to_metadata",
        title="Tags to metadata",
        help="Gathers the tags of a folder's pictures in one metadata file, for fine-tuning.",
        settings=data_settings.TagsToMetadataSettings,
        function="sd_scripts.tools.metadata:merge_tags",
        folder="finetune",
        positional=("train_data_dir", "out_json"),
    ),
    Tool(
        name="clean_captions_and_tags",
        title="Clean metadata",
        help="Cleans a metadata file: tags get blanks for underscores, lose ratings and stand once; captions lose "
        "repeated words and blanks.",
        settings=data_settings.CleanSettings,
        function="sd_scripts.tools.metadata:clean",
        folder="finetune",
        positional=("in_json", "out_json"),
    ),
    Tool(
        name="resize_images_to_resolution",
        title="Resize pictures",
        help="Makes smaller copies of a folder's pictures, with their captions if asked for.",
        settings=data_settings.ResizeImagesSettings,
        function="sd_scripts.tools.resize_images:run",
        folder="tools",
        positional=("src_img_folder", "dst_img_folder"),
    ),
)
TOOLS: dict[str, Tool] = {tool.name: tool for tool in _LIST}
