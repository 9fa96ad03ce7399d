"""Captions that are encoded once."""

from __future__ import annotations

from acting import Row

UNET_ONLY = {"network_train_unet_only": True}

ROWS = {
    "cache_text_encoder_outputs": Row(True, "caching memory", UNET_ONLY),
    "cache_text_encoder_outputs_to_disk": Row(True, "caching memory", UNET_ONLY),
    "text_encoder_batch_size": Row(3, "caching", UNET_ONLY | {"cache_text_encoder_outputs": True}),
}
