"""Learning rates by hand, and optimizers that decay only what they should."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import fresh, small
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
from asrbench.models.model import Model
from asrbench.training.optimisation import build_optimizer, learning_rate

PEAK = 2e-3

SCHEDULES: list[ScheduleSpec] = [
    Constant(warmup=0.1),
    Constant(warmup=0.0),
    Cosine(warmup=0.1, final=0.01),
    Cosine(warmup=0.0),
    OneCycle(warmup=0.3, initial=0.04, final=1e-4),
    OneCycle(warmup=0.0),
    TriStage(warmup=0.1, hold=0.4, final=0.05),
    TriStage(warmup=0.5, hold=0.5),
    Noam(warmup=0.1),
]
every_schedule = pytest.mark.parametrize("spec", SCHEDULES, ids=str)
GRID = [i / 1000 for i in range(1001)]


def rate(spec: ScheduleSpec, progress: float) -> float:
    """As a share of the peak."""
    return learning_rate(spec, PEAK, progress) / PEAK


# Every schedule


@every_schedule
def test_the_peak_is_reached_at_the_end_of_the_warmup_and_never_passed(
    spec: ScheduleSpec,
) -> None:
    assert rate(spec, spec.warmup) == pytest.approx(1)
    assert max(rate(spec, p) for p in GRID) <= 1 + 1e-12


@every_schedule
def test_rates_rise_in_the_warmup_and_never_again(spec: ScheduleSpec) -> None:
    rising = [rate(spec, p) for p in GRID if p <= spec.warmup]
    falling = [rate(spec, p) for p in GRID if p >= spec.warmup]
    assert all(a < b for a, b in pairwise(rising))
    assert all(a >= b - 1e-12 for a, b in pairwise(falling))
    assert min(rising[1:] + falling) > 0


@every_schedule
def test_rates_make_no_jump(spec: ScheduleSpec) -> None:
    """Over a thousandth of the training never more than 3 % of the peak."""
    assert max(abs(rate(spec, a) - rate(spec, b)) for a, b in pairwise(GRID)) < 0.03


@every_schedule
@pytest.mark.parametrize("progress", [0.0, 0.05, 0.5, 1.0])
def test_rates_are_in_proportion_to_the_peak(spec: ScheduleSpec, progress: float) -> None:
    assert learning_rate(spec, 3.0, progress) == pytest.approx(3 * rate(spec, progress))


# Each one by hand


def test_constant() -> None:
    """Warm-up of 0.1: 0, half the peak at 0.05, then the peak."""
    spec = Constant(warmup=0.1)
    assert [rate(spec, p) for p in (0, 0.05, 0.1, 0.6, 1)] == pytest.approx([0, 0.5, 1, 1, 1])
    assert rate(Constant(warmup=0.0), 0) == 1


def test_cosine() -> None:
    """A third of the way down, at 0.1 + 0.9 / 3: (1 + cos 60 degrees) / 2 = 3/4 of the range from
    1 to 0.2, so 0.8; half way 0.6; at the end 0.2."""
    spec = Cosine(warmup=0.1, final=0.2)
    progress = (0, 0.05, 0.1, 0.4, 0.55, 1)
    assert [rate(spec, p) for p in progress] == pytest.approx([0, 0.5, 1, 0.8, 0.6, 0.2])
    assert rate(Cosine(warmup=0.0), 0) == 1


def test_one_cycle() -> None:
    """Half way up (0.04 + 1) / 2 = 0.52; half way down (1 + 0.0001) / 2."""
    spec = OneCycle(warmup=0.3, initial=0.04, final=1e-4)
    expected = [0.04, 0.52, 1, 0.50005, 1e-4]
    assert [rate(spec, p) for p in (0, 0.15, 0.3, 0.65, 1)] == pytest.approx(expected)


def test_one_cycle_is_torchs() -> None:
    """The same cosine flanks, step by step: 100 steps, the last of torch's at progress 1."""
    steps, spec = 101, OneCycle(warmup=0.3, initial=0.04, final=1e-4)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=PEAK)
    # torch warms up for pct_start * total - 1 steps and ends at `final` of its initial rate.
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        PEAK,
        total_steps=steps,
        pct_start=31 / 101,
        div_factor=1 / spec.initial,
        final_div_factor=spec.initial / spec.final,
        cycle_momentum=False,
    )
    for step in range(steps):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(
            learning_rate(spec, PEAK, step / (steps - 1)), abs=1e-9
        )
        optimizer.step()
        if step < steps - 1:
            scheduler.step()


