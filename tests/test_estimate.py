"""What a run needs is told before it starts, and is so afterwards."""

from __future__ import annotations

import pytest
from PIL import Image

from sd_scripts import estimate, plan, sizes
from sd_scripts.config import load

SMALL = {"resolution": "64", "min_bucket_reso": 32, "bucket_reso_steps": 16, "max_data_loader_n_workers": 0, "seed": 1}
LYCORIS = {"network_module": "lycoris.kohya"}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Three images of two shapes, four times an epoch."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "images" / "4_cat"
    folder.mkdir(parents=True)
    for number, size in enumerate([(64, 64), (64, 64), (96, 48)]):
        Image.new("RGB", size).save(folder / f"{number}.png")

    def make(**settings):
        config = load.from_flat({**SMALL, "train_data_dir": str(folder.parent), **settings}).unwrap()
        return config, plan.make(config)

    return make


@pytest.fixture(scope="module")
def family():
    from sd_scripts.families import load_family

    config = load.from_flat({}).unwrap()
    return load_family(config.model, config.precision)


@pytest.mark.parametrize("network", [
    {"network_dim": 4}, {"network_dim": 8, "network_train_unet_only": True},
    {"network_dim": 3, "network_train_text_encoder_only": True}, {"network_dim": 4, "conv_dim": 2},
    {"network_module": "networks.dylora", "network_dim": 4, "unit": 2}, {"network_module": "networks.loha", "network_dim": 4},
    {"network_dim": 4, "text_encoder_lr": [0.0], "learning_rate": 1e-4},
])  # fmt: skip
def test_as_many_numbers_are_trained_as_were_told(family, network, planned):
    from sd_scripts import methods

    config, _ = planned(**network)
    method = methods.create(config, family, 1)
    try:
        stored = sum(
            tensor.numel() for key, tensor in method.state_dict().items() if not key.endswith(("alpha", "scale"))
        )
    finally:
        method.adapters.detach()
    assert config.method_kind.trained_numbers(config, sizes.of_model("sd_scripts/starter/model", "sd1")) == stored


@pytest.mark.parametrize(("settings", "numbers"), [
    ({"num_vectors_per_token": 3}, 3 * 96), ({"token_string": "cat1 cat2"}, 2 * 96), ({"xti": True}, 16 * 96),
])  # fmt: skip
def test_a_new_word_is_a_few_vectors_and_so_is_its_file(planned, settings, numbers):
    word = {"method": "textual_inversion", "token_string": "cat1", "init_word": "cat", "use_object_template": True}
    config, made = planned(**{**word, **settings})
    found = sizes.of_model("sd_scripts/starter/model", "sd1")
    assert config.method_kind.trained_numbers(config, found) == numbers
    assert estimate.disk(config, made, found, numbers).file == 4 * numbers


def test_a_moving_average_is_kept_in_32_bits_beside_halved_weights(planned):
    flags = {"method": "finetune", "mixed_precision": "bf16", "full_bf16": True, "save_state": True}
    plain, averaged = (estimate.of(*planned(**flags, ema=ema)) for ema in (False, True))
    assert averaged.memory.trained - plain.memory.trained == 4 * plain.trained
    assert averaged.disk.state - plain.disk.state == 4 * plain.trained


@pytest.mark.parametrize("settings", [
    {"method": "dreambooth"}, {"method": "finetune"}, {"method": "dreambooth", "unet_lr": 0.0},
    {"method": "textual_inversion", "token_string": "bloopy", "num_vectors_per_token": 3},
])  # fmt: skip
def test_other_methods_train_as_many_numbers_as_were_told(settings, planned):
    from sd_scripts import methods
    from sd_scripts.families import load_family

    config, made = planned(**settings)
    method = methods.create(config, load_family(config.model, config.precision), 1)
    trained = {id(p): p.numel() for group in method.trainable_groups() for p in group["params"] if p.requires_grad}
    found = estimate.of(config, made)
    assert found.trained == sum(trained.values())
    whole = sizes.of_model("sd_scripts/starter/model", "sd1").parameters
    assert found.disk.file == 4 * (found.trained if settings["method"] == "textual_inversion" else whole)


@pytest.mark.parametrize("network", [
    {**LYCORIS, "algo": "lokr"}, {**LYCORIS, "algo": "boft", "network_dim": 4}, {**LYCORIS, "preset": "attn-only"},
    {"network_dim": 4, "block_dims": [4] * 25}, {"dim_from_weights": True, "network_weights": "x.safetensors"},
])  # fmt: skip
def test_what_is_not_a_simple_sum_is_not_guessed(network, planned):
    config, made = planned(**network)
    found = estimate.of(config, made)
    assert (found.trained, found.disk, found.memory) == (None, None, None)


@pytest.mark.parametrize("rank, expected", [(128, 151), (32, 38)])
def test_files_have_the_sizes_that_people_know(rank, expected):
    """In MB, of Stable Diffusion 1.5 in half precision."""
    config = load.from_flat({"network_dim": rank}).unwrap()
    assert round(config.method_kind.trained_numbers(config, sizes.of_family("sd1")) * 2 / 1e6) == expected


