"""New words with a meaning for each attention network (XTI, P+)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.config.load import from_flat
from sd_scripts.errors import UserError
from sd_scripts.methods import create
from sd_scripts.training.progress import Progress

NAMES = [
    "IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "MID",
    "OUT03", "OUT04", "OUT05", "OUT06", "OUT07", "OUT08", "OUT09", "OUT10", "OUT11",
]  # fmt: skip
"""The reference's, in its order."""
Make = Callable[..., Any]
PATHS = [
    *(f"down_blocks.{i}.attentions.{j}" for i in range(3) for j in range(2)), "mid_block.attentions.0",
    *(f"up_blocks.{i}.attentions.{j}" for i in range(1, 4) for j in range(3)),
]  # fmt: skip


@pytest.fixture
def make(fresh: Any) -> Make:
    def method(folder: Path, **flat: Any) -> Any:
        settings = {"method": "textual_inversion", "token_string": "bloop", "init_word": "red", "xti": True}
        config = from_flat({"pretrained_model_name_or_path": str(folder), **settings, **flat}).unwrap()
        made = create(config, fresh(config))
        made.eval_mode()
        return made

    return method


def predicted(family: Any, condition: Any, count: int = 1) -> torch.Tensor:
    torch.manual_seed(6)
    noisy_BCHW = torch.randn(count, 4, 8, 8)
    with torch.no_grad():
        return family.predict(noisy_BCHW, torch.tensor([300] * count), condition)


def test_there_is_a_name_for_each_attention_network(make: Make, tiny_model: Path) -> None:
    made = make(tiny_model)
    assert list(made.layers.items()) == list(zip(NAMES, PATHS, strict=True))
    assert made.vectors["text_encoder"].weight.shape == (16, 1, 16)


def test_equal_vectors_predict_as_one_does(make: Make, tiny_model: Path) -> None:
    """Against the plain method, whose network reads one text."""
    captions = ["a bloop, shining", "two apples"]
    layered, plain = make(tiny_model), make(tiny_model, xti=False)
    with torch.no_grad():
        texts = [made.family.condition(captions) for made in (layered, plain)]
    assert texts[0].text_BTC.shape == (2, 16 * 77, 16)
    assert torch.allclose(predicted(layered.family, texts[0], 2), predicted(plain.family, texts[1], 2), atol=1e-6)


@pytest.mark.parametrize("place", [0, 6, 15])
def test_each_attention_network_reads_its_own_vectors(make: Make, tiny_model: Path, place: int) -> None:
    """The text that arrives at a network is the one that its vectors alone make."""
    made = make(tiny_model)
    blue = made.family.tokenizers[0]("blue", add_special_tokens=False).input_ids
    table = made.family.text_encoders[0].get_input_embeddings().weight
    made.vectors["text_encoder"].weight.data[place] = table[blue]
    seen: dict[str, torch.Tensor] = {}
    for path in PATHS:
        cross = made.family.unet.get_submodule(f"{path}.transformer_blocks.0.attn2.to_k")
        cross.register_forward_hook(lambda _, inputs, __, path=path: seen.update({path: inputs[0]}))
    with torch.no_grad():
        predicted(made.family, made.family.condition(["a bloop"]))
        made.family.reader = None
        plain = {word: made.family.encode_captions([f"a {word}"] * 16).text_BTC[0] for word in ("red", "blue")}
    for number, path in enumerate(PATHS):
        assert torch.allclose(seen[path][0], plain["blue" if number == place else "red"], atol=1e-6), path


def test_files_hold_a_table_for_each_and_can_be_gone_on_from(make: Make, tiny_model: Path, tmp_path: Path) -> None:
    made = make(tiny_model, num_vectors_per_token=2)
    torch.manual_seed(1)
    made.vectors["text_encoder"].weight.data += torch.randn(16, 2, 16)
    made.save(tmp_path / "a.safetensors", Progress())
    tensors = load_file(tmp_path / "a.safetensors")
    assert sorted(tensors) == sorted(NAMES)
    again = make(tiny_model, num_vectors_per_token=2, weights=str(tmp_path / "a.safetensors"))
    assert torch.equal(again.vectors["text_encoder"].weight, made.vectors["text_encoder"].weight)
    assert torch.equal(tensors["OUT05"], made.vectors["text_encoder"].weight[9])


def test_a_plain_word_is_where_every_layer_can_start(make: Make, tiny_model: Path, tmp_path: Path) -> None:
    rows = torch.randn(2, 16)
    torch.save({"emb_params": rows}, tmp_path / "a.pt")
    made = make(tiny_model, num_vectors_per_token=2, weights=str(tmp_path / "a.pt"))
    assert torch.equal(made.vectors["text_encoder"].weight, rows.expand(16, 2, 16))


