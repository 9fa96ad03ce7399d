"""Files of kohya_ss's DreamBooth and fine-tuning pages."""

from __future__ import annotations

from pathlib import PurePath

from .legacy_sheet import Sheet, is_on

OF_OTHER_PAGES = ("LoRA_type", "network_dim", "network_module", "unet_lr", "token_string")
OF_FINE_TUNING = (
    "train_dir", "image_folder", "full_path", "train_text_encoder", "use_latent_files", "caption_metadata_filename",
    "latent_metadata_filename", "generate_caption_database", "generate_image_buckets",
)  # fmt: skip
OF_PREPARATION = ("batch_size", "full_path", "generate_caption_database", "generate_image_buckets")
STOP, OLD_STOP = "stop_text_encoder_training", "stop_text_encoder_training_pct"
OF_DREAMBOOTH = ("learning_rate_te", "learning_rate_te1", STOP, OLD_STOP)
LISTS = {True: ("latent_metadata_filename", "meta_lat.json"), False: ("caption_metadata_filename", "meta_cap.json")}
SAME_AS_SOURCE = "same as source model"


def whole_models(sheet: Sheet) -> None:
    """The pages had keys of their own for the rates of text encoders, and fine-tuning for its folders."""
    method = _method(sheet)
    if method != "finetune" and sheet.take("batch_size") is not None:
        message = "It is of kohya_ss's preparations for fine-tuning, so it was left out; training has train_batch_size."
        sheet.say("batch_size", message)
    if method is None:
        return
    sheet.put("method", method)
    _rates(sheet, method)
    _stop_text_encoder(sheet)
    _format(sheet)
    if method == "finetune":
        _folders(sheet)


def _method(sheet: Sheet) -> str | None:
    if sheet.mentioned & set(OF_OTHER_PAGES):
        return None
    if sheet.mentioned & set(OF_FINE_TUNING):
        return "finetune"
    return "dreambooth" if sheet.mentioned & set(OF_DREAMBOOTH) else None


def _rates(sheet: Sheet, method: str) -> None:
    """Of SDXL each text encoder had its own, and whether it was trained followed from that."""
    text = sheet.take("text_encoder_lr")
    if not is_on(sheet.old.get("sdxl")):
        for key in ("learning_rate_te1", "learning_rate_te2"):
            sheet.take(key)
        if text is not None:
            sheet.put("text_encoder_lr", text)
        return
    rates = [sheet.number("learning_rate_te1"), sheet.number("learning_rate_te2")]
    is_trained = any(rate > 0 for rate in rates)
    if is_trained:
        sheet.put("text_encoder_lr", rates)
    sheet.take("train_text_encoder")
    if is_trained != (method == "dreambooth"):
        sheet.put("train_text_encoder", is_trained)


def _stop_text_encoder(sheet: Sheet) -> None:
    """The page asked for a percentage, and -1 for not at all."""
    percent = sheet.number(STOP) or sheet.number(OLD_STOP)
    sheet.take(OLD_STOP)
    if percent < 0:
        sheet.put("train_text_encoder", False)
        sheet.say(STOP, "It is below 0, which stood for not training the text encoder at all.")
    elif percent:
        sheet.put(STOP, f"{percent:g}%")
        message = f"The text encoder stops at {percent:g}% of the run; kohya_ss took it for a number of steps."
        sheet.say(STOP, message)


def _format(sheet: Sheet) -> None:
    sheet.take("use_safetensors")
    if sheet.old.get("save_model_as") == SAME_AS_SOURCE:
        sheet.take("save_model_as")
        ending = PurePath(str(sheet.old.get("pretrained_model_name_or_path", ""))).suffix
        formats = {".ckpt": "ckpt", ".safetensors": "safetensors"}
        sheet.put("save_model_as", formats.get(ending, "diffusers_safetensors"))


def _folders(sheet: Sheet) -> None:
    images, lists = sheet.take("image_folder"), sheet.take("train_dir")
    if images is not None:
        sheet.put("train_data_dir", images)
    if lists is not None:
        file = f"{lists}/{_list_of_captions(sheet)}"
        sheet.put("in_json", file)
        message = f"{file} is read as it is; kohya_ss made it anew from the caption files before each training."
        sheet.say("in_json", message)
    for key in ("use_latent_files", *(key for key, _ in LISTS.values()), *OF_PREPARATION):
        sheet.take(key)


def _list_of_captions(sheet: Sheet) -> object:
    """There were two, one with latents that nobody read."""
    with_latents = sheet.old.get("use_latent_files", "Yes") == "Yes"
    key, usual = LISTS[with_latents]
    return sheet.old.get(key, usual)
