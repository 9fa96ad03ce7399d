"""Files that kohya_ss saved -> flat settings, with a sentence about everything that could not be carried over.

Names that only changed are in `legacy_names.RENAMED`. Meanings that changed are rules: each takes its keys off the
sheet and writes down what they mean today. What no rule takes passes as it is, for `load` to check.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping

from . import legacy_names as names
from .legacy_full import whole_models
from .legacy_sheet import Sheet, is_on, is_zero
from .network import NetworkConfig
from .schema import Notice
from .train_config import all_parameters

Rule = Callable[["Sheet"], None]


def translate(old: Mapping[str, object]) -> tuple[dict[str, object], list[Notice]]:
    """Settings under today's names and meanings, and what is to be said about the rest.

    Zeros and switches keep their meaning; empty texts were always "not set" and are left out.
    """
    sheet = Sheet(old)
    for rule in RULES:
        rule(sheet)
    return {**sheet.old, **sheet.new}, sheet.notices


def _command_line(sheet: Sheet) -> None:
    """`additional_parameters` held flags for the engine, which won over everything else."""
    words = sheet.take("additional_parameters")
    if words is None:
        return
    try:
        split = shlex.split(str(words))
    except ValueError:
        sheet.say("additional_parameters", f"A quotation mark is missing in {words!r}, so it was left out.")
        return
    for flag, values in _flags(sheet, split).items():
        is_list = flag in all_parameters() and all_parameters()[flag].kind == "list"
        sheet.old[flag] = values if is_list else (" ".join(values) if values else True)


def _flags(sheet: Sheet, words: Iterable[str]) -> dict[str, list[str]]:
    flag = ""
    given: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            flag, equals, value = word[2:].partition("=")
            given[flag] = [value] if equals else []
        elif flag:
            given[flag].append(word)
        else:
            sheet.say("additional_parameters", f"{word!r} belongs to no flag, so it was left out.")
    return given


def _renamed(sheet: Sheet) -> None:
    for name, new_name in names.RENAMED.items():
        value = sheet.take(name)
        if value is not None:
            sheet.old.setdefault(new_name, value)


def _gone(sheet: Sheet) -> None:
    for name in names.GONE:
        sheet.take(name)
    for name, sentence in names.NOT_HERE.items():
        if name not in all_parameters() and is_on(sheet.take(name)):
            sheet.say(name, sentence)
    for name in names.SECRETS:
        if sheet.take(name):
            sheet.say(name, "It is a secret, which is not taken from files; type it in.")


def _family(sheet: Sheet) -> None:
    """Keys of families other than the file's own are defaults of a form that showed them all."""
    for family, keys in names.FAMILIES.items():
        is_chosen = is_on(sheet.old.get(keys[0]))
        for key in keys:
            if key not in all_parameters():
                sheet.take(key)
        if is_chosen and keys[0] not in all_parameters():
            sheet.say(
                "", f"The file is for {family} models, which can't be trained here; what only they have was left out."
            )


def _sdxl(sheet: Sheet) -> None:
    """Two keys of the SDXL section have plain names by now."""
    for name, new_name in (
        ("sdxl_cache_text_encoder_outputs", "cache_text_encoder_outputs"), ("sdxl_no_half_vae", "no_half_vae"),
    ):  # fmt: skip
        value = sheet.take(name)
        if is_on(value) and is_on(sheet.old.get("sdxl")):
            sheet.old[new_name] = True


def _method(sheet: Sheet) -> None:
    for method, keys in names.METHODS.items():
        found = [key for key in keys if key not in all_parameters() and sheet.take(key) is not None]
        if found:
            sheet.say(
                "",
                f"The file comes from {method}, which can't be trained here, so what only it has was left out: "
                f"{', '.join(found)}.",
            )


def _textual_inversion(sheet: Sheet) -> None:
    """Only its page had a choice of sentences; what that page showed and never sent is left out."""
    template = sheet.take("template")
    if template is None and "token_string" not in sheet.old:
        return
    sheet.put("method", "textual_inversion")
    if template in names.TEMPLATES:
        sheet.put(names.TEMPLATES[str(template)], True)
    for key in ("stop_text_encoder_training", "stop_text_encoder_training_pct", "caption_dropout_rate"):
        if sheet.number(key):
            sheet.say(key, "kohya_ss showed it for textual inversion and never used it, so it was left out.")