def test_samples_are_drawn_with_it(make: Make, tiny_model: Path) -> None:
    """Through diffusers' pipeline, guidance and all: equal vectors draw what the plain word does."""
    from sd_scripts.training.prompts import Prompt
    from sd_scripts.training.sampling import Drawing, draw

    prompt = Prompt("a bloop", negative="dark", steps=2, seed=3)
    drawing = Drawing(32, 32, 1, "ddim")
    layered, plain = (draw(make(tiny_model, xti=xti).family, prompt, 0, drawing) for xti in (True, False))
    assert layered.tobytes() == plain.tobytes()


XL_NAMES = ["IN04", "IN05", "IN07", "IN08", "MID", "OUT00", "OUT01", "OUT02", "OUT03", "OUT04", "OUT05"]
"""Where the original layout of SDXL has attention: input blocks 4 5 7 8, the middle, output blocks 0 to 5."""


def test_each_attention_network_of_xl_reads_by_both_encoders(make: Make, tiny_sdxl: Path) -> None:
    """With one layer's vectors set to "blue" it alone reads "blue"; as a whole they say what all read, in the mean."""
    made = make(tiny_sdxl, sdxl=True)
    assert list(made.layers) == XL_NAMES
    blue = made.family.tokenizers[0]("blue", add_special_tokens=False).input_ids
    for encoder, vectors in zip(made.family.text_encoders, made.vectors.values(), strict=True):
        vectors.weight.data[XL_NAMES.index("MID")] = encoder.get_input_embeddings().weight[blue]
    with torch.no_grad():
        both = made.family.condition(["a bloop", "two apples"])
        made.family.reader = None
        red, blue = (made.family.encode_captions([f"a {word}", "two apples"] * 11) for word in ("red", "blue"))
    pieces = both.text_BTC.chunk(11, dim=1)
    for name, read_BTC in zip(XL_NAMES, pieces, strict=True):
        assert torch.allclose(read_BTC, (blue if name == "MID" else red).text_BTC[:2], atol=1e-6), name
    assert torch.allclose(both.pooled_BD, (10 * red.pooled_BD[:2] + blue.pooled_BD[:2]) / 11, atol=1e-6)


def test_equal_vectors_predict_as_one_does_in_xl(make: Make, tiny_sdxl: Path) -> None:
    layered, plain = make(tiny_sdxl, sdxl=True), make(tiny_sdxl, sdxl=True, xti=False)
    conditions = [made.family.condition(["a bloop"]) for made in (layered, plain)]
    assert torch.allclose(
        *(predicted(m.family, c) for m, c in zip((layered, plain), conditions, strict=True)), atol=1e-6
    )


def test_files_of_xl_have_a_table_for_each_encoder_and_layer(make: Make, tiny_sdxl: Path, tmp_path: Path) -> None:
    made = make(tiny_sdxl, sdxl=True)
    for vectors in made.vectors.values():
        vectors.weight.data += torch.randn_like(vectors.weight)
    made.save(tmp_path / "a.safetensors", Progress())
    tensors = load_file(tmp_path / "a.safetensors")
    assert set(tensors) == {f"{part}.{name}" for part in ("clip_l", "clip_g") for name in XL_NAMES}
    again = make(tiny_sdxl, sdxl=True, weights=str(tmp_path / "a.safetensors"))
    assert all(torch.equal(again.vectors[part].weight, made.vectors[part].weight) for part in made.vectors)
    torch.save({"clip_l": torch.ones(1, 16), "clip_g": torch.ones(1, 32)}, tmp_path / "plain.pt")
    plain = make(tiny_sdxl, sdxl=True, weights=str(tmp_path / "plain.pt"))
    assert all(bool((vectors.weight == 1).all()) for vectors in plain.vectors.values())


def test_files_for_another_kind_of_model_are_refused(make: Make, tiny_model: Path, tmp_path: Path) -> None:
    contents = {
        "few": dict.fromkeys(NAMES[1:], torch.zeros(1, 16)),
        "xl": dict.fromkeys((f"clip_{part}.{name}" for part in "lg" for name in XL_NAMES), torch.zeros(1, 16)),
    }
    sentences = {
        "few": "was trained for another kind of model than this one; choose another.",
        "xl": "is for single layers (XTI) of Stable Diffusion XL; choose one for single layers (XTI).",
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pt")
        with pytest.raises(UserError) as raised:
            make(tiny_model, weights=str(tmp_path / f"{name}.pt"))
        assert str(raised.value) == f"weights: {tmp_path / name}.pt {sentences[name]}"
