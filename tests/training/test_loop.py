"""A training from the command line to the saved file, on a model too small to learn anything."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sd_scripts.data.dataset import BatchMaker


def test_a_run_tells_its_course_and_saves_the_network(train: Any) -> None:
    ended = train()
    assert ended.code == 0
    assert ended.states == ["starting", "loading", "training", "saving", "done"]
    (plan,) = ended.of("plan")
    assert (plan["total_steps"], plan["epochs"], plan["batches_per_epoch"]) == (6, 2, 3)
    assert [(event["step"], event["epoch"]) for event in ended.of("step")] == [
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 2),
        (5, 2),
        (6, 2),
    ]
    assert ended.of("step")[0]["lr"] == {"text_encoder": 1e-3, "unet": 1e-3}
    assert ended.of("saved") == [
        {**ended.of("saved")[0], "step": 6, "file": str(ended.output / "tiny.safetensors"), "what": "model"}
    ]
    assert any(value.abs().max() > 0 for name, value in ended.weights().items() if "lora_up" in name)
    assert ended.of("start")[0]["attempt"] == 1 and (ended.run / "heartbeat").is_file()


def test_the_same_seed_trains_the_same_and_another_does_not(train: Any) -> None:
    first = train(max_train_steps=3).weights()
    assert first == train(max_train_steps=3).weights()
    assert first != train(max_train_steps=3, seed=2).weights()


@pytest.mark.parametrize(
    "more",
    [
        {"cache_latents": False, "max_data_loader_n_workers": 2},
        {"sample_every_n_steps": 2, "sample_at_first": True, "sample_prompts": "a cat --s 2"},
        {"save_every_n_steps": 2, "save_state": True},
        {"log_config": True},
    ],
    ids=["workers", "samples", "saving", "logging"],
)
def test_what_looks_on_does_not_change_the_result(trained: Any, train: Any, more: dict[str, Any]) -> None:
    changing = {"network_dropout": 0.2, "shuffle_caption": True, "flip_aug": True, "caption_dropout_rate": 0.3}
    changing["max_train_steps"] = 4
    assert trained(**changing).weights() == train(**changing, **more).weights()


def test_looking_on_does_not_round_averaged_weights(train: Any) -> None:
    """The way to a schedule-free optimizer's averages and back would."""
    averaged = {"optimizer_type": "AdamWScheduleFree", "max_train_steps": 3}
    assert train(**averaged).weights() == train(**averaged, save_every_n_steps=1).weights()


def test_accumulated_batches_are_one_step_of_their_mean(train: Any) -> None:
    """Three batches of 2, 2 and 1 an epoch: with accumulation over 2, a step of two and a step of one."""
    ended = train(gradient_accumulation_steps=2, max_train_steps=None, max_train_epochs=2)
    assert [event["epoch"] for event in ended.of("step")] == [1, 1, 2, 2]
    assert ended.of("plan")[0]["total_steps"] == 4


def test_the_loss_of_a_step_is_the_mean_of_its_batches_however_many_they_are(train: Any) -> None:
    """The last step of an epoch has fewer of them; nothing is learned, so that each batch's own loss is known."""
    still = {"learning_rate": 1e-30, "max_train_steps": None, "max_train_epochs": 1}
    one, two, three = train(**still).losses
    gathered = train(**still, gradient_accumulation_steps=2).losses
    assert gathered == pytest.approx([(one + two) / 2, three], rel=1e-5)


def test_a_loss_is_told_as_it_is_where_other_processes_have_no_batch_left(
    train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch then counts for two, and so it does for the weights."""
    plain = train(max_train_steps=1, optimizer_type="SGD", max_grad_norm=0)
    monkeypatch.setattr(BatchMaker, "_share", lambda maker, position: 2.0)
    twice = train(max_train_steps=1, optimizer_type="SGD", max_grad_norm=0, output_name="twice")
    assert twice.losses == plain.losses
    assert twice.weights("twice.safetensors") != plain.weights()


def test_epochs_mean_epochs(train: Any) -> None:
    ended = train(max_train_steps=None, max_train_epochs=3, save_every_n_epochs=1)
    assert len(ended.losses) == 9
    assert sorted(file.name for file in ended.output.glob("*.safetensors")) == [
        "tiny-000001.safetensors", "tiny-000002.safetensors", "tiny.safetensors",
    ]  # fmt: skip


def test_the_text_encoder_is_trained_until_it_is_stopped(train: Any) -> None:
    def text(ended: Any, name: str) -> dict[str, Any]:
        weights = ended.weights(name)
        return type(weights)({key: value for key, value in weights.items() if key.startswith("lora_te_")})

    ended = train(stop_text_encoder_training="50%", save_every_n_steps=1, optimizer_args=["weight_decay=0.5"])
    second, third, last = (text(ended, f"tiny{name}.safetensors") for name in ("-step00000002", "-step00000003", ""))
    assert second != third and third == last
    assert ended.weights("tiny-step00000003.safetensors") != ended.weights()


def test_clipping_at_zero_is_off(train: Any) -> None:
    """SGD, because Adam takes no notice of a gradient's length."""
    sgd = {"optimizer_type": "SGD", "learning_rate": 1, "max_train_steps": 2}
    off, wide, narrow = (train(max_grad_norm=norm, **sgd).weights() for norm in (0, 1e9, 1e-3))
    assert off == wide and off != narrow


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(train: Any) -> None:
    ended = train(learning_rate=1e30, max_grad_norm=0, optimizer_type="SGD", max_train_steps=50)
    assert ended.code == 2 and ended.states[-1] == "failed"
    assert ended.sentence.startswith("The loss is not a number any more since step ")
    assert not (ended.output / "tiny.safetensors").exists()


@pytest.mark.parametrize("more", [{"mixed_precision": "bf16"}, {"mixed_precision": "bf16", "full_bf16": True}])
def test_bf16_trains(train: Any, more: dict[str, Any]) -> None:
    ended = train(**more, max_train_steps=2)
    assert ended.code == 0
    assert {value.dtype for value in ended.weights().values()} == (
        {torch.bfloat16} if "full_bf16" in more else {torch.float32}
    )


@pytest.mark.parametrize(
    "more",
    [
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "cpu_offload_checkpointing": True},
        {"mem_eff_attn": True},
        {"vae_batch_size": 2, "cache_latents": True},
    ],
    ids=lambda more: "+".join(more),
)
def test_saving_memory_costs_no_accuracy(trained: Any, train: Any, more: dict[str, Any]) -> None:
    plain = trained(cache_latents="cache_latents" in more, max_train_steps=3).losses
    assert train(**more, max_train_steps=3).losses == pytest.approx(plain, rel=1e-4)


def test_fp8_base_trains_near_the_same(train: Any) -> None:
    bf16 = {"mixed_precision": "bf16", "max_train_steps": 3}
    assert train(**bf16, fp8_base=True).losses == pytest.approx(train(**bf16).losses, rel=0.1)
