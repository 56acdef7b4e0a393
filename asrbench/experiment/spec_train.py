"""How a run is trained, typed: optimizer, schedule, batch, budget."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from asrbench.experiment.spec_base import Count, Decay, Impossible, Positive, Share, Spec


class OptimizerSpec(Spec):
    kind: Literal["adamw", "adam"] = "adamw"
    """AdamW decays the weights apart from the gradient, Adam within it."""
    lr: Positive = 3e-4
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Weight decay of matrices and kernels; biases and norms have none."""
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    """Decay of the running mean and of the running square of the gradient, per step."""
    clip_norm: Positive = 5.0
    """Greatest gradient norm; a larger gradient is scaled down to it."""


class _Warmup(Spec):
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the training in which the rate climbs from zero to its peak."""


class Constant(_Warmup):
    kind: Literal["constant"] = "constant"


class Cosine(_Warmup):
    kind: Literal["cosine"] = "cosine"
    final: Share = 0.01
    """Rate at the end, as a share of the peak."""


class OneCycle(_Warmup):
    kind: Literal["one_cycle"] = "one_cycle"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the training in which the rate climbs, along a cosine, to its peak."""
    initial: Share = 0.04
    """Rate at the start, as a share of the peak."""
    final: Share = 1e-4
    """Rate at the end, as a share of the peak."""


class TriStage(_Warmup):
    kind: Literal["tri_stage"] = "tri_stage"
    hold: Share = 0.4
    """Share of the training in which the rate keeps its peak."""
    final: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Rate at the end of the exponential decay, as a share of the peak."""

    @model_validator(mode="after")
    def _within_training(self) -> "TriStage":
        if self.warmup + self.hold > 1:
            raise Impossible(
                "hold", f"found {self.hold}, allowed: at most 1 - warmup ({1 - self.warmup:g})"
            )
        return self


class Noam(_Warmup):
    kind: Literal["noam"] = "noam"
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training in which the rate climbs; then it falls as 1 / sqrt(step)."""


ScheduleSpec = Annotated[
    Constant | Cosine | OneCycle | TriStage | Noam, Field(discriminator="kind")
]


class TrainSpec(Spec):
    epochs: Count = 30
    """Passes over the training split."""
    batch_seconds: Positive = 120.0
    """Audio in one batch, padding included, in seconds."""
    accumulate: Count = 1
    """Parts of a batch that pass the device one by one before a step; batch norm sees one part."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """What turns gradients into steps."""
    schedule: ScheduleSpec = Cosine()
    """How the learning rate moves over the training."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of the forward pass; `auto` is bf16 where the hardware has it. CTC is fp32 always."""
    max_hours: Positive | None = None
    """Time after which one start of the command stops, in hours; no part of the run's identity."""
    stop_if_stuck: Count | None = None
    """Epochs in a row without a sign of learning that stop the run; no part of its identity."""