def test_tri_stage() -> None:
    """Warm-up 0.1, hold 0.4: half-way through the decay, at 0.75, sqrt(0.01) = 0.1."""
    spec = TriStage(warmup=0.1, hold=0.4, final=0.01)
    progress = (0, 0.05, 0.1, 0.3, 0.5, 0.75, 1)
    expected = [0, 0.5, 1, 1, 1, 0.1, 0.01]
    assert [rate(spec, p) for p in progress] == pytest.approx(expected)
    assert rate(TriStage(warmup=0.5, hold=0.5), 1) == pytest.approx(1)


def test_noam() -> None:
    """Four times the warm-up's length halves the rate: 1 / sqrt(4)."""
    spec = Noam(warmup=0.1)
    expected = [0, 0.5, 1, 0.5, math.sqrt(0.1)]
    assert [rate(spec, p) for p in (0, 0.05, 0.1, 0.4, 1)] == pytest.approx(expected)


@given(st.floats(0, 0.99), st.floats(0, 1), st.floats(0, 1))
def test_cosine_stays_between_its_ends(warmup: float, final: float, progress: float) -> None:
    assert 0 <= rate(Cosine(warmup=warmup, final=final), progress) <= 1 + 1e-9


# Optimizers


def a_model() -> Model:
    return fresh(small("ds2_twattn"))


def test_every_parameter_is_in_one_group_and_vectors_do_not_decay() -> None:
    model = a_model()
    optimizer = build_optimizer(model, OptimizerSpec(weight_decay=0.1))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(decay)
    assert set(decay) == {id(p) for p in model.parameters()}
    for name, parameter in model.named_parameters():
        spared = "bias" in name or "norm" in name or name.endswith("log_rate")
        assert decay[id(parameter)] == (0.0 if spared else 0.1), name


@pytest.mark.parametrize("kind", ["adamw", "adam"])
def test_kinds_and_settings(kind: str) -> None:
    settings = {"kind": kind, "lr": 1e-3, "betas": (0.8, 0.95)}
    optimizer = build_optimizer(a_model(), OptimizerSpec.model_validate(settings))
    assert type(optimizer) is {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[kind]
    for group in optimizer.param_groups:
        assert group["lr"] == 1e-3
        assert group["betas"] == (0.8, 0.95)


def test_what_does_not_learn_is_no_parameter_of_the_optimizer() -> None:
    model = nn.Linear(3, 2)
    model.weight.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerSpec())
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    assert [id(p) for p in parameters] == [id(model.bias)]


@pytest.mark.parametrize(("kind", "matrix"), [("adamw", 0.9), ("adam", 0.99)])
def test_one_step_by_hand(kind: str, matrix: float) -> None:
    """Weights of 1, no gradient but decay of 10, rate 0.01. AdamW takes lr * decay = 10 % of each
    away; Adam has the decay for its gradient, and a first step of Adam is lr whatever the
    gradient. Biases stay."""
    model = nn.Linear(3, 2)
    nn.init.ones_(model.weight)
    nn.init.ones_(model.bias)
    spec = OptimizerSpec.model_validate({"kind": kind, "lr": 0.01, "weight_decay": 10.0})
    optimizer = build_optimizer(model, spec)
    (0 * model(torch.ones(1, 3))).sum().backward()
    optimizer.step()
    torch.testing.assert_close(model.weight.data, torch.full((2, 3), matrix))
    assert torch.equal(model.bias.data, torch.ones(2))
