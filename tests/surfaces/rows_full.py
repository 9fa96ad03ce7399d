"""Training the model itself."""

from __future__ import annotations

from acting import Row

FULL = {"method": "dreambooth", "learning_rate": 1e-4}

ROWS = {
    "method": Row("dreambooth", "network optimizer"),
    "train_text_encoder": Row(False, "network optimizer rates", FULL),
    "ema": Row(True, "network after_steps", FULL),
    "ema_decay": Row(0.05, "after_steps", {**FULL, "ema": True}),
    "fused_backward_pass": Row(True, "optimizer rates rules", FULL),
    "fused_optimizer_groups": Row(3, "optimizer rates rules", FULL),
}
