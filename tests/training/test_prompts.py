"""Sample prompts: the line syntax and the three kinds of files."""

import json
from pathlib import Path

import pytest

from sd_scripts.training.prompts import BadPrompts, Prompt, is_file, parse_line, parse_lines, read

LINES = [
    ("a cat", Prompt("a cat")),
    ("  a cat, red  ", Prompt("a cat, red")),
    ("a cat --n dog, blurry --w 768 --h 512 --d 1 --l 5 --s 20", Prompt("a cat", "dog, blurry", 768, 512, 20, 5.0, 1)),
    ("a cat --W 513 --H 71", Prompt("a cat", width=512, height=64)),
    ("a cat --w 8", Prompt("a cat", width=64)),
    ("a cat --s 5000", Prompt("a cat", steps=1000)),
    ("a cat --s 0", Prompt("a cat", steps=1)),
    ("a well-known -- cat--like thing", Prompt("a well-known -- cat--like thing")),
    ("a cat --ss k_euler_a", Prompt("a cat", sampler="k_euler_a")),
    (
        "a cat --cn pose.png --ctr 0.5 --g 3 --rcfg 1 --fs 2 --c a dog --sm 1 --am 0.5",
        Prompt("a cat", ignored=("--cn", "--ctr", "--g", "--rcfg", "--fs", "--c", "--sm", "--am")),
    ),
    ("a cat --d 0", Prompt("a cat", seed=0)),
    ("a cat --l 1", Prompt("a cat", scale=1.0)),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line for line, _ in LINES])
def test_a_line(line: str, expected: Prompt) -> None:
    assert parse_line(line) == expected


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a cat --w wide", "sample_prompts: --w of 'a cat' is wrong: 'wide' is no number."),
        ("a cat --w=768", "sample_prompts: --w=768 needs a blank before its value (in 'a cat --w=768')."),
        ("a cat --S20 ", "sample_prompts: --S20 needs a blank before its value (in 'a cat --S20')."),
        ("a cat --q 1", "sample_prompts: There is no option --q (in 'a cat --q 1'); leave it out."),
    ],
)
def test_a_wrong_line_is_said(line: str, sentence: str) -> None:
    with pytest.raises(BadPrompts) as caught:
        parse_line(line)
    assert str(caught.value) == sentence


def test_empty_lines_and_remarks_are_no_prompts() -> None:
    assert parse_lines(["", "# a remark", "a cat", "   "]) == [Prompt("a cat")]


def test_prompts_typed_into_the_form_are_told_from_a_file_name() -> None:
    assert [is_file(text) for text in ("a cat", "a cat.txt", "a.toml", "one\ntwo.txt", "x.JSON")] == [
        False,
        True,
        True,
        False,
        True,
    ]


FILES = {
    "p.txt": "# two\na cat --d 1\na dog\n",
    "p.toml": '[prompt]\nwidth = 640\nscale = 3\n[[prompt.subset]]\nprompt = "a cat"\nseed = 1\n'
    '[[prompt.subset]]\nprompt = "a dog"\nnegative_prompt = "cat"\nsample_steps = 7\nsample_sampler = "euler"\n',
    "p.json": json.dumps([{"prompt": "a cat", "seed": 1, "height": 640}, "a dog --s 7"]),
}
EXPECTED = {
    "p.txt": [Prompt("a cat", seed=1), Prompt("a dog")],
    "p.toml": [
        Prompt("a cat", width=640, scale=3.0, seed=1),
        Prompt("a dog", "cat", width=640, scale=3.0, steps=7, sampler="euler"),
    ],
    "p.json": [Prompt("a cat", seed=1, height=640), Prompt("a dog", steps=7)],
}


@pytest.mark.parametrize("name", FILES)
def test_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(FILES[name], encoding="utf-8")
    assert read(str(file)) == EXPECTED[name]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("missing.txt", None, "sample_prompts: The file {file} does not exist; check its name."),
        ("empty.txt", "# nothing\n", "sample_prompts: The file {file} holds no prompt; write one a line."),
        ("p.json", "{}", "sample_prompts: A JSON file of prompts must hold a list."),
        ("p.toml", '[prompt]\npromt = "a"\n', "sample_prompts: There is no key promt for a prompt; leave it out."),
    ],
)
def test_a_file_that_holds_no_prompts_is_said(name: str, text: str | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(BadPrompts) as caught:
        read(str(file))
    assert str(caught.value) == sentence.format(file=file)
