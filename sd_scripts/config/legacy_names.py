"""kohya_ss's keys that have no place of their own here: whose they are, or why they are gone."""

from __future__ import annotations

FAMILIES: dict[str, tuple[str, ...]] = {
    "Flux.1": (
        "flux1_checkbox", "flux1_cache_text_encoder_outputs", "flux1_cache_text_encoder_outputs_to_disk",
        "flux1_clip_l", "flux1_t5xxl", "flux_fused_backward_pass", "blockwise_fused_optimizers", "model_type", "ae",
        "clip_l", "t5xxl", "t5xxl_lr", "discrete_flow_shift", "model_prediction_type", "timestep_sampling",
        "split_mode", "train_blocks", "t5xxl_max_token_length", "enable_all_linear", "guidance_scale",
        "mem_eff_save", "apply_t5_attn_mask", "split_qkv", "train_t5xxl", "blocks_to_swap", "single_blocks_to_swap",
        "double_blocks_to_swap", "show_timesteps", "show_timesteps_resolution", "img_attn_dim", "img_mlp_dim",
        "img_mod_dim", "single_dim", "txt_attn_dim", "txt_mlp_dim", "txt_mod_dim", "single_mod_dim", "in_dims",
        "train_double_block_indices", "train_single_block_indices", "train_lora_ggpo", "ggpo_sigma", "ggpo_beta",
    ),
    "SD3": (
        "sd3_checkbox", "sd3_cache_text_encoder_outputs", "sd3_cache_text_encoder_outputs_to_disk",
        "sd3_fused_backward_pass", "clip_g", "clip_g_dropout_rate", "sd3_clip_l", "sd3_clip_l_dropout_rate",
        "sd3_disable_mmap_load_safetensors", "sd3_enable_scaled_pos_embed", "logit_mean", "logit_std", "mode_scale",
        "pos_emb_random_crop_rate", "save_clip", "save_t5xxl", "sd3_t5_dropout_rate", "sd3_t5xxl", "t5xxl_device",
        "t5xxl_dtype", "sd3_text_encoder_batch_size", "weighting_scheme",
    ),
    "HunyuanImage-2.1": (
        "hunyuan_image_checkbox", "hunyuan_image_cache_text_encoder_outputs",
        "hunyuan_image_cache_text_encoder_outputs_to_disk", "hunyuan_text_encoder", "hunyuan_byt5", "hunyuan_vae",
        "hunyuan_discrete_flow_shift", "hunyuan_model_prediction_type", "hunyuan_timestep_sampling",
        "hunyuan_sigmoid_scale", "hunyuan_attn_mode", "hunyuan_split_attn", "hunyuan_fp8_scaled", "hunyuan_fp8_vl",
        "hunyuan_text_encoder_cpu", "hunyuan_vae_chunk_size",
    ),
    "Anima": (
        "anima_checkbox", "anima_cache_text_encoder_outputs", "anima_cache_text_encoder_outputs_to_disk",
        "anima_qwen3", "anima_vae", "anima_llm_adapter_path", "anima_t5_tokenizer_path", "anima_discrete_flow_shift",
        "anima_timestep_sampling", "anima_sigmoid_scale", "anima_qwen3_max_token_length",
        "anima_t5_max_token_length", "anima_attn_mode", "anima_split_attn", "anima_vae_chunk_size",
        "anima_vae_disable_cache", "anima_unsloth_offload_checkpointing", "anima_qwen_image_vae_2d", "anima_compile",
        "anima_torch_compile", "anima_compile_backend", "anima_compile_mode", "anima_compile_dynamic",
        "anima_compile_fullgraph", "anima_compile_cache_size_limit",
    ),
    "Lumina": (
        "lumina_checkbox", "lumina_cache_text_encoder_outputs", "lumina_cache_text_encoder_outputs_to_disk",
        "lumina_gemma2", "lumina_ae", "lumina_discrete_flow_shift", "lumina_model_prediction_type",
        "lumina_timestep_sampling", "lumina_sigmoid_scale", "lumina_gemma2_max_token_length", "lumina_system_prompt",
        "lumina_use_flash_attn", "lumina_use_sage_attn",
    ),
    "SDXL": (
        "sdxl", "sdxl_checkbox", "sdxl_cache_text_encoder_outputs", "sdxl_no_half_vae",
        "disable_mmap_load_safetensors", "fused_backward_pass", "fused_optimizer_groups", "learning_rate_te1",
        "learning_rate_te2", "block_lr", "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk",
    ),
}  # fmt: skip
"""Model family -> the keys that only it reads. The first is the checkbox that chooses it."""

