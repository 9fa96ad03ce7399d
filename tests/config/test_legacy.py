"""kohya_ss's files of every age: what their keys mean today, and what is said about the rest."""

import json
from pathlib import Path

import pytest

from sd_scripts.config import legacy, load
from sd_scripts.config.optimizer import steps_of

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILES = sorted((FIXTURES / "kohya").glob("*.json"))


def read(name: str) -> dict[str, object]:
    return json.loads((FIXTURES / "kohya" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_whole_file_of_every_age_can_be_trained_with(file):
    flat, _ = legacy.translate(read(file.name))
    loaded = load.from_flat(flat)
    assert [str(problem) for problem in loaded.problems if problem.stops] == []
    assert loaded.config is not None


def test_the_first_files_keep_their_meaning():
    flat, notices = legacy.translate(read("first_of_2022.json"))
    config = load.from_flat(flat).unwrap()
    assert (config.optimizer.optimizer_type, config.optimizer.learning_rate) == ("AdamW8bit", 1e-4)
    assert (config.optimizer.unet_lr, config.optimizer.text_encoder_lr) == (1e-4, (5e-5,))
    assert (config.training.max_train_epochs, config.training.seed) == (2, 1234)
    assert (config.model.max_token_length, config.model.clip_skip) == (75, None)
    assert config.captions.caption_extension == ".txt"
    assert config.precision.xformers
    assert notices == []


def test_files_of_2023_keep_their_meaning():
    flat, notices = legacy.translate(read("character_of_2023.json"))
    config = load.from_flat(flat).unwrap()
    assert (config.network.network_dim, config.network.network_alpha, config.network.conv_dim) == (128, 64, None)
    assert (config.network.rank_dropout, config.network.scale_weight_norms) == (0.1, 1)
    assert (config.noise.noise_offset, config.loss.min_snr_gamma) == (0.05, 5)
    assert steps_of(config.optimizer.lr_warmup_steps, 500) == 50
    assert config.training.max_train_epochs == 8
    assert [str(notice) for notice in notices] == [
        "bucket_reso_steps: 1 is too fine, as sizes come in eights, so the usual steps are taken."
    ]


def test_the_untouched_form_of_2026_says_nothing():
    flat, notices = legacy.translate(read("form_of_2026.json"))
    assert notices == []
    assert load.from_flat(flat).problems == []


SAME = {
    "renamed": ({"max_resolution": "512,768", "lora_network_weights": "a.safetensors"},
    {"resolution": "512,768", "network_weights": "a.safetensors"}),
    "empty is not set": ({"lr_scheduler_power": "", "vae": " ", "resume": None}, {}),
    "today's keys": ({"network_args": ["conv_dim=4"]}, {"network_args": ["conv_dim=4"]}),
    "no extension": ({"caption_extension": ""}, {"caption_extension": ".caption"}),
    "8-bit switch": ({"use_8bit_adam": True}, {"optimizer_type": "AdamW8bit"}),
    "8-bit switch off": ({"use_8bit_adam": False}, {}),
    "Lion switch": ({"use_lion_optimizer": True}, {"optimizer_type": "Lion"}),
    "optimizer": ({"optimizer": "Lion", "use_8bit_adam": False}, {"optimizer_type": "Lion"}),
    "optimizer arguments": ({"optimizer_args": "betas=(0.9, 0.99) \n"}, {"optimizer_args": "betas=(0.9, 0.99) \n"}),
    "epochs": ({"epoch": "3", "max_train_steps": 0, "max_train_epochs": 0}, {"max_train_epochs": 3}),
    "steps": ({"epoch": 1, "max_train_steps": "900"}, {"max_train_steps": 900}),
    "limit of epochs": ({"epoch": 5, "max_train_epochs": "5", "max_train_steps": 900}, {"max_train_epochs": 5}),
    "warm-up": ({"lr_scheduler": "cosine", "lr_warmup": "10"}, {"lr_scheduler": "cosine", "lr_warmup_steps": "10%"}),
    "no warm-up": ({"lr_scheduler": "cosine", "lr_warmup": 0, "lr_warmup_steps": 0}, {"lr_scheduler": "cosine"}),
    "warm-up by steps": ({"lr_scheduler": "linear", "lr_warmup": 10, "lr_warmup_steps": 50},
    {"lr_scheduler": "linear", "lr_warmup_steps": 50}),
    "text encoder to the end": ({"network_dim": 8, "stop_text_encoder_training_pct": 0, "stop_text_encoder_training": 0}, {"network_dim": 8}),
    "U-Net alone": ({"unet_lr": 1e-4, "text_encoder_lr": 0}, {"unet_lr": 1e-4, "network_train_unet_only": True}),
    "text encoder alone": ({"unet_lr": "0", "text_encoder_lr": 5e-5}, {"text_encoder_lr": 5e-5,
    "network_train_text_encoder_only": True}),
    "the common rate": ({"learning_rate": 2e-4, "unet_lr": 0, "text_encoder_lr": 0.0}, {"learning_rate": 2e-4}),
    "only rates of parts": ({"learning_rate": 0, "unet_lr": 1e-4, "text_encoder_lr": 5e-5}, {"unet_lr": 1e-4,
    "text_encoder_lr": 5e-5}),
    "noise offset": (
        {"noise_offset_type": "Original", "noise_offset": 0.1, "multires_noise_iterations": 6,
        "multires_noise_discount": 0.8},
        {"noise_offset": 0.1},
    ),
    "multires noise": (
        {"noise_offset_type": "Multires", "noise_offset": 0.1, "adaptive_noise_scale": 0.1,
        "multires_noise_iterations": 6, "multires_noise_discount": 0},
        {"multires_noise_iterations": 6},
    ),
    "standard": ({"LoRA_type": "Standard", "conv_dim": 4, "conv_alpha": 1, "factor": -1},
    {"network_module": "networks.lora"}),
    "LoCon": (
        {"LoRA_type": "Kohya LoCon", "conv_dim": 4, "conv_alpha": 2, "use_cp": False},
        {"network_module": "networks.lora", "conv_dim": 4, "conv_alpha": 2},
    ),
    "LoCon without": ({"LoRA_type": "Kohya LoCon", "conv_dim": 0, "conv_alpha": 1},
    {"network_module": "networks.lora"}),
    "DyLoRA": (
        {"LoRA_type": "Kohya DyLoRA", "conv_dim": 8, "unit": 4, "factor": -1},
        {"network_module": "networks.dylora", "conv_dim": 8, "unit": 4},
    ),
    "LoRA-FA": ({"LoRA_type": "LoRA-FA", "conv_dim": 8, "conv_alpha": 1}, {"network_module": "networks.lora_fa"}),
    "LoHa": (
        {"LoRA_type": "LyCORIS/LoHa", "LyCORIS_preset": "attn-mlp", "conv_dim": 4, "use_cp": True, "use_tucker": False,
         "dora_wd": True, "bypass_mode": True, "factor": -1, "train_on_input": True, "unit": 1, "constrain": 0.0},
        {"network_module": "lycoris.kohya", "algo": "loha", "preset": "attn-mlp", "conv_dim": 4, "use_tucker": False,
         "dora_wd": True},
    ),
    "LoKr": (
        {"LoRA_type": "LyCORIS/LoKr", "factor": 8, "use_cp": True, "decompose_both": True},
        {"network_module": "lycoris.kohya", "algo": "lokr", "factor": 8, "use_tucker": True, "decompose_both": True},
    ),
    "iA3": (
        {"LoRA_type": "LyCORIS/iA3", "train_on_input": True, "network_dim": 8, "network_alpha": 1, "conv_dim": 1},
        {"network_module": "lycoris.kohya", "algo": "ia3", "train_on_input": True},
    ),
    "Diag-OFT": (
        {"LoRA_type": "LyCORIS/Diag-OFT", "network_dim": 8, "network_alpha": 1, "constrain": 0.001, "rescaled": True},
        {"network_module": "lycoris.kohya", "algo": "diag-oft", "network_dim": 8, "constraint": 0.001,
        "rescaled": True},
    ),
    "textual inversion": (
        {"token_string": "cat1", "init_word": "*", "num_vectors_per_token": 4, "weights": "C:/my words/cat1.pt",
         "template": "style template", "stop_text_encoder_training": 0},
        {"method": "textual_inversion", "token_string": "cat1", "init_word": "*", "num_vectors_per_token": 4,
         "weights": "C:/my words/cat1.pt", "use_style_template": True},
    ),
    "textual inversion with captions": ({"token_string": "cat1", "template": "caption"},
    {"method": "textual_inversion", "token_string": "cat1"}),
    "attention by name": ({"xformers": "sdpa"}, {"sdpa": True}),
    "attention by switch": ({"xformers": True}, {"xformers": True}),
    "no attention": ({"xformers": "none"}, {}),
    "compiler": ({"dynamo_backend": "inductor"}, {"dynamo_backend": "inductor", "torch_compile": True}),
    "no compiler": ({"dynamo_backend": "no"}, {}),
    "W&B": ({"use_wandb": "True"}, {"log_with": "wandb"}),
    "hub": ({"resume_from_huggingface": "me/x/state"}, {"resume_from_huggingface": True, "resume": "me/x/state"}),
    "zeros that meant nothing": ({"save_every_n_steps": 0, "clip_skip": 0, "seed": 0, "vae_batch_size": 0,
    "main_process_port": 0}, {}),
    "the last layer": ({"clip_skip": "1"}, {}),
    "another family's fields": ({"flux1_checkbox": False, "clip_l": "x", "sd3_t5xxl": "y"}, {}),
    "fields that went": ({"model_list": "custom", "save_as_bool": False, "lowvram": False}, {}),
    "flags": (
        {"noise_offset": 0.1, "additional_parameters": '--noise_offset=0.2 --no_metadata --lr_scheduler_args '
        '"T_max=10" eta_min=0'},
        {"noise_offset": "0.2", "no_metadata": True, "lr_scheduler_args": ["T_max=10", "eta_min=0"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_what_can_be_carried_over_is_carried_over_without_a_word(case):
    old, expected = SAME[case]
    flat, notices = legacy.translate(old)
    assert flat == expected
    assert notices == []
    assert [key for key in flat if key not in load.parameters()] == []


SAID = {
    "epochs that never counted": (
        {"epoch": 10, "max_train_steps": 1600}, {"max_train_steps": 1600},
        "epoch: max_train_steps is 1600, which decided in kohya_ss too, so the 10 epochs were left out.",
    ),
    "two numbers of epochs": (
        {"epoch": 10, "max_train_epochs": 4}, {"max_train_epochs": 4},
        "epoch: max_train_epochs is 4, which decided in kohya_ss too, so 10 was left out.",
    ),
    "warm-up of a constant rate": (
        {"lr_scheduler": "constant", "lr_warmup": 10}, {"lr_scheduler": "constant"},
        "lr_warmup: The schedule constant had no warm-up, so the 10% of the file were left out.",
    ),
    "text encoder for a part": (
        {"network_dim": 8, "stop_text_encoder_training_pct": 30}, {"network_dim": 8, "stop_text_encoder_training": "30%"},
        "stop_text_encoder_training: The text encoder stops at 30% of the run; kohya_ss ignored this for LoRA.",
    ),
    "text encoder not at all": (
        {"network_dim": 8, "stop_text_encoder_training": -1}, {"network_dim": 8, "network_train_unet_only": True},
        "stop_text_encoder_training: It is below 0, which stood for not training the text encoder at all.",
    ),
    "zero gradient norm": (
        {"max_grad_norm": 0}, {"max_grad_norm": 0},
        "max_grad_norm: It is 0, as the file says; kohya_ss lost the 0 and trained with 1.",
    ),
    "zero prior": (
        {"prior_loss_weight": 0.0}, {"prior_loss_weight": 0.0},
        "prior_loss_weight: It is 0, as the file says; kohya_ss lost the 0 and trained with 1.",
    ),
    "no such network": (
        {"LoRA_type": "LyCORIS/LoNothing", "factor": 4}, {"network_module": "networks.lora"},
        "LoRA_type: LyCORIS/LoNothing networks can't be trained here, so LoRA was chosen.",
    ),
    "LoKr's small matrix": (
        {"LoRA_type": "LyCORIS/LoKr", "decompose_both": False},
        {"network_module": "lycoris.kohya", "algo": "lokr", "use_tucker": False, "decompose_both": False},
        "decompose_both: It is off, as the file says; kohya_ss trained with it on all the same.",
    ),
    "fp8": (
        {"mixed_precision": "fp8"}, {},
        "mixed_precision: fp8 is nothing to compute in, so it was left out; choose fp16 or bf16, with fp8_base "
        "to save memory.",
    ),
    "secret": (
        {"wandb_api_key": "abc"}, {}, "wandb_api_key: It is a secret, which is not taken from files; type it in.",
    ),
    "another family": (
        {"flux1_checkbox": True, "clip_l": "x"}, {},
        "The file is for Flux.1 models, which can't be trained here; what only they have was left out.",
    ),
    "another method": (
        {"prompts_file": "a.yaml", "leco_denoise_guidance_scale": 3}, {},
        "The file comes from LECO, which can't be trained here, so what only it has was left out: prompts_file, "
        "leco_denoise_guidance_scale.",
    ),
    "dropout of textual inversion": (
        {"template": "caption", "caption_dropout_rate": 0.1}, {"method": "textual_inversion"},
        "caption_dropout_rate: kohya_ss showed it for textual inversion and never used it, so it was left out.",
    ),
    "inpainting": ({"train_inpainting": True}, {}, "train_inpainting: Inpainting models can't be trained here, "
    "so it was left out."),
    "two optimizers": (
        {"optimizer": "Prodigy", "use_8bit_adam": True}, {"optimizer_type": "Prodigy"},
        "use_8bit_adam: The file chooses the optimizer Prodigy too, which is taken.",
    ),
    "stray word": (
        {"additional_parameters": "noise --lowram"}, {"lowram": True},
        "additional_parameters: 'noise' belongs to no flag, so it was left out.",
    ),
    "open quotation": (
        {"additional_parameters": '--a "b'}, {}, "additional_parameters: A quotation mark is missing in '--a "
        "\"b', so it was left out.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_can_not_be_carried_over_is_said_in_a_sentence(case):
    old, expected, sentence = SAID[case]
    flat, notices = legacy.translate(old)
    assert [str(notice) for notice in notices] == [sentence]
    assert flat == expected
    assert not notices[0].stops


def test_an_unknown_key_is_left_for_the_loader_to_name():
    flat, _ = legacy.translate({"learning_rat": 1e-3})
    (notice,) = load.from_flat(flat, strict=False).problems
    assert str(notice) == "learning_rat: There is no such setting. Did you mean learning_rate?"


def test_a_number_that_is_none_is_left_for_the_loader_to_name():
    flat, _ = legacy.translate({"max_train_steps": "many"})
    (problem,) = load.from_flat(flat, strict=False).problems
    assert str(problem) == "max_train_steps: 'many' is not a whole number."


def test_the_file_itself_is_left_as_it_was():
    old = read("form_of_2026.json")
    legacy.translate(old)
    assert old == read("form_of_2026.json")


def test_a_batch_size_of_the_preparations_is_none_of_training():
    assert legacy.translate({"batch_size": 4, "image_folder": "a"})[0].keys() == {"method", "train_data_dir"}
    flat, notices = legacy.translate({"batch_size": 4, "network_dim": 8})
    assert (flat, [str(notice) for notice in notices]) == ({"network_dim": 8}, [
        "batch_size: It is of kohya_ss's preparations for fine-tuning, so it was left out; "
        "training has train_batch_size."
    ])  # fmt: skip


def test_every_key_that_kohya_ss_ever_had_is_known():
    """On its own and switched on, each key is translated or spoken of; none comes out as an unknown setting."""
    names = (FIXTURES / "names" / "kohya_lora.txt").read_text().split()
    names += [line.split("\t")[1] for line in (FIXTURES / "names" / "kohya_other.txt").read_text().splitlines()]
    for name in names:
        flat, _ = legacy.translate({name: 1})
        assert [key for key in flat if key not in load.parameters()] == [], name


PAGES = {
    "DreamBooth": (
        {"learning_rate": 1e-5, "learning_rate_te": 5e-6, "learning_rate_te1": 1e-5, "learning_rate_te2": 1e-5, "sdxl": False,
         "save_model_as": "safetensors", "fused_optimizer_groups": 0},
        {"method": "dreambooth", "sdxl": False, "learning_rate": 1e-5, "text_encoder_lr": 5e-6, "save_model_as": "safetensors"},
    ),
    "DreamBooth of SDXL": (
        {"learning_rate_te": 1e-5, "learning_rate_te1": 3e-6, "learning_rate_te2": 0, "sdxl": True, "stop_text_encoder_training": 0},
        {"method": "dreambooth", "sdxl": True, "text_encoder_lr": [3e-6, 0]},
    ),
    "DreamBooth of SDXL without text encoders": (
        {"learning_rate_te1": 0, "learning_rate_te2": 0, "sdxl": True},
        {"method": "dreambooth", "sdxl": True, "train_text_encoder": False},
    ),
    "DreamBooth, stopping": (
        {"learning_rate_te": 1e-6, "stop_text_encoder_training": 80},
        {"method": "dreambooth", "text_encoder_lr": 1e-6, "stop_text_encoder_training": "80%"},
    ),
    "DreamBooth, never": (
        {"stop_text_encoder_training": -1, "save_model_as": "same as source model", "pretrained_model_name_or_path": "a/b.ckpt"},
        {"method": "dreambooth", "train_text_encoder": False, "save_model_as": "ckpt", "pretrained_model_name_or_path": "a/b.ckpt"},
    ),
    "fine-tuning": (
        {"train_dir": "lists", "image_folder": "pictures", "caption_metadata_filename": "cap.json", "use_latent_files": "No",
         "train_text_encoder": True, "learning_rate_te": 1e-6, "dataset_repeats": "3"},
        {"method": "finetune", "in_json": "lists/cap.json", "train_data_dir": "pictures", "train_text_encoder": True,
         "text_encoder_lr": 1e-6, "dataset_repeats": "3"},
    ),
    "fine-tuning of SDXL": (
        {"image_folder": "pictures", "sdxl_checkbox": True, "learning_rate_te1": 1e-6, "learning_rate_te2": 2e-6, "block_lr": ""},
        {"method": "finetune", "sdxl": True, "train_data_dir": "pictures", "train_text_encoder": True, "text_encoder_lr": [1e-6, 2e-6]},
    ),
    "a network's file": ({"LoRA_type": "Standard", "stop_text_encoder_training": 30}, None),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), PAGES.values(), ids=PAGES)
def test_files_of_the_pages_for_whole_models(old, new):
    flat, _ = legacy.translate(old)
    assert flat == new if new else flat.get("method") is None
    assert [str(problem) for problem in load.from_flat(flat).problems if problem.stops] == []


def test_what_kohya_ss_did_otherwise_is_said():
    _, notices = legacy.translate({"learning_rate_te": 1e-6, "stop_text_encoder_training": 80})
    assert [str(notice) for notice in notices] == [
        "stop_text_encoder_training: The text encoder stops at 80% of the run; kohya_ss took it for a number of steps."
    ]


def test_rates_of_text_encoders_come_as_one_list_from_everywhere():
    flat = {"sdxl": True, "method": "finetune", "train_text_encoder": True, "learning_rate": 2e-6, "resolution": 1024}
    for given, rates in (
        ({"learning_rate_te1": 1e-6, "learning_rate_te2": 3e-6}, (1e-6, 3e-6)),
        ({"learning_rate_te2": "3e-6"}, (2e-6, 3e-6)),
        ({"learning_rate_te1": None, "learning_rate_te2": ""}, ()),
    ):
        assert load.from_flat({**flat, **given}).unwrap().optimizer.text_encoder_lr == rates
    both = load.from_flat({**flat, "text_encoder_lr": 1e-6, "learning_rate_te1": 1e-6})
    assert [problem.key for problem in both.errors] == ["learning_rate_te1"]
