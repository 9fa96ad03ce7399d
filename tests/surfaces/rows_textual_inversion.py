"""New words: what they are, where they start, and what is read in place of captions."""

from __future__ import annotations

from acting import Row

WORD = {
    "method": "textual_inversion", "token_string": "zork", "init_word": "red", "caption_prefix": "zork,",
}  # fmt: skip

ROWS = {
    "token_string": Row("zork gleep", "network", WORD),
    "init_word": Row("blue", "network", WORD),
    "num_vectors_per_token": Row(3, "network", WORD),
    "use_object_template": Row(True, "batches", WORD),
    "use_style_template": Row(True, "batches", WORD),
    "weights": Row("@word.pt", "network", WORD),
    "xti": Row(True, "network text", WORD),
}
