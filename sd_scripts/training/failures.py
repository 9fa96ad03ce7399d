"""What other people's code says when it fails, in words that help. No torch."""

from __future__ import annotations

import errno

KNOWN = (
    (
        ("dataloader worker",),
        "A process that prepares images was ended from outside, mostly because the computer's memory was full: lower "
        "max_data_loader_n_workers, then resume from the last saved state.",
    ),
    (
        ("can't allocate memory", "cannot allocate memory"),
        "The computer's memory is full: lower train_batch_size, resolution or max_data_loader_n_workers, or keep "
        "cached latents on disk (cache_latents_to_disk).",
    ),
    (
        ("out of memory",),
        "The memory of the GPU is full: lower train_batch_size or resolution, turn on gradient_checkpointing or "
        "cache_latents, or choose mixed_precision.",
    ),
    (
        ("cuda error", "hip error", "cublas_status", "cudnn_status", "nccl error"),
        "The GPU failed ({line}): resume from the last saved state; if it happens again, look at its driver, its "
        "temperature and its power supply.",
    ),
)
"""What is written somewhere in the error -> the sentence."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def first_line(error: BaseException) -> str:
    """Of what an error says, without a full stop; its type where it says nothing."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".:")


def in_words(error: BaseException) -> str:
    """One sentence for an error that nothing else has put in words."""
    if isinstance(error, MemoryError):
        return KNOWN[1][1]
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return "The disk is full: make room, then resume from the last saved state."
    text = str(error).lower()
    for signs, sentence in KNOWN:
        if any(sign in text for sign in signs):
            return sentence.format(line=first_line(error))
    return f"The program failed with {type(error).__name__}: {first_line(error)} (the lines above say where)."
