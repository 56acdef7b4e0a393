"""Kinds: which spec class and which module belong to a `kind` that a spec may name.

There is one table each for attention blocks, encoders, heads and loss terms. The package's own
kinds and those of a user's plug-in enter by the same call. A section of a spec whose type is open
in this way (`EncoderSpec`, for example) is validated by the class registered for its `kind`.

Modules need torch, and most of the package must import without it. So the package's own kinds are
registered by `asrbench.models.registry`, which is imported when a kind is first looked up.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticKnownError

from asrbench.base.errors import UserError, pick
from asrbench.experiment.spec_base import Spec

OWN = "asrbench.models.registry"
"""The module that registers the package's own kinds when it is imported."""
ASRBENCH = "asrbench"
"""The origin of the package's own kinds; the origin of a plug-in's kinds is its file."""


class KindSpec(Spec):
    """The base of every spec class that is chosen by its `kind`."""

    kind: str
    table: ClassVar["Kinds[Any]"]
    """The table in which the kinds of this section are registered."""


S = TypeVar("S", bound=KindSpec)


@dataclass(frozen=True)
class Registered(Generic[S]):
    """One kind: its spec class, the function or class that builds its module, and its origin."""

    spec: type[S]
    build: Callable[..., Any]
    origin: str
    """The plug-in file that registered it, or `ASRBENCH`."""

    @property
    def kind(self) -> str:
        """The name that a spec gives."""
        return str(self.spec.model_fields["kind"].default)


class Kinds(Generic[S]):
    """The table of one section of a spec, from the name of a kind to its registration."""

    origin: ClassVar[str] = ASRBENCH
    """The origin of the kinds registered now; `registered_by` sets it."""

    def __init__(self, section: str, base: type[S]) -> None:
        self.section, self.base = section, base
        self._table: dict[str, Registered[S]] = {}

    def register(self, spec: type[S], build: Callable[..., Any]) -> None:
        """Adds a kind under the default of the `kind` field of its spec class.

        Raises `UserError` for a spec class of another section, for a class that names no kind,
        and for a kind that another origin has registered.
        """
        where = f"{Kinds.origin}: {self.section} {getattr(spec, '__name__', spec)}"
        if not (isinstance(spec, type) and issubclass(spec, self.base)):
            raise UserError(f"{where}: allowed: a subclass of {self.base.__name__}")
        field = spec.model_fields.get("kind")
        kind = None if field is None else field.default
        if not isinstance(kind, str):
            raise UserError(f'{where}: found no kind; write `kind: Literal["name"] = "name"`')
        known = self._table.get(kind)
        if known is not None and known.origin != Kinds.origin:
            raise UserError(
                f"{where}: the kind '{kind}' is registered by {known.origin} already; choose "
                f"another name"
            )
        self._table[kind] = Registered(spec, build, Kinds.origin)

    def names(self) -> list[str]:
        """The names of all kinds, in the order of their registration."""
        return list(self._all())

    def of(self, kind: str) -> Registered[S]:
        """Returns the registration of `kind`. Raises `UserError`, with the nearest name."""
        return self._all()[pick(self.section, kind, self._all())]

    def by_origin(self, origin: str) -> list[Registered[S]]:
        """Returns the kinds that `origin` registered."""
        return [each for each in self._all().values() if each.origin == origin]

    def build(self, spec: S, **sizes: int) -> Any:
        """Returns the module that `spec` describes, for inputs of the given sizes."""
        return self.of(spec.kind).build(spec, **sizes)

    def validated(self, value: Any) -> S:
        """Returns `value` as an instance of the spec class of its `kind`. pydantic calls this."""
        if isinstance(value, self.base):
            return value
        if not isinstance(value, dict):
            raise PydanticKnownError("dict_type")
        kind = value.get("kind")
        if kind is None:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
        known = self._all()
        if not isinstance(kind, str) or kind not in known:
            expected = ", ".join(f"'{name}'" for name in known)
            raise PydanticKnownError(
                "union_tag_invalid",
                {"discriminator": "'kind'", "tag": str(kind), "expected_tags": expected},
            )
        # Strict pydantic models accept lists for tuples only in JSON.
        return known[kind].spec.model_validate_json(json.dumps(value, default=str))

    def _all(self) -> dict[str, Registered[S]]:
        with registered_by(ASRBENCH):
            import_module(OWN)
        return self._table


def origins_of(spec: BaseModel) -> set[str]:
    """Returns the origins of `spec`'s kind, where it has one, and of every kind within it."""
    found = {spec.table.of(spec.kind).origin} if isinstance(spec, KindSpec) else set()
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, BaseModel):
                found |= origins_of(each)
    return found


@contextmanager
def registered_by(origin: str) -> Iterator[None]:
    """Makes `origin`, the file of a plug-in, the origin of kinds registered within the context."""
    before, Kinds.origin = Kinds.origin, origin
    try:
        yield
    finally:
        Kinds.origin = before
