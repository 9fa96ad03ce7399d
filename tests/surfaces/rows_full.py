"""Training the model itself."""

from __future__ import annotations

from acting import Row

FULL = {"method": "dreambooth", "learning_rate": 1e-4}
SDXL = {"method": "finetune", "sdxl": True, "pretrained_model_name_or_path": "@sdxl", "learning_rate": 1e-5}

ROWS = {
    "method": Row("finetune", "network optimizer rates"),
    "train_text_encoder": Row(False, "network optimizer rates", FULL),
    "block_lr": Row([1e-5, *[0] * 21, 1e-6], "network optimizer rates", SDXL),
    "ema": Row(True, "network after_steps", FULL),
    "ema_decay": Row(0.05, "after_steps", {**FULL, "ema": True}),
    "fused_backward_pass": Row(True, "optimizer rates rules", FULL),
    "fused_optimizer_groups": Row(3, "optimizer rates rules", FULL),
}
