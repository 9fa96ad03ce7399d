"""What is learned from a picture, and in how much memory."""

from __future__ import annotations

from acting import Row

VELOCITY = {"v_parameterization": True}
BF16 = {"mixed_precision": "bf16"}
COMPILED = {"torch_compile": True}

ROWS = {
    "noise_offset": Row(0.1, "objective"),
    "noise_offset_random_strength": Row(True, "objective", {"noise_offset": 0.1}),
    "adaptive_noise_scale": Row(0.2, "objective", {"noise_offset": 0.1}),
    "multires_noise_iterations": Row(3, "objective"),
    "multires_noise_discount": Row(0.8, "objective", {"multires_noise_iterations": 3}),
    "ip_noise_gamma": Row(0.1, "objective"),
    "ip_noise_gamma_random_strength": Row(True, "objective", {"ip_noise_gamma": 0.1}),
    "zero_terminal_snr": Row(True, "objective samples", VELOCITY),
    "min_timestep": Row(900, "objective"),
    "max_timestep": Row(100, "objective"),
    "loss_type": Row("l1", "objective"),
    "huber_schedule": Row("constant", "objective", {"loss_type": "huber"}),
    "huber_c": Row(0.5, "objective", {"loss_type": "smooth_l1"}),
    "huber_scale": Row(2.0, "objective", {"loss_type": "huber", "huber_schedule": "exponential"}),
    "min_snr_gamma": Row(1.0, "objective"),
    "scale_v_pred_loss_like_noise_pred": Row(True, "objective", VELOCITY),
    "v_pred_like_loss": Row(0.1, "objective"),
    "debiased_estimation_loss": Row(True, "objective"),
    "masked_loss": Row(False, "refused", {"dataset_config": "@masked.toml", "masked_loss": True}),
    "prior_loss_weight": Row(0.5, "batches", {"reg_data_dir": "@reg"}),
    "mixed_precision": Row("bf16", "memory model network processes text"),
    "full_fp16": Row(True, "file memory network", {"mixed_precision": "fp16"}),
    "full_bf16": Row(True, "file memory network", BF16),
    "fp8_base": Row(True, "memory model network text", BF16),
    "fp8_base_unet": Row(True, "memory model network", BF16),
    "gradient_checkpointing": Row(True, "memory"),
    "cpu_offload_checkpointing": Row(True, "memory", {"gradient_checkpointing": True}),
    "sdpa": Row(True, "model", {"mem_eff_attn": True}),
    "xformers": Row(True, "model"),
    "mem_eff_attn": Row(True, "model"),
    "highvram": Row(True, "memory", {"cache_latents": True}),
    "torch_compile": Row(True, "memory"),
    "dynamo_backend": Row("eager", "memory", COMPILED),
    "dynamo_mode": Row("max-autotune", "memory", COMPILED),
    "dynamo_use_fullgraph": Row(True, "memory", COMPILED),
    "dynamo_use_dynamic": Row(True, "memory", COMPILED),
}
