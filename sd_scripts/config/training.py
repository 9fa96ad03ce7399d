from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from .optimizer import OF_PARTS, Steps
from .schema import Ge, Group, Le, Lt, Notice, Problem, Ui

BIGGEST_SEED = 2**63 - 1


def _until(value: object) -> object:
    """-1 stands for "not at all", as in sd-scripts."""
    return 0 if str(value).strip() in ("-1", "-1.0") else value


class TrainingConfig(Group):
    title: ClassVar[str] = "Training"

    max_train_epochs: Annotated[int | None, Ge(1), Ui(label="Epochs", basic=True)] = None
    """How many times training goes over all images (each as often as its repeats say). Empty: the number of steps
    counts."""

    max_train_steps: Annotated[int, Ge(1), Ui(label="Steps", basic=True)] = 1600
    """How many times the weights are changed, where no number of epochs is given. 500 to 3000 is usual for a LoRA."""

    gradient_accumulation_steps: Annotated[int, Ge(1)] = 1
    """Gather the gradients of this many batches before the weights are changed once: as good as a batch this many times
    larger, in the memory of a small one. 1 turns it off."""

    seed: Annotated[int | None, Ge(0), Le(BIGGEST_SEED), Ui(basic=True)] = None
    """Where all random draws start. The same settings with the same seed train the same. Empty: a new one each time,
    which the log names."""

    initial_epoch: Annotated[int | None, Ge(1)] = None
    """Begin counting at this epoch (1 is the first), as if those before had been done. Not needed for resuming."""

    initial_step: Annotated[int | None, Ge(1)] = None
    """Begin counting after this step; wins over the initial epoch. Not needed for resuming."""

    skip_until_initial_step: bool = False
    """With an initial step or epoch: go on in the order of images from there and count what was skipped as done; only
    the course of the learning rate begins anew. Off: only the epoch's number starts later, and all steps are
    trained."""

    stop_text_encoder_training: Annotated[
        Steps | None, BeforeValidator(_until), OF_PARTS, Ui(label="Stop training the text encoder")
    ] = None
    """Train the text encoder only until this step, or for this share of the run: 0.3 or 30%. 0: not at all. Empty: to
    the end."""

    validation_split: Annotated[float, Ge(0), Lt(1), Ui(step=0.01)] = 0.0
    """Keep this share of the images out of training and measure the loss on them. 0.1 is usual; 0 turns it off."""

    validation_seed: Annotated[int | None, Ge(0), Le(BIGGEST_SEED)] = None
    """Which images are kept out, and the noise they are measured with. Empty: from the seed of the training."""

    validate_every_n_steps: Annotated[int | None, Ge(1)] = None
    """Measure the validation loss every so many steps. Empty: at the end of epochs."""

    validate_every_n_epochs: Annotated[int | None, Ge(1)] = None
    """Measure the validation loss every so many epochs. Empty: after each epoch, unless steps are given."""

    max_validation_steps: Annotated[int | None, Ge(1)] = None
    """Use at most this many batches for each measurement. Empty: all of them."""

    @property
    def validates(self) -> bool:
        return self.validation_split > 0

    @property
    def never_trains_text_encoder(self) -> bool:
        """Whatever its learning rate."""
        return self.stop_text_encoder_training in (0, "0%")

    def first_step(self, steps_per_epoch: int) -> int:
        """After which step counting begins."""
        return self.initial_step or ((self.initial_epoch or 1) - 1) * steps_per_epoch

    def relations(self) -> Iterator[Problem]:
        if self.max_train_epochs and "max_train_steps" in self.model_fields_set:
            yield Notice(
                "max_train_steps",
                f"The {self.max_train_epochs} epochs decide how long is trained; the steps have no effect.",
            )
        if self.skip_until_initial_step and not (self.initial_step or self.initial_epoch):
            yield Notice(
                "skip_until_initial_step", "There is nothing to skip: neither initial_step nor initial_epoch is set."
            )
        if self.initial_step and self.initial_epoch:
            yield Notice("initial_epoch", "The initial step wins over it.")