def _optimizer(sheet: Sheet) -> None:
    """Before there was a list of optimizers there were two switches."""
    switches = {"use_8bit_adam": "AdamW8bit", "use_lion_optimizer": "Lion"}
    for switch, name in switches.items():
        if is_on(sheet.take(switch)):
            chosen = str(sheet.old.setdefault("optimizer_type", name))
            if chosen.lower() != name.lower():
                sheet.say(switch, f"The file chooses the optimizer {chosen} too, which is taken.")


def _length(sheet: Sheet) -> None:
    """Epochs, unless a number of steps overrode them, as it did by default in later versions."""
    epochs, steps, limit = sheet.number("epoch"), sheet.number("max_train_steps"), sheet.number("max_train_epochs")
    if limit:
        sheet.put("max_train_epochs", int(limit))
        if epochs not in (0, 1, limit):
            sheet.say(
                "epoch", f"max_train_epochs is {limit:g}, which decided in kohya_ss too, so {epochs:g} was left out."
            )
    elif steps:
        sheet.put("max_train_steps", int(steps))
        if epochs > 1:
            sheet.say(
                "epoch",
                f"max_train_steps is {steps:g}, which decided in kohya_ss too, so the {epochs:g} epochs were left out.",
            )
    elif epochs:
        sheet.put("max_train_epochs", int(epochs))


def _warmup(sheet: Sheet) -> None:
    """A percentage, overridden by a number of steps; schedules without a warm-up ignored both."""
    percent, steps = sheet.number("lr_warmup"), sheet.old.get("lr_warmup_steps")
    if is_zero(steps):
        steps = sheet.take("lr_warmup_steps")
    wanted = f"{percent:g}%" if percent and (steps is None or is_zero(steps)) else steps
    schedule = str(sheet.old.get("lr_scheduler", "constant"))
    if wanted is None or is_zero(wanted):
        return
    if schedule in ("constant", "adafactor"):
        sheet.take("lr_warmup_steps")
        sheet.say("lr_warmup", f"The schedule {schedule} had no warm-up, so the {wanted} of the file were left out.")
    else:
        sheet.put("lr_warmup_steps", wanted)


def _stop_text_encoder(sheet: Sheet) -> None:
    """A percentage of all steps under either name; -1 was "not at all"."""
    percent = sheet.number("stop_text_encoder_training") or sheet.number("stop_text_encoder_training_pct")
    sheet.take("stop_text_encoder_training_pct")
    if percent < 0:
        sheet.put("network_train_unet_only", True)
        sheet.say("stop_text_encoder_training", "It is below 0, which stood for not training the text encoder at all.")
    elif percent:
        sheet.put("stop_text_encoder_training", f"{percent:g}%")
        sheet.say(
            "stop_text_encoder_training",
            f"The text encoder stops at {percent:g}% of the run; kohya_ss ignored this for LoRA.",
        )


def _rates(sheet: Sheet) -> None:
    """0 for one part left it out of the network; 0 for both meant the common rate."""
    unet, text = sheet.old.get("unet_lr"), sheet.old.get("text_encoder_lr")
    is_without_unet = unet is not None and is_zero(unet)
    is_without_text = text is not None and is_zero(text)
    if is_without_unet:
        sheet.take("unet_lr")
    if is_without_text:
        sheet.take("text_encoder_lr")
    if is_without_text and unet is not None and not is_without_unet:
        sheet.put("network_train_unet_only", True)
    if is_without_unet and text is not None and not is_without_text:
        sheet.put("network_train_text_encoder_only", True)
    if is_zero(sheet.old.get("learning_rate")) and {"unet_lr", "text_encoder_lr"} & set(sheet.old):
        sheet.take("learning_rate")


def _noise(sheet: Sheet) -> None:
    """Only the keys of the chosen kind of noise were used."""
    kind = sheet.take("noise_offset_type")
    unused = {
        "Original": ("multires_noise_iterations", "multires_noise_discount"),
        "Multires": ("noise_offset", "noise_offset_random_strength", "adaptive_noise_scale"),
    }.get(str(kind), ())
    for key in unused:
        sheet.take(key)
    if not sheet.old.get("multires_noise_iterations") or is_zero(sheet.old["multires_noise_iterations"]):
        sheet.take("multires_noise_discount")


