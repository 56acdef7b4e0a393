"""The base class of all sections of a spec, the types of their numbers, and their error."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Layers = Annotated[int, Field(ge=1, le=100)]
"""A number of layers, which are built one by one: a bound that no model needs ends a slip."""
Decay = Annotated[float, Field(ge=0, lt=1)]
DropoutRate = Annotated[float, Field(ge=0, le=0.99)]
"""A dropout rate. Closer to 1, the scale 1 / (1 - rate) of what is kept is no longer exact."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Impossible(ValueError):
    """The error for an impossible combination of keys; `path` is the key to change."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = tuple(path.split("."))


class Spec(BaseModel):
    """The base class of all sections of a spec: frozen, strict, and without unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
