from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from .schema import Ge, Group, Notice, Problem, Ui

Sampler = Literal[
    "ddim", "pndm", "lms", "euler", "euler_a", "heun", "dpm_2", "dpm_2_a", "dpmsolver", "dpmsolver++", "dpmsingle",
    "k_lms", "k_euler", "k_euler_a", "k_dpm_2", "k_dpm_2_a",
]  # fmt: skip


class SamplingConfig(Group):
    title: ClassVar[str] = "Samples"

    sample_prompts: Annotated[str | None, Ui(lines=5, basic=True)] = None
    """What to draw while training: one prompt a line, or the name of a .txt, .toml or .json file of prompts, which is
    read again each time. A line can end in --n negative prompt, --w width, --h height, --d seed, --s steps, --l
    guidance scale. Width and height are those of the data set where they are not given; steps are 30, guidance
    7.5."""

    sample_every_n_epochs: Annotated[int | None, Ge(1), Ui(basic=True)] = None
    """Draw the prompts after every so many epochs. Empty: off."""

    sample_every_n_steps: Annotated[int | None, Ge(1), Ui(basic=True)] = None
    """Draw the prompts after every so many steps; has no effect where epochs are given. Empty: off."""

    sample_at_first: Annotated[bool, Ui(basic=True)] = False
    """Draw the prompts before the first step too, to see what the model drew before."""

    sample_sampler: Annotated[Sampler, Ui(label="Sampler")] = "ddim"
    """How noise is turned into a sample. euler_a and dpmsolver++ are quick; names with k_ mean the same as without."""

    @property
    def wanted(self) -> bool:
        return bool(self.sample_every_n_steps or self.sample_every_n_epochs or self.sample_at_first)

    def relations(self) -> Iterator[Problem]:
        if self.wanted and not (self.sample_prompts or "").strip():
            yield Problem(
                "sample_prompts",
                "Samples are asked for, but there are no prompts; write some, or turn the samples off.",
            )
        if self.sample_every_n_steps and self.sample_every_n_epochs:
            yield Notice("sample_every_n_steps", "Samples are drawn every so many epochs; the steps have no effect.")
        if self.sample_prompts and not self.wanted:
            yield Notice(
                "sample_prompts", "They are drawn only when asked for, because no number of epochs or steps is set."
            )