def _network(sheet: Sheet) -> None:
    """LoRA_type chose the module, and with it which of the form's keys counted."""
    chosen = sheet.take("LoRA_type")
    tucker = sheet.take("use_cp")
    if chosen is None:
        return
    if str(chosen) not in names.NETWORKS:
        sheet.say("LoRA_type", f"{chosen} networks can't be trained here, so LoRA was chosen.")
    module, algorithm = names.NETWORKS.get(str(chosen), names.NETWORKS["Standard"])
    sheet.put("network_module", module)
    if algorithm:
        sheet.put("algo", algorithm)
    if algorithm == "lokr":
        sheet.old["use_tucker"] = is_on(tucker)
        _decomposed(sheet)
    if chosen in names.WITHOUT_CONVOLUTIONS or is_zero(sheet.old.get("conv_dim", 0)):
        sheet.take("conv_dim")
        sheet.take("conv_alpha")
    _drop_other_networks_settings(sheet, NetworkConfig(network_module=module, algo=algorithm).kind or "lora")


def _decomposed(sheet: Sheet) -> None:
    if "decompose_both" in sheet.old and not is_on(sheet.old["decompose_both"]):
        sheet.say("decompose_both", "It is off, as the file says; kohya_ss trained with it on all the same.")


def _drop_other_networks_settings(sheet: Sheet, kind: str) -> None:
    """The form held the settings of all kinds; those of others than the chosen one never left it."""
    for key, parameter in all_parameters().items():
        kinds = parameter.applies_to.adapters
        if parameter.group is NetworkConfig and kinds is not None and kind not in kinds:
            sheet.take(key)


def _attention(sheet: Sheet) -> None:
    """A switch first, then a choice of names."""
    value = str(sheet.take("xformers")).lower()
    if value in ("xformers", "sdpa"):
        sheet.put(value, True)
    elif value in ("true", "false"):
        sheet.put("xformers", value == "true")


def _precision(sheet: Sheet) -> None:
    if sheet.old.get("mixed_precision") == "fp8":
        sheet.take("mixed_precision")
        sheet.say(
            "mixed_precision",
            "fp8 is nothing to compute in, so it was left out; choose fp16 or bf16, with fp8_base to save memory.",
        )
    backend = sheet.take("dynamo_backend")
    if backend not in (None, "no"):
        sheet.put("dynamo_backend", backend)
        sheet.put("torch_compile", True)


def _logging(sheet: Sheet) -> None:
    if is_on(sheet.take("use_wandb")):
        sheet.old.setdefault("log_with", "wandb")


def _hub(sheet: Sheet) -> None:
    """A text box for what is a switch: its text was the place to resume from."""
    place = sheet.take("resume_from_huggingface")
    if place is None or str(place).lower() == "false":
        return
    sheet.put("resume_from_huggingface", True)
    if not is_on(place):
        sheet.old.setdefault("resume", place)


def _zeros(sheet: Sheet) -> None:
    for key in names.EMPTY_AT_ZERO:
        if key in sheet.old and is_zero(sheet.old[key]):
            sheet.take(key)
    for key, used in names.HONOURED_AT_ZERO.items():
        if key in sheet.old and is_zero(sheet.old[key]):
            sheet.say(key, f"It is 0, as the file says; kohya_ss lost the 0 and trained with {used}.")
    if sheet.old.get("clip_skip") in (1, "1"):
        sheet.take("clip_skip")


def _captions(sheet: Sheet) -> None:
    """The form's empty extension left the engine with its own default."""
    was_mentioned = {"caption_extension", "caption_extention"} & sheet.mentioned
    if was_mentioned and "caption_extension" not in sheet.old:
        sheet.put("caption_extension", ".caption")


def _buckets(sheet: Sheet) -> None:
    """The form offered steps from 1 on, which no model of these families can be trained with."""
    if 0 < (steps := sheet.number("bucket_reso_steps")) < 8:
        sheet.say("bucket_reso_steps", f"{steps:g} is too fine, as sizes come in eights, so the usual steps are taken.")
    elif steps:
        sheet.put("bucket_reso_steps", int(steps))


RULES: tuple[Rule, ...] = (
    _command_line, _renamed, _captions, _gone, _sdxl, whole_models, _family, _method, _textual_inversion, _optimizer,
    _length, _warmup, _stop_text_encoder, _rates, _noise, _network, _attention, _precision, _logging, _hub, _zeros,
    _buckets,
)  # fmt: skip
"""In the order in which they are applied."""
