"""New vectors beside an embedding, held against an embedding that was made larger, as other programs do it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sd_scripts.words.layers import side_by_side
from sd_scripts.words.vectors import Vectors, like, repeated


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> Any:
    from transformers import CLIPTextModel

    return CLIPTextModel.from_pretrained(tiny_model / "text_encoder").requires_grad_(False)


def taught(encoder: Any, start_LVD: Tensor) -> tuple[Any, Vectors]:
    pupil = copy.deepcopy(encoder)
    vectors = Vectors(start_LVD.clone(), pupil.get_input_embeddings())
    vectors.attach()
    return pupil, vectors


def test_outputs_and_gradients_are_those_of_a_larger_embedding(encoder: Any) -> None:
    torch.manual_seed(0)
    rows_VD = torch.randn(3, 16)
    count = encoder.get_input_embeddings().num_embeddings
    ids_BT = torch.randint(0, count, (4, 77))
    ids_BT[0, 5], ids_BT[1, 7:10], ids_BT[3, 70] = count, torch.tensor([count, count + 1, count + 2]), count + 2
    larger = copy.deepcopy(encoder)
    larger.resize_token_embeddings(count + 3, mean_resizing=False)
    table = larger.get_input_embeddings().weight
    with torch.no_grad():
        table[count:] = rows_VD
    table.requires_grad_(True)
    pupil, vectors = taught(encoder, rows_VD[None])
    ours, theirs = (model(ids_BT).last_hidden_state for model in (pupil, larger))
    assert torch.equal(ours, theirs)
    direction = torch.randn_like(ours)
    for output in (ours, theirs):
        (output * direction).sum().backward()
    assert torch.allclose(vectors.weight.grad[0], table.grad[count:], atol=1e-6)
    assert table.grad[:count].abs().max() > 0, "the larger one would have changed other words too"
    assert torch.equal(pupil.get_input_embeddings().weight, encoder.get_input_embeddings().weight)


def test_texts_without_a_new_word_read_as_before_and_teach_nothing(encoder: Any) -> None:
    pupil, vectors = taught(encoder, torch.randn(1, 2, 16))
    ids_BT = torch.randint(0, 49000, (2, 77))
    output = pupil(ids_BT).last_hidden_state
    assert torch.equal(output, encoder(ids_BT).last_hidden_state)
    output.sum().backward()
    assert not vectors.weight.grad.any()


def test_rows_come_layer_by_layer() -> None:
    embedding = nn.Embedding(4, 2)
    vectors = Vectors(torch.arange(12.0).reshape(3, 2, 2), embedding)
    ids_BT = torch.tensor([[4, 1], [5, 4]] * 3)
    found = vectors.look_up(ids_BT)
    assert found[:, 0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert torch.equal(found[0::2, 1], embedding.weight[1].expand(3, 2))


def test_what_they_are_looked_up_as_follows_the_model_and_not_the_vectors() -> None:
    vectors = Vectors(torch.ones(1, 1, 2), nn.Embedding(4, 2).half())
    assert vectors.look_up(torch.tensor([[4, 0]])).dtype == torch.float16
    assert vectors.weight.dtype == torch.float32


@pytest.mark.parametrize(("count", "rows"), [(1, [0]), (2, [0, 1]), (5, [0, 1, 0, 1, 0])])
def test_rows_are_repeated_or_cut(count: int, rows: list[int]) -> None:
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert torch.equal(repeated(table, count), table[rows])


def test_random_rows_are_like_those_that_are_there() -> None:
    torch.manual_seed(0)
    known = torch.randn(2000, 3) * torch.tensor([1.0, 5.0, 0.1]) + torch.tensor([0.0, 10.0, -1.0])
    drawn = like(known, 4000, torch.Generator().manual_seed(1))
    assert torch.allclose(drawn.mean(0), torch.tensor([0.0, 10.0, -1.0]), atol=0.4)
    assert torch.allclose(drawn.std(0), torch.tensor([1.0, 5.0, 0.1]), rtol=0.1)


def test_what_layers_read_stands_side_by_side() -> None:
    """Two layers, two captions, three tokens: the first layer's tokens of a caption, then the second's."""
    texts = torch.tensor([[1, 1, 1], [2, 2, 2], [10, 10, 10], [20, 20, 20]]).unsqueeze(-1)
    assert side_by_side(texts, 2).squeeze(-1).tolist() == [[1, 1, 1, 10, 10, 10], [2, 2, 2, 20, 20, 20]]
