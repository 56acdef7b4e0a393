"""Dropout from random bits: its share, its scale, its seed."""

import pytest
import torch

from asrbench.models.layers.dropout import STEPS, Dropout


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_left_is_scaled_to_the_same_mean(share: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    y = Dropout(share)(torch.ones(1000, 999, dtype=dtype))
    assert y.dtype == dtype
    dropped = float((y == 0).float().mean())
    # Five standard deviations of a mean of so many draws.
    assert abs(dropped - share) < 5 * (share * (1 - share) / y.numel()) ** 0.5
    kept = STEPS / (STEPS - round(share * STEPS))
    assert y.unique().tolist() == [0.0, float(torch.tensor(kept, dtype=dtype))]


def test_neighbours_are_drawn_apart() -> None:
    """Four draws come from one word of random bits: each is as likely dropped, and alone."""
    torch.manual_seed(0)
    kept_N4 = (Dropout(0.5)(torch.ones(200_000)) != 0).view(-1, 4).float()
    torch.testing.assert_close(kept_N4.T.corrcoef(), torch.eye(4), atol=0.02, rtol=0)
    torch.testing.assert_close(kept_N4.mean(0), torch.full((4,), 0.5), atol=0.01, rtol=0)


def test_the_seed_decides() -> None:
    x, dropout = torch.ones(101), Dropout(0.5)
    torch.manual_seed(1)
    first = dropout(x)
    assert not torch.equal(dropout(x), first)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)


def test_gradients_pass_where_values_did() -> None:
    torch.manual_seed(0)
    x = torch.ones(50, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_and_everything_dropped(share: float, expected: float) -> None:
    assert Dropout(share)(torch.ones(9)).unique().tolist() == [expected]


def test_nothing_is_dropped_in_eval_mode() -> None:
    x = torch.ones(9)
    assert Dropout(0.9).eval()(x) is x