@pytest.mark.parametrize("settings, files, states", [
    ({}, 1, 0),
    ({"save_every_n_steps": 10}, 11, 0),
    ({"save_every_n_steps": 10, "save_last_n_steps": 20}, 4, 0),
    ({"max_train_epochs": 8, "save_every_n_epochs": 2}, 4, 0),
    ({"max_train_epochs": 8, "save_every_n_epochs": 1, "save_last_n_epochs": 3}, 4, 0),
    ({"max_train_epochs": 8, "save_n_epoch_ratio": 4}, 4, 0),
    ({"save_state_on_train_end": True}, 1, 1),
    ({"save_state": True, "save_every_n_steps": 25}, 5, 5),
    ({"save_state": True, "save_every_n_steps": 10, "save_last_n_steps_state": 10}, 11, 3),
])  # fmt: skip
def test_files_are_counted_as_they_are_left(planned, settings, files, states):
    config, made = planned(**{"max_train_steps": 100, **settings})
    assert estimate.kept(config.saving, made) == (files, states)


def test_the_files_counted_are_those_the_engine_keeps():
    from sd_scripts.training.checkpoints import epoch_to_remove, step_to_remove

    for every, keep, total in [(10, 20, 100), (10, 25, 97), (7, 7, 50), (3, 1, 20)]:
        left = set()
        for step in range(every, total + 1, every):
            left = (left | {step}) - {step_to_remove(step, every, keep)}
        saving = load.from_flat({"save_every_n_steps": every, "save_last_n_steps": keep}).unwrap().saving
        made = plan.Plan((), (), 1, 1, 1, total, 0, True)
        assert estimate.kept(saving, made)[0] - 1 == len(left), (every, keep, total)
    for every, keep, epochs in [(1, 3, 9), (2, 2, 9), (3, 1, 10)]:
        left = set()
        for epoch in range(every, epochs, every):
            left = (left | {epoch}) - {epoch_to_remove(epoch, every, keep)}
        settings = {"save_every_n_epochs": every, "save_last_n_epochs": keep}
        made = plan.Plan((), (), 1, 1, epochs, 100, 0, False)
        assert estimate.kept(load.from_flat(settings).unwrap().saving, made)[0] - 1 == len(left), (every, keep, epochs)


def test_cached_latents_take_their_room(planned):
    """Two of 16 x 16 and one of 20 x 12 latents of 4 numbers in 4 bytes: 96 x 48 pixels are trained as 80 x 48."""
    numbers = 4 * (2 * 16 * 16 + 20 * 12)
    for settings, expected in [
        ({}, 0),
        ({"cache_latents": True}, 0),
        ({"cache_latents_to_disk": True}, 4 * numbers),
        ({"cache_latents_to_disk": True, "flip_aug": True}, 8 * numbers),
    ]:
        _, made = planned(**settings)
        assert estimate.latents(made, 4) == expected


def changed(planned, base, **settings):
    found = [estimate.of(*planned(**{**base, **extra})).memory for extra in ({}, settings)]
    return found[1].bytes / found[0].bytes


def test_memory_follows_what_it_depends_on(planned):
    base = {"train_batch_size": 4}
    assert changed(planned, base, train_batch_size=8) > 1.3
    assert changed(planned, base, gradient_checkpointing=True) < 0.9
    assert changed(planned, base, mixed_precision="bf16") < 0.9
    assert changed(planned, {"network_dim": 64}, optimizer_type="AdamW8bit") < 0.95
    assert changed(planned, base, cache_latents=True) < 1


def test_the_numbers_kept_for_going_back_are_those_that_autograd_keeps(family, planned):
    """Of the starter model in 32 bits: within a fifth."""
    import torch

    config, made = planned(train_batch_size=2)
    ids = {parameter.untyped_storage().data_ptr() for parameter in family.unet.parameters()}
    seen = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ids:
            seen[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    latents, text = torch.zeros(2, 4, 16, 16), torch.zeros(2, 77, 96)
    family.unet.requires_grad_(True)
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            family.unet(latents, torch.zeros(2, dtype=torch.long), text)
    finally:
        family.unet.requires_grad_(False)
    measured = sum(count for count, _ in seen.values())
    told = estimate.pictures(config, made, sizes.of_model("sd_scripts/starter/model", "sd1"))
    assert told == pytest.approx(measured, rel=0.2)


def test_time_follows_from_the_pace_of_earlier_runs(planned, tmp_path, monkeypatch):
    config, made = planned(max_train_steps=300)
    assert estimate.of(config, made, tmp_path).seconds is None
    monkeypatch.setattr(estimate.history, "pace", lambda *_: estimate.history.Pace(1.5, "before"))
    assert estimate.of(config, made, tmp_path).seconds == 200
