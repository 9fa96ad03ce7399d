from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from ..errors import UserError
from . import layer_choice, network_args, network_checks
from .layer_choice import PRESETS, WITHOUT_CONVOLUTIONS, LayerChoice
from .network_kinds import LYCORIS_MODULE, USUAL_ALGORITHM, algorithms, modules, of_lycoris, those
from .schema import (
    Aliases,
    AppliesTo,
    Ge,
    Group,
    Gt,
    Le,
    Lt,
    Numbers,
    Problem,
    Ui,
    Words,
    split_numbers,
)

if TYPE_CHECKING:
    Algorithm = str
else:
    Algorithm = Literal[tuple(algorithms())]
ANY = AppliesTo(methods=("lora",))


def of(*kinds: str) -> AppliesTo:
    return AppliesTo(methods=("lora",), adapters=kinds)


LYCORIS = of_lycoris()
FACTORED = of_lycoris(lambda kind: kind.is_factored)
RANKED = those(lambda kind: kind.has_rank)
WITH_ALPHA = those(lambda kind: kind.has_alpha)
PLUS = of(*those(lambda kind: kind.has_halves))
CONVOLUTIONS = of(*(kind for kind in RANKED if kind != "oft"))
CONVOLUTION_ALPHAS = of(*(kind for kind in WITH_ALPHA if kind not in ("oft", "dylora")))


