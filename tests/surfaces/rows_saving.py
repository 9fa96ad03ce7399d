"""What is kept, drawn and told, and how processes are started."""

from __future__ import annotations

from acting import Row

BY_EPOCH = {"save_every_n_epochs": 1}
BY_STEP = {"save_every_n_steps": 2}
HUB = {"huggingface_repo_id": "me/mine"}
PROMPT = {"sample_prompts": "a ball"}
CURVES = {"logging_dir": "@logs"}

ROWS = {
    "output_dir": Row("@elsewhere", "saves"),
    "output_name": Row("called", "saves"),
    "save_model_as": Row("ckpt", "file saves"),
    "save_precision": Row("fp16", "file"),
    "save_every_n_epochs": Row(1, "saves"),
    "save_every_n_steps": Row(2, "saves"),
    "save_n_epoch_ratio": Row(2, "saves"),
    "save_last_n_epochs": Row(1, "saves", BY_EPOCH),
    "save_last_n_epochs_state": Row(1, "saves", BY_EPOCH | {"save_state": True}),
    "save_last_n_steps": Row(4, "saves", BY_STEP),
    "save_last_n_steps_state": Row(4, "saves", BY_STEP | {"save_state": True}),
    "save_state": Row(True, "saves", BY_STEP),
    "save_state_on_train_end": Row(True, "saves"),
    "resume": Row("@state", "resuming"),
    "training_comment": Row("words", "metadata"),
    "no_metadata": Row(True, "metadata"),
    "metadata_title": Row("words", "metadata"),
    "metadata_author": Row("words", "metadata"),
    "metadata_description": Row("words", "metadata"),
    "metadata_license": Row("words", "metadata"),
    "metadata_tags": Row("words", "metadata"),
    "metadata_usage_hint": Row("words", "metadata"),
    "metadata_thumbnail": Row("@thumb.png", "metadata"),
    "metadata_merged_from": Row("words", "metadata"),
    "metadata_trigger_phrase": Row("words", "metadata"),
    "metadata_preprocessor": Row("words", "metadata"),
    "metadata_is_negative_embedding": Row("true", "metadata"),
    "huggingface_repo_id": Row("me/mine", "saves"),
    "huggingface_repo_type": Row("dataset", "saves", HUB),
    "huggingface_path_in_repo": Row("inside", "saves", HUB),
    "huggingface_token": Row("hush", "processes saves", HUB),
    "huggingface_repo_visibility": Row("public", "saves", HUB),
    "save_state_to_huggingface": Row(True, "saves", HUB | {"save_every_n_steps": 2, "save_state": True}),
    "resume_from_huggingface": Row(True, "resuming saves", {"resume": "@state"}),
    "async_upload": Row(True, "saves", HUB | {"save_every_n_steps": 2}),
    "sample_prompts": Row("a cat", "samples", PROMPT | {"sample_every_n_steps": 4}),
    "sample_every_n_epochs": Row(2, "samples", PROMPT),
    "sample_every_n_steps": Row(4, "samples", PROMPT),
    "sample_at_first": Row(True, "samples", PROMPT),
    "sample_sampler": Row("euler", "samples"),
    "logging_dir": Row("@logs", "logs"),
    "log_with": Row("wandb", "logs"),
    "log_prefix": Row("pre", "logs", CURVES),
    "log_tracker_name": Row("other", "logs", CURVES),
    "log_tracker_config": Row("@tracker.toml", "logs", CURVES),
    "wandb_run_name": Row("other", "logs", {"log_with": "wandb"}),
    "wandb_api_key": Row("hush", "logs processes", {"log_with": "wandb"}),
    "log_config": Row(True, "logs", CURVES),
    "debug_dataset": Row(True, "run"),
    "run_dir": Row("@another", "run"),
    "console_log_level": Row("WARNING", "logs"),
    "console_log_file": Row("@console.txt", "logs"),
    "num_processes": Row(2, "processes"),
    "multi_gpu": Row(True, "processes"),
    "gpu_ids": Row("1", "processes"),
    "num_machines": Row(2, "processes", {"num_processes": 2, "main_process_ip": "10.0.0.1"}),
    "machine_rank": Row(1, "processes", {"num_processes": 2, "num_machines": 2, "main_process_ip": "10.0.0.1"}),
    "main_process_ip": Row(
        "10.0.0.2", "processes", {"num_processes": 2, "num_machines": 2, "main_process_ip": "10.0.0.1"}
    ),
    "main_process_port": Row(1234, "processes"),
    "num_cpu_threads_per_process": Row(3, "processes"),
    "extra_accelerate_launch_args": Row(["--quiet"], "processes"),
    "ddp_timeout": Row(5, "processes"),
}
