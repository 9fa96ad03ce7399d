"""New words on tiny models: what is trained, what stays as it was, and what other programs make of the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sd_scripts.config.load import from_flat
from sd_scripts.errors import UserError
from sd_scripts.methods import create
from sd_scripts.training.progress import Progress

CAPTION = "a red bloop, shining"
Make = Callable[..., Any]
MODELS = {"sd1": {}, "sd2": {"v2": True}, "sdxl": {"sdxl": True}}


@pytest.fixture
def method(fresh: Any, tiny_model: Path, tiny_sd2: Path, tiny_sdxl: Path, tmp_path: Path) -> Make:
    folders = {"sd1": tiny_model, "sd2": tiny_sd2, "sdxl": tiny_sdxl}

    def make(model: str = "sd1", seed: int = 0, **flat: Any) -> Any:
        settings = {"method": "textual_inversion", "token_string": "bloop", "init_word": "red"}
        places = {"pretrained_model_name_or_path": str(folders[model]), "output_dir": str(tmp_path)}
        config = from_flat({**places, **settings, **MODELS[model], **flat}).unwrap()
        made = create(config, fresh(config), seed)
        made.eval_mode()
        return made

    return make


def tables(made: Any) -> list[Tensor]:
    return [encoder.get_input_embeddings().weight for encoder in made.family.text_encoders]


def vectors(made: Any) -> list[Tensor]:
    """Of each text encoder, (L, V, D)."""
    return [part.weight.detach() for part in made.vectors.values()]


def shaken(made: Any) -> Any:
    """The same with other vectors, as if it had been trained."""
    torch.manual_seed(5)
    for parameter in made.parameters():
        parameter.data += torch.randn_like(parameter)
    return made


def saved(made: Any, file: Path) -> dict[str, Tensor]:
    made.save(file, Progress(step=1))
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)


def token_ids(made: Any, words: str) -> list[int]:
    return list(made.family.tokenizers[0](words, add_special_tokens=False).input_ids)


@pytest.mark.parametrize("model", MODELS)
def test_nothing_but_the_vectors_learns(method: Make, model: str) -> None:
    made = method(model, num_vectors_per_token=2)
    before = [parameter.clone() for network in made.family.networks for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(made.trainable_groups(), lr=0.1)
    made.train_mode()
    for _ in range(2):
        condition = made.family.condition([CAPTION, "nothing"])
        made.family.predict(torch.randn(2, 4, 8, 8), torch.tensor([5, 800]), condition).square().mean().backward()
        optimizer.step()
    after = [parameter for network in made.family.networks for parameter in network.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(parameter.grad is None for parameter in after)
    assert all((new != start).all() for new, start in zip(vectors(made), vectors(method(model)), strict=True))


def test_a_new_word_reads_as_what_it_starts_from(method: Make) -> None:
    made = method(init_word="apple")
    with torch.no_grad():
        assert torch.equal(*(made.family.condition([f"a {word}, shining"]).text_BTC for word in ("bloop", "apple")))


@pytest.mark.parametrize(
    ("phrase", "count", "rows", "notice"),
    [
        ("red", 1, ["red"], []),
        ("red", 3, ["red", "red", "red"], []),
        ("red apple", 2, ["red", "apple"], []),
        (
            "red apple", 3, ["red", "apple", "red"],
            ["init_word: 'red apple' has 2 tokens for 3 vectors, so they are repeated."],
        ),
        (
            "red apple tree", 2, ["red", "apple"],
            ["init_word: 'red apple tree' has 3 tokens for 2 vectors, so only the first 2 count."],
        ),
    ],
)  # fmt: skip
def test_vectors_start_as_the_tokens_of_the_init_word(
    method: Make, phrase: str, count: int, rows: list[str], notice: list[str]
) -> None:
    made = method(init_word=phrase, num_vectors_per_token=count)
    expected = torch.stack([tables(made)[0][token_ids(made, word)[0]] for word in rows])
    assert torch.equal(vectors(made)[0][0], expected)
    assert [str(found) for found in made.notices] == notice


def test_without_an_init_word_they_start_at_random_from_the_seed(method: Make) -> None:
    one, again, other = (method(init_word=None, seed=seed, num_vectors_per_token=8) for seed in (1, 1, 2))
    assert torch.equal(vectors(one)[0], vectors(again)[0]) and not torch.equal(vectors(one)[0], vectors(other)[0])
    assert 0.5 < float(vectors(one)[0].std() / tables(one)[0].std()) < 2


def test_the_word_takes_the_place_of_all_its_tokens(method: Make) -> None:
    made = method(num_vectors_per_token=3)
    first = tables(made)[0].shape[0]
    a, red, shining = (token_ids(made, word)[0] for word in ("a", "red", "shining"))
    assert token_ids(made, "a BLOOP red, bloop") == [
        a, first, first + 1, first + 2, red, token_ids(made, ",")[0], first, first + 1, first + 2,
    ]  # fmt: skip
    assert token_ids(made, "shining bloops bloopy") == [shining, *token_ids(made, "bloops bloopy")]
    assert max(token_ids(made, "bloops bloopy")) < first


@pytest.mark.parametrize(
    "settings", [{}, {"weighted_captions": True}, {"max_token_length": 150}, {"clip_skip": 2}], ids=str
)
def test_it_is_read_with_everything_that_captions_can_do(method: Make, settings: dict[str, Any]) -> None:
    """The word set to the vectors of "blue" reads as "blue" does, emphasized, far behind, or a layer earlier."""
    made = method(**settings)
    made.vectors["text_encoder"].weight.data[:] = tables(made)[0][token_ids(made, "blue")]
    long = ", ".join(["word"] * 40)
    for caption in ("({}:1.3) ball", f"{long}, {{}}", "{} {}"):
        with torch.no_grad():
            new, known = (made.family.condition([caption.replace("{}", word)]).text_BTC for word in ("bloop", "blue"))
        assert torch.equal(new, known)


def test_several_words_have_vectors_and_files_of_their_own(method: Make, tmp_path: Path) -> None:
    made = shaken(method(token_string="bloop, <gleep>", num_vectors_per_token="2, 3", init_word="red, blue"))
    first = tables(made)[0].shape[0]
    assert token_ids(made, "<gleep> bloop") == [first + 2, first + 3, first + 4, first, first + 1]
    file = tmp_path / "pets.safetensors"
    assert [each.name for each in made.files(file)] == ["pets_bloop.safetensors", "pets_gleep.safetensors"]
    made.save(file, Progress())
    both = [load_file(each)["emb_params"] for each in made.files(file)]
    assert torch.equal(torch.cat(both), vectors(made)[0][0])
    again = method(
        token_string="bloop, <gleep>", num_vectors_per_token="2, 3", weights=[str(each) for each in made.files(file)]
    )
    assert torch.equal(vectors(again)[0], vectors(made)[0])


@pytest.mark.parametrize("ending", ["safetensors", "pt", "ckpt"])
@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        ("sd1", {"emb_params": (2, 16)}),
        ("sd2", {"emb_params": (2, 16)}),
        ("sdxl", {"clip_l": (2, 16), "clip_g": (2, 32)}),
    ],
)
def test_files_have_the_names_of_the_reference_and_can_be_gone_on_from(
    method: Make, tmp_path: Path, model: str, shapes: dict[str, tuple[int, int]], ending: str
) -> None:
    made = shaken(method(model, num_vectors_per_token=2))
    widths = [table.shape[1] for table in tables(made)]
    tensors = saved(made, tmp_path / f"bloop.{ending}")
    wanted = {name: (2, width) for name, width in zip(shapes, widths, strict=True)}
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == wanted
    again = method(model, num_vectors_per_token=2, weights=str(tmp_path / f"bloop.{ending}"))
    assert all(torch.equal(a, b) for a, b in zip(vectors(again), vectors(made), strict=True))


def test_half_precision_is_kept_in_the_file_alone(method: Make, tmp_path: Path) -> None:
    made = method(save_precision="fp16")
    assert saved(made, tmp_path / "a.safetensors")["emb_params"].dtype == torch.float16
    assert vectors(made)[0].dtype == torch.float32


def test_the_file_says_what_it_is_and_how_it_was_trained(method: Make, tmp_path: Path) -> None:
    from safetensors import safe_open

    saved(method(), tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1/textual-inversion"
    assert metadata["modelspec.implementation"] == "https://github.com/Stability-AI/generative-models"
    assert (metadata["modelspec.trigger_phrase"], metadata["ss_base_model_version"]) == ("bloop", "sd_v1")
    assert not any("network" in name for name in metadata)


@pytest.mark.parametrize("count", [1, 3])
def test_diffusers_reads_what_we_write(method: Make, tiny_model: Path, tmp_path: Path, count: int) -> None:
    from diffusers import StableDiffusionPipeline

    made = shaken(method(num_vectors_per_token=count))
    saved(made, tmp_path / "bloop.safetensors")
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_model, safety_checker=None, requires_safety_checker=False)
    pipeline.load_textual_inversion(tmp_path, weight_name="bloop.safetensors", token="bloop")
    with torch.no_grad():
        theirs_BTC, _ = pipeline.encode_prompt(CAPTION, "cpu", 1, False)
        ours_BTC = made.family.condition([CAPTION]).text_BTC
    assert torch.allclose(theirs_BTC, ours_BTC, atol=1e-6)
    assert (ours_BTC - method().family.condition([CAPTION]).text_BTC).abs().max() > 1e-2


def test_diffusers_reads_what_we_write_for_sdxl(method: Make, tiny_sdxl: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionXLPipeline

    made = shaken(method("sdxl", num_vectors_per_token=2))
    tensors = saved(made, tmp_path / "bloop.safetensors")
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl)
    for name, encoder, tokenizer in (
        ("clip_l", pipeline.text_encoder, pipeline.tokenizer),
        ("clip_g", pipeline.text_encoder_2, pipeline.tokenizer_2),
    ):
        pipeline.load_textual_inversion(tensors[name], token="bloop", text_encoder=encoder, tokenizer=tokenizer)
    with torch.no_grad():
        theirs_BTC, _, theirs_BD, _ = pipeline.encode_prompt(CAPTION, device="cpu", do_classifier_free_guidance=False)
        ours = made.family.condition([CAPTION])
    assert torch.allclose(theirs_BTC, ours.text_BTC, atol=1e-6)
    assert torch.allclose(theirs_BD, ours.pooled_BD, atol=1e-5)


def test_words_of_diffusers_and_of_the_web_ui_can_be_gone_on_from(method: Make, tmp_path: Path) -> None:
    from torch import nn

    rows = torch.randn(2, 16)
    torch.save({"<other>": rows}, tmp_path / "learned_embeds.bin")
    torch.save(
        {"string_to_token": {"*": 265}, "string_to_param": {"*": nn.Parameter(rows)}, "name": "x", "step": 9},
        tmp_path / "webui.pt",
    )
    torch.save({"string_to_param": nn.ParameterDict({"*": nn.Parameter(rows)})}, tmp_path / "paper.pt")
    for name in ("learned_embeds.bin", "webui.pt", "paper.pt"):
        made = method(num_vectors_per_token=2, weights=str(tmp_path / name))
        assert torch.equal(vectors(made)[0][0], rows), name


BAD = {
    "known": ({"token_string": "apple"}, "token_string: The model knows 'apple' already; choose a word that it does not, such as apple1."),
    "missing": ({"weights": "{}/no.pt"}, "weights: There is no file {}/no.pt; check its spelling."),
    "count": (
        {"weights": "{}/two.pt"},
        "num_vectors_per_token: It is 1, but {}/two.pt holds 2 vectors for bloop; set 2.",
    ),
    "width": (
        {"weights": "{}/wide.pt"}, "weights: {}/wide.pt was trained for another kind of model than this one; choose another.",
    ),
    "XL": (
        {"weights": "{}/xl.pt"},
        "weights: {}/xl.pt is for Stable Diffusion XL; choose one for Stable Diffusion 1.x or 2.x without layers.",
    ),
    "layers": (
        {"weights": "{}/layers.pt"},
        "weights: {}/layers.pt is for single layers (XTI); choose one for Stable Diffusion 1.x or 2.x without layers.",
    ),
    "else": ({"weights": "{}/else.pt"}, "weights: {}/else.pt holds no new word; choose a file that textual inversion has written."),
    "text": ({"weights": "{}/text.pt"}, "weights: {}/text.pt is damaged, or holds more than weights; get it as .safetensors."),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_can_not_be_begun_is_said_in_a_sentence(method: Make, tmp_path: Path, case: str) -> None:
    contents = {
        "two": {"emb_params": torch.zeros(2, 16)}, "wide": {"emb_params": torch.zeros(1, 20)},
        "xl": {"clip_l": torch.zeros(1, 16), "clip_g": torch.zeros(1, 32)},
        "layers": {"IN01": torch.zeros(1, 16), "MID": torch.zeros(1, 16)}, "else": {"a": torch.zeros(3, 1, 1)},
    }  # fmt: skip
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pt")
    (tmp_path / "text.pt").write_text("hello")
    settings, sentence = BAD[case]
    filled = {key: value.replace("{}", str(tmp_path)) for key, value in settings.items()}
    with pytest.raises(UserError) as raised:
        method(**filled)
    assert str(raised.value) == sentence.replace("{}", str(tmp_path))


def test_a_rare_word_that_is_known_gets_another_meaning_and_it_is_said(method: Make) -> None:
    notice = "token_string: The model knows 'sks' already; with the new word it has only the new meaning."
    made = method(token_string="sks")
    assert [str(found) for found in made.notices] == [notice]
    assert token_ids(made, "sks") == [tables(made)[0].shape[0]]


def test_its_state_brings_it_back(method: Make) -> None:
    made, other = shaken(method()), method()
    other.load_state_dict({name: tensor.clone() for name, tensor in made.state_dict().items()})
    assert torch.equal(vectors(made)[0], vectors(other)[0])


OTHERS = [
    ({}, "they teach bloop, not gleep"), ({"token_string": "bloop gleep"}, "they teach bloop gleep, not gleep"),
    ({"token_string": "gleep", "num_vectors_per_token": 2}, "they have 1 x 2 vectors for gleep, not 1 x 1"),
    ({"token_string": "gleep", "xti": True}, "they have 16 x 1 vectors for gleep, not 1 x 1"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "sentence"), OTHERS, ids=lambda value: str(value)[:40])
def test_a_state_of_other_words_is_refused(method: Make, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        method(token_string="gleep").load_state_dict(method(**settings).state_dict())
    assert str(raised.value) == sentence


def test_gradient_checkpointing_changes_no_gradient(method: Make) -> None:
    grads = []
    for checkpointing in (False, True):
        made = method(gradient_checkpointing=checkpointing, xti=True, num_vectors_per_token=2)
        if checkpointing:
            made.family.checkpoint_gradients()
        made.train_mode()
        torch.manual_seed(3)
        noisy_BCHW = torch.randn(1, 4, 8, 8)
        made.family.predict(noisy_BCHW, torch.tensor([5]), made.family.condition([CAPTION])).square().mean().backward()
        grads.append([parameter.grad for parameter in made.parameters()])
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(*grads, strict=True))
