"""The typed spec of the training: optimizer, schedule, batches, limits."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from asrbench.experiment.spec_base import Count, Decay, Impossible, Positive, Share, Spec


class OptimizerSpec(Spec):
    kind: Literal["adamw", "adam"] = "adamw"
    """Optimizer; weight decay is decoupled from the gradient in AdamW, and part of it in Adam."""
    lr: Positive = 3e-4
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Weight decay of matrices and kernels; biases and norms have none."""
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    """Decay per step of the running means of the gradient and of its square."""
    clip_norm: Positive = 5.0
    """Greatest gradient norm; a larger gradient is scaled down to it."""


class _Warmup(Spec):
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the training in which the learning rate rises from zero to its peak."""


class Constant(_Warmup):
    kind: Literal["constant"] = "constant"
    """The learning rate stays at its peak."""


class Cosine(_Warmup):
    kind: Literal["cosine"] = "cosine"
    """The learning rate falls along a half cosine."""
    final: Share = 0.01
    """Learning rate at the end, as a share of the peak."""


class OneCycle(_Warmup):
    kind: Literal["one_cycle"] = "one_cycle"
    """The learning rate rises and falls along cosines."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the training in which the learning rate rises, along a cosine, to its peak."""
    initial: Share = 0.04
    """Learning rate at the start, as a share of the peak."""
    final: Share = 1e-4
    """Learning rate at the end, as a share of the peak."""


class TriStage(_Warmup):
    kind: Literal["tri_stage"] = "tri_stage"
    """The learning rate rises, stays, and falls exponentially."""
    hold: Share = 0.4
    """Share of the training in which the learning rate stays at its peak."""
    final: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Learning rate at the end of the exponential decay, as a share of the peak."""

    @model_validator(mode="after")
    def _within_training(self) -> "TriStage":
        if self.warmup + self.hold > 1:
            raise Impossible(
                "hold", f"found {self.hold}, allowed: at most 1 - warmup ({1 - self.warmup:g})"
            )
        return self


class Noam(_Warmup):
    kind: Literal["noam"] = "noam"
    """The schedule of the Transformer's paper (arXiv:1706.03762)."""
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training in which the learning rate rises; then it falls as 1 / sqrt(step)."""


ScheduleSpec = Annotated[
    Constant | Cosine | OneCycle | TriStage | Noam, Field(discriminator="kind")
]


class Best(Spec):
    kind: Literal["best"] = "best"
    """The weights after the epoch with the lowest dev CER."""


class Last(Spec):
    kind: Literal["last"] = "last"
    """The weights after the last epoch."""


class Average(Spec):
    """The arithmetic mean of weights (Vaswani et al. 2017, section 6.1; Izmailov et al. 2018)."""

    kind: Literal["average"] = "average"
    """The mean of the weights after several epochs."""
    epochs: Annotated[int, Field(ge=2)] = 5
    """Number of epochs whose weights are averaged."""
    of: Literal["last", "best"] = "last"
    """Epochs that are averaged: the `last` ones, or the `best`, those with the lowest dev CERs."""


WeightsSpec = Annotated[Best | Last | Average, Field(discriminator="kind")]


class TrainSpec(Spec):
    epochs: Count = 30
    """Passes over the training split."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training utterances that is used; a smaller one is part of a larger one."""
    batch_seconds: Positive = 120.0
    """Audio in one batch, padding included, in seconds."""
    accumulate: Count = 1
    """Micro-batches per step (gradient accumulation); batch norm sees one micro-batch at a time."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """Optimizer and its options."""
    schedule: ScheduleSpec = Cosine()
    """Schedule of the learning rate over the training."""
    freeze: tuple[str, ...] = ()
    """Modules and parameters that are not trained, as `encoder.front_end`."""
    weights: WeightsSpec = Best()
    """Rule that chooses the weights that are tested; docs/choosing_weights.md compares them."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Precision of the forward pass; `auto` is bf16 where the hardware has it. CTC stays fp32."""
    max_hours: Positive | None = None
    """Hours after which `train` saves a checkpoint and stops; not part of the run's identity."""
    stop_if_stuck: Count | None = None
    """Epochs in a row without a sign of learning that stop the run; not part of its identity."""

    @model_validator(mode="after")
    def _enough_epochs(self) -> "TrainSpec":
        if self.averaged_epochs > self.epochs:
            raise Impossible(
                "weights.epochs",
                f"found {self.averaged_epochs}, allowed: at most train.epochs ({self.epochs})",
            )
        return self

    @property
    def tested_weights(self) -> str:
        """The weights that `train.weights` chooses for testing, in words."""
        match self.weights:
            case Best():
                return "the weights after the epoch with the lowest dev CER"
            case Last():
                return "the weights after the last epoch"
            case Average(epochs=epochs, of="best"):
                return (
                    f"the mean of the weights after each of the {epochs} epochs with the lowest "
                    f"dev CERs"
                )
            case Average(epochs=epochs):
                return f"the mean of the weights after each of the last {epochs} epochs"

    @property
    def averaged_epochs(self) -> int:
        """The number of epochs whose weights are averaged; 0 under the other rules."""
        return self.weights.epochs if isinstance(self.weights, Average) else 0

    @property
    def averages_best(self) -> bool:
        """Whether the best epochs are averaged and not the last ones."""
        return isinstance(self.weights, Average) and self.weights.of == "best"