def _one_text(value: object) -> object:
    """A list of numbers as the text `1, 0.5`, which is how block weights are kept: they may also be a curve's name."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


Integers = Annotated[tuple[int, ...], BeforeValidator(split_numbers)]
Weights = Annotated[str | None, BeforeValidator(_one_text)]
Lowered = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class NetworkConfig(Group):
    title: ClassVar[str] = "Network"

    network_module: Annotated[str, ANY, Ui(label="Network type", choices=tuple(modules()), basic=True)] = (
        "networks.lora"
    )
    """The kind of network that is trained beside the model. networks.lora is LoRA, and LoCon where conv_dim is set;
    lycoris.kohya has many kinds, of which algo is one."""

    algo: Annotated[Algorithm | None, Lowered, of(*LYCORIS), Ui(label="LyCORIS algorithm", basic=True)] = None
    """What lycoris.kohya trains. loha and lokr hold more in as small a file; full trains whole weights, at a tenth of
    LoRA's rate; diag-oft wants a few times that rate, and ia3 fifty times. Empty: locon."""

    preset: Annotated[str | None, of(*LYCORIS), Ui(label="LyCORIS preset", choices=PRESETS)] = None
    """Which layers are trained: a name, or a TOML file of LyCORIS, which can also give some of them a kind and a rank
    of their own. Empty: full with lycoris.kohya, and with other network types the layers that LoRA has."""

    network_dim: Annotated[int, Ge(1), of(*RANKED), Ui(label="Network rank", basic=True)] = 4
    """Rank: how much a network can hold. 4 to 32 for most things; more makes a larger file that also learns what it
    should not. For OFT it is the number of blocks, for diag-oft and boft the largest size of a block."""

    network_alpha: Annotated[float, Gt(0), of(*WITH_ALPHA), Ui(step=1, basic=True)] = 1.0
    """What is learned is scaled by alpha / rank. Usual values are 1, half the rank, and the rank; smaller needs higher
    rates. For OFT it limits the rotation: 1 hardly does, 0.001 does."""

    conv_dim: Annotated[int | None, Ge(1), CONVOLUTIONS, Ui(label="Convolution rank")] = None
    """Also train the U-Net's 3x3 convolutions, with this rank (LoCon). 1 to 16. Empty: they are left alone, but with a
    LyCORIS preset they have the network's rank."""

    conv_alpha: Annotated[float | None, Gt(0), CONVOLUTION_ALPHAS, Ui(label="Convolution alpha", step=1)] = None
    """Alpha of the 3x3 convolutions, where they are trained. Empty: 1, and the network's alpha with a LyCORIS
    preset."""

    network_dropout: Annotated[float, Ge(0), Lt(1), ANY, Ui(step=0.05), Aliases("dropout")] = 0.0
    """Chance that one of a module's values is dropped for one place of the image: a rank value, or an output where
    there is no rank. 0.1 to 0.5 against overfitting; 0 turns it off."""

    rank_dropout: Annotated[float, Ge(0), Lt(1), ANY, Ui(step=0.05)] = 0.0
    """Chance that a rank unit (an output, where there is no rank) is dropped for a whole image. 0.1 to 0.3 is usual; 0
    turns it off."""

    rank_dropout_scale: Annotated[bool, of(*LYCORIS)] = False
    """Scale up what rank_dropout leaves, as plain LoRA always does, so that the sum stays."""

    module_dropout: Annotated[float, Ge(0), Lt(1), ANY, Ui(step=0.05)] = 0.0
    """Chance that a whole module is skipped for a batch. 0.1 to 0.3 is usual; 0 turns it off."""

    train_norm: Annotated[bool, of(*LYCORIS)] = False
    """Also train the scales and shifts of the U-Net's normalizations, in the blocks that the preset reaches."""

    use_tucker: Annotated[bool, of(*FACTORED), Ui(label="Tucker form"), Aliases("use_cp", "use_conv_cp")] = False
    """Split 3x3 convolutions into three parts and not two: far smaller files, a little less reach."""

    use_scalar: Annotated[bool, of(*FACTORED, "glora"), Ui(label="Trained scalar")] = False
    """Start from nothing by a trained factor of 0, and not by a matrix of zeros. It is multiplied into the saved
    file."""

    rs_lora: Annotated[bool, of(*FACTORED, "glora"), Ui(label="Rank-stabilized")] = False
    """Scale by alpha / sqrt(rank) in place of alpha / rank, so that high ranks learn as fast as low ones."""

    dora_wd: Annotated[bool, of(*FACTORED), Ui(label="DoRA"), Aliases("weight_decompose")] = False
    """Train the length of each row of a weight apart from its direction (DoRA). Slower; often learns more at low
    ranks."""

    wd_on_output: Annotated[bool, of(*FACTORED), Ui(label="DoRA on outputs"), Aliases("wd_on_out")] = True
    """DoRA's lengths are those of a weight's rows, one for each output. Many programs that draw pictures read every
    file as if it were off (a length for each input): turn it off for them."""

    factor: Annotated[int, Ge(-1), of("lokr"), Ui(label="LoKr factor")] = -1
    """LoKr splits each side of a weight into two numbers, the smaller one near this. 4 to 16 makes larger files that
    learn more; -1 splits evenly, for the smallest file."""

    decompose_both: Annotated[bool, of("lokr")] = False
    """LoKr: write its small matrix as a product of two as well, where the rank is low enough for that to save
    something."""

    full_matrix: Annotated[bool, of("lokr")] = False
    """LoKr: keep its large matrix whole, without a rank. Alpha then has no effect."""

    unbalanced_factorization: Annotated[bool, of("lokr")] = False
    """LoKr: give the larger one of the output's two numbers to the small matrix."""

    train_on_input: Annotated[bool, of("ia3"), Ui(label="Scale the inputs")] = False
    """IA3: scale every layer's inputs and not its outputs. With the ia3 preset, second feed-forward layers always
    are."""

    unit: Annotated[
        int | None, Ge(1), of("dylora", "lycoris_dylora"), Ui(label="DyLoRA unit"), Aliases("block_size")
    ] = None
    """DyLoRA: how many ranks are trained together; the rank must be a multiple. Empty: 1 for networks.dylora, 4 for
    LyCORIS."""

    constraint: Annotated[float, Ge(0), of("diag-oft", "boft"), Ui(step=0.001), Aliases("constrain")] = 0.0
    """How far a rotation may go, times a layer's outputs. 0.0001 to 0.001 is usual; 0 sets no limit."""

    rescaled: Annotated[bool, of("diag-oft", "boft")] = False
    """Also train a factor for each output, which a rotation alone can't change."""

    enable_all_linear: Annotated[bool, of("oft"), Ui(label="OFT on all linear layers")] = False
    """OFT: train every layer of the transformer blocks, and not attention alone."""

    enable_conv: Annotated[bool, of("oft"), Ui(label="OFT on convolutions")] = False
    """OFT: train the residual blocks and their 3x3 convolutions too."""

    scale_weight_norms: Annotated[float, Ge(0), ANY, Ui(step=0.1)] = 0.0
    """After each step, shrink every module whose change of the weights (for OFT: whose blocks) is larger than this
    norm. 1 is usual; 0 turns it off."""

    network_train_unet_only: Annotated[bool, ANY, Ui(label="Train the U-Net only")] = False
    """Leave the text encoder as it is, and out of the file."""

    network_train_text_encoder_only: Annotated[bool, ANY, Ui(label="Train the text encoder only")] = False
    """Leave the U-Net as it is, and out of the file."""

    network_weights: Annotated[str | None, ANY, Ui(kind="file")] = None
    """A network file to start from instead of from nothing. Its ranks must be those set here, unless dim_from_weights
    is on."""

    dim_from_weights: Annotated[bool, ANY, Ui(label="Ranks from the weights")] = False
    """Take every module's rank and alpha from network_weights, and train only the modules that are in it."""

    base_weights: Annotated[Words, ANY, Ui(label="Base weights", kind="file")] = ()
    """Network files that are merged into the base model before training. The new network then learns what they lack."""

    base_weights_multiplier: Annotated[Numbers, ANY] = ()
    """The strength of each of base_weights, in their order. Empty: 1 for each."""

    loraplus_lr_ratio: Annotated[float | None, Gt(0), PLUS, Ui(label="LoRA+ ratio")] = None
    """Learn a LoRA's upper matrices this many times as fast as its lower ones (LoRA+). 4 to 16 is usual; empty turns
    it off."""

    loraplus_unet_lr_ratio: Annotated[float | None, Gt(0), PLUS, Ui(label="LoRA+ ratio of the U-Net")] = None
    """The LoRA+ ratio for the U-Net alone. Empty: loraplus_lr_ratio."""

    loraplus_text_encoder_lr_ratio: Annotated[
        float | None, Gt(0), PLUS, Ui(label="LoRA+ ratio of the text encoder")
    ] = None
    """The LoRA+ ratio for the text encoder alone. Empty: loraplus_lr_ratio."""

    down_lr_weight: Annotated[Weights, ANY, Ui(label="Rates of the down blocks")] = None
    """Factors on the U-Net's rate for its 12 down blocks (9 of SDXL): so many numbers, or sine, cosine, linear,
    reverse_linear or zeros, to which a number can be added (cosine+.25). A block with 0 gets no modules. Empty: 1 for
    each."""

    mid_lr_weight: Annotated[Weights, ANY, Ui(label="Rate of the middle block")] = None
    """The factor on the U-Net's rate for its middle block (3 numbers for SDXL's 3). 0 leaves it out; empty: 1."""

    up_lr_weight: Annotated[Weights, ANY, Ui(label="Rates of the up blocks")] = None
    """Factors on the U-Net's rate for its 12 up blocks (9 of SDXL), given as for the down blocks."""

    block_lr_zero_threshold: Annotated[float, Ge(0), Le(1), ANY, Ui(step=0.05)] = 0.0
    """Block factors that are not above this count as 0, so that their blocks get no modules. 0 keeps every block above
    0."""

    block_dims: Annotated[Integers, of(*RANKED)] = ()
    """The rank of each of the U-Net's 25 blocks: 12 down, 1 middle, 12 up. SDXL has 23: what it embeds, 9 down, 3
    middle, 9 up, and what is left. 0 leaves a block out. Empty: network_dim everywhere."""

    block_alphas: Annotated[Numbers, of(*WITH_ALPHA)] = ()
    """The alpha of each of these blocks. Empty: network_alpha everywhere."""

    conv_block_dims: Annotated[Integers, CONVOLUTIONS, Ui(label="Convolution ranks of the blocks")] = ()
    """The rank of the 3x3 convolutions of each of these blocks. 0 leaves a block's out. Empty: conv_dim everywhere."""

    conv_block_alphas: Annotated[Numbers, CONVOLUTION_ALPHAS, Ui(label="Convolution alphas of the blocks")] = ()
    """The alpha of the 3x3 convolutions of each of these blocks. Empty: conv_alpha everywhere."""

    network_args: Annotated[Words, ANY, Ui(lines=2)] = ()
    """The settings of this section in sd-scripts' way, as key=value words: conv_dim=8 conv_alpha=4."""

    @property
    def module(self) -> str:
        return self.network_module.strip().removeprefix("sd_scripts.")

    @property
    def kind(self) -> str | None:
        """The adapter kind, or None where `network_module` names none."""
        if self.module != LYCORIS_MODULE:
            return modules().get(self.module)
        algorithm = self.algo or network_args.algorithm(self.network_args) or USUAL_ALGORITHM
        return algorithms().get(algorithm.lower())

    @property
    def kinds(self) -> tuple[str | None, ...]:
        """`kind`, and those that a preset's file gives to some layers."""
        try:
            chosen = self.chosen_layers if self.kind in LYCORIS else None
        except UserError:
            chosen = None
        return (self.kind, *map(algorithms().get, chosen.algorithms if chosen else ()))

    @property
    def layers(self) -> str | None:
        """The preset that says which layers are trained; None for those that LoRA has."""
        return self.preset or ("full" if self.module == LYCORIS_MODULE else None)

    @property
    def chosen_layers(self) -> LayerChoice | None:
        """What a preset's file says. Raises UserError."""
        return layer_choice.read(self.preset) if self.preset and self.preset.endswith(".toml") else None

    @property
    def trains_convolutions(self) -> bool:
        """Whether layers outside the transformer blocks can be trained; a preset may leave some of them out again."""
        return bool(self.layers or self.conv_dim or self.conv_block_dims or (self.kind == "oft" and self.enable_conv))

    @property
    def convolution_rank(self) -> int:
        """The rank of 3x3 convolutions without one of their block's; 0 leaves them alone."""
        if self.layers in WITHOUT_CONVOLUTIONS or (self.chosen_layers and not self.chosen_layers.convolutions):
            return 0
        of_network = self.network_dim if self.layers or (self.kind == "oft" and self.enable_conv) else 0
        return self.conv_dim or of_network

    @property
    def convolution_alpha(self) -> float:
        own = self.network_alpha if self.layers or self.kind in ("dylora", "oft") else 1.0
        return own if self.conv_alpha is None else self.conv_alpha

    @property
    def trained_together(self) -> int:
        """How many of DyLoRA's ranks are."""
        return self.unit or (4 if self.module == LYCORIS_MODULE else 1)

    def resolved(self) -> NetworkConfig:
        """With what `network_args` says put where it belongs, and without what has no effect on its kind.

        Raises ValidationError for values that `relations` reports.
        """
        given = {**network_args.given(self.network_args), "network_args": ()}
        read = self.model_validate({**self.model_dump(), **given}) if self.network_args else self
        return read.model_copy(update=network_args.idle(read))

    def of_layer(self, name: str, role: str, layer: str) -> NetworkConfig:
        """As it is for one layer: a preset's file may say of some that they differ. layer: its class.

        Raises UserError.
        """
        chosen = self.chosen_layers
        own = chosen.own_settings(name, role, layer) if chosen else None
        return network_args.of_layer(self, own) if own else self

    def relations(self) -> Iterator[Problem]:
        if self.kind is None and self.module != LYCORIS_MODULE:
            names = ", ".join(modules())
            yield Problem("network_module", f"There is no network type {self.network_module!r}; there is: {names}.")
        wrong = list(network_args.problems(self))
        yield from wrong
        yield from self._part_problems()
        yield from self._weight_file_problems()
        if not any(problem.stops for problem in wrong):
            yield from network_checks.problems(self.resolved())

    def _part_problems(self) -> Iterator[Problem]:
        if self.network_train_unet_only and self.network_train_text_encoder_only:
            yield Problem(
                "network_train_unet_only",
                "It and network_train_text_encoder_only are both on, so nothing would be trained; turn one off.",
            )

    def _weight_file_problems(self) -> Iterator[Problem]:
        if self.dim_from_weights and not self.network_weights:
            yield Problem(
                "dim_from_weights",
                "It takes the ranks from network_weights, which is empty; name a file there or turn it off.",
            )
        if self.base_weights_multiplier and len(self.base_weights_multiplier) != len(self.base_weights):
            yield Problem(
                "base_weights_multiplier",
                f"It has {len(self.base_weights_multiplier)} numbers for {len(self.base_weights)} base_weights; "
                "give one for each, or none.",
            )


def rates(network: NetworkConfig, optimizer: Any, training: Any) -> Mapping[str, float]:
    """Part of the model -> its learning rate, 0 where the part is not trained.

    A rate that is not set (None, or no number for the text encoder) is `learning_rate`; 0 means 0. One number for the
    text encoder is for both, where there are two.
    """
    unet = optimizer.learning_rate if optimizer.unet_lr is None else optimizer.unet_lr
    texts = optimizer.text_encoder_lr or (optimizer.learning_rate,)
    leaves_text = network.network_train_unet_only or training.never_trains_text_encoder
    return {
        "unet": 0.0 if network.network_train_text_encoder_only else unet,
        "text_encoder": 0.0 if leaves_text else texts[0],
        "text_encoder_2": 0.0 if leaves_text else texts[:2][-1],
    }
