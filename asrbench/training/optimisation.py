"""Optimizers, and learning rate schedules as pure functions of the progress of training."""

import math

import torch
from torch import nn

from asrbench.experiment.spec_train import (
    Constant,
    Cosine,
    Noam,
    OneCycle,
    OptimizerSpec,
    ScheduleSpec,
    TriStage,
)


def build_optimizer(model: nn.Module, spec: OptimizerSpec) -> torch.optim.Optimizer:
    """Returns Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019).

    Only matrices and kernels have weight decay; vectors (biases, norms) have none.
    """
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": spec.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    kind: type[torch.optim.Adam] = torch.optim.AdamW if spec.kind == "adamw" else torch.optim.Adam
    return kind(groups, lr=spec.lr, betas=spec.betas, fused=True)


def learning_rate(spec: ScheduleSpec, peak: float, progress: float) -> float:
    """Returns the learning rate at `progress`, the share of the training that is over (0 to 1)."""
    rising = progress < spec.warmup
    climbed = progress / spec.warmup if rising else 1.0
    fallen = 0.0 if rising else (progress - spec.warmup) / (1 - spec.warmup)
    match spec:
        case Constant():
            return peak * climbed
        case Cosine():
            return peak * (climbed if rising else _cosine(1.0, spec.final, fallen))
        case OneCycle():
            # Smith & Topin 2017, arXiv:1708.07120, with a cosine instead of linear ramps.
            start = _cosine(spec.initial, 1.0, climbed)
            return peak * (start if rising else _cosine(1.0, spec.final, fallen))
        case TriStage():
            # Ramp, hold and exponential decay as in Park et al. 2019, arXiv:1904.08779.
            decay = 1 - spec.warmup - spec.hold
            over = max(0.0, progress - spec.warmup - spec.hold)
            return peak * climbed * (spec.final ** (over / decay) if decay > 0 else 1.0)
        case Noam():
            # Vaswani et al. 2017, equation 3, scaled so that the warm-up ends at the peak.
            return peak * (climbed if rising else math.sqrt(spec.warmup / progress))


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