METHODS: dict[str, tuple[str, ...]] = {
    "LECO": ("prompts_file", "max_denoising_steps", "leco_denoise_guidance_scale"),
    "ControlNet-LLLite": (
        "cond_emb_dim", "lllite_mlp_dim", "lllite_target_layers", "lllite_cond_dim", "lllite_cond_resblocks",
        "lllite_use_aspp", "lllite_dropout", "lllite_multiplier", "lllite_cond_in_channels",
        "lllite_inpaint_masked_input",
    ),
}  # fmt: skip
"""Kind of training that can't be done here -> the keys that only its page of kohya_ss has."""

TEMPLATES = {"object template": "use_object_template", "style template": "use_style_template"}
"""Choice of kohya_ss's page for textual inversion -> the setting it stands for. "caption" stands for none."""

NETWORKS = {
    "Standard": ("networks.lora", None),
    "Kohya LoCon": ("networks.lora", None),
    "Kohya DyLoRA": ("networks.dylora", None),
    "Kohya LoHa": ("networks.loha", None),
    "Kohya LoKr": ("networks.lokr", None),
    "LoRA-FA": ("networks.lora_fa", None),
    "LoCon": ("lycoris.kohya", "locon"),
    "LyCORIS/LoCon": ("lycoris.kohya", "locon"),
    "LyCORIS/LoHa": ("lycoris.kohya", "loha"),
    "LyCORIS/LoKr": ("lycoris.kohya", "lokr"),
    "LyCORIS/DyLoRA": ("lycoris.kohya", "dylora"),
    "LyCORIS/iA3": ("lycoris.kohya", "ia3"),
    "LyCORIS/BOFT": ("lycoris.kohya", "boft"),
    "LyCORIS/Diag-OFT": ("lycoris.kohya", "diag-oft"),
    "LyCORIS/GLoRA": ("lycoris.kohya", "glora"),
    "LyCORIS/Native Fine-Tuning": ("lycoris.kohya", "full"),
}
"""LoRA_type -> network module, and the algorithm where the module has several."""

WITHOUT_CONVOLUTIONS = ("Standard", "LoRA-FA")
"""LoRA_types whose convolution settings never reached the engine."""

GONE = {
    "model_list": "a hidden field of the form",
    "save_as": "an internal value of the form that leaked into files",
    "save_as_bool": "an internal value of the form that leaked into files",
    "training_preset": "the name of a preset, which is never saved",
    "lowvram": "it did nothing any more",
    "bypass_mode": "weights are never overwritten here, so the result is the same with and without it",
}
"""Keys without any meaning -> what they were."""

NOT_HERE = {
    "train_inpainting": "Inpainting models can't be trained here, so it was left out.",
}
"""Switches that matter when they are on -> what is said then."""

RENAMED = {
    "max_resolution": "resolution",
    "optimizer": "optimizer_type",
    "caption_extention": "caption_extension",
    "lora_network_weights": "network_weights",
    "conv_dims": "conv_block_dims",
    "conv_alphas": "conv_block_alphas",
    "learning_rate_te": "text_encoder_lr",
    "sdxl_checkbox": "sdxl",
    "scheduler_args": "lr_scheduler_args",
    "LyCORIS_preset": "preset",
    "constrain": "constraint",
}
"""Old name -> new name, with the same meaning."""

EMPTY_AT_ZERO = (
    "save_every_n_epochs", "save_every_n_steps", "save_n_epoch_ratio", "save_last_n_epochs",
    "save_last_n_epochs_state", "save_last_n_steps", "save_last_n_steps_state", "sample_every_n_epochs",
    "sample_every_n_steps", "max_train_epochs", "clip_skip", "vae_batch_size", "max_timestep", "main_process_port",
    "loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio", "multires_noise_discount",
    "huber_c", "huber_scale", "conv_dim", "conv_alpha", "lr_scheduler_num_cycles", "lr_scheduler_power", "seed",
    "min_bucket_reso", "max_bucket_reso", "network_alpha", "fused_optimizer_groups",
)  # fmt: skip
"""Keys where 0 stood for "not set"."""

HONOURED_AT_ZERO = {"max_grad_norm": 1, "prior_loss_weight": 1}
"""Keys where kohya_ss dropped a 0 on its way to the engine -> what it trained with then."""

SECRETS = ("huggingface_token", "wandb_api_key")
