"""The JSON schema of a spec file, by which an editor completes its keys and checks them.

It is made from the typed spec and the registry: descriptions are the docstrings of the fields, and
ranges and defaults are those of the types. A file is one layer of several (`extends`, `variants`,
`--set`), so it may leave out every key, also the `kind` of a section that the layer below chooses.
Conditions between keys are left to the reader: whatever the reader accepts, the schema accepts.
"""

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from asrbench.experiment.kinds import Kinds
from asrbench.experiment.registry import MODELS
from asrbench.experiment.spec import Cell, FoldSpec, PluginFile
from asrbench.experiment.spec_base import Spec
from asrbench.experiment.spec_study import StudyKeys
from asrbench.experiment.spec_validation import LABELS

DIALECT = "http://json-schema.org/draft-07/schema#"
"""The newest version that all editors read: yaml-language-server reads later ones since 1.20."""

REFERENCE = "#/definitions/{model}"

EXTENDS = {"type": "string", "description": "Spec file whose keys this one adds to or changes."}
PLUGINS = {
    "type": "array",
    "items": {"type": "string"},
    "description": Cell.model_fields["plugins"].description,
}
"""A user writes paths; the digest beside each is added when the file is read."""


def spec_schema() -> dict[str, Any]:
    """Returns the JSON schema (draft 07) of a spec file, as plain data.

    It knows the models and kinds that are registered: load plug-ins before.
    """
    # The last two are no sections of a file. A plug-in may have classes of the same names.
    wanted: tuple[type[Spec], ...] = (StudyKeys, Cell, FoldSpec, PluginFile)
    references, found = models_json_schema(
        [(each, "validation") for each in wanted],
        schema_generator=_SpecSchema,
        ref_template=REFERENCE,
    )
    definitions = found["$defs"]
    of_file, of_run, *_ = [
        definitions.pop(_name(references[each, "validation"])) for each in wanted
    ]
    sections = {name: keys for name, keys in of_run["properties"].items() if name not in LABELS}
    sections["plugins"] = PLUGINS
    model = definitions[_name(sections["model"])]
    model["properties"]["name"]["enum"] = list(MODELS)
    definitions["Variant"] = _section(sections)
    of_file["properties"]["variants"] |= {
        "additionalProperties": {
            "anyOf": [{"$ref": REFERENCE.format(model="Variant")}, {"type": "null"}]
        },
        "type": ["object", "null"],
    }
    del of_file["properties"]["variants"]["anyOf"]
    return {
        "$schema": DIALECT,
        "title": "asrbench spec",
        **_section({"extends": EXTENDS, **of_file["properties"], **sections}),
        "definitions": definitions,
    }


def _section(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).removeprefix(REFERENCE.format(model=""))


class _SpecSchema(GenerateJsonSchema):
    """Makes the schemas of layers, in draft 07, with the kinds of every open section."""

    def function_plain_schema(
        self, schema: core_schema.PlainValidatorFunctionSchema
    ) -> JsonSchemaValue:
        """Open sections are validated by the method of their table."""
        table = getattr(schema["function"]["function"], "__self__", None)
        if not isinstance(table, Kinds):
            return super().function_plain_schema(schema)
        specs = [table.of(name).spec for name in table.names()]
        kinds = [self.generate_inner(spec.__pydantic_core_schema__) for spec in specs]
        # Nothing is valid where nothing is registered, as loss terms without a plug-in.
        return {"type": "object", "anyOf": kinds} if kinds else {"not": {}}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Without its `kind`, a section may be valid for several of them."""
        return {"anyOf": super().tagged_union_schema(schema)["oneOf"]}

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        """Draft 07 calls `items` what is `prefixItems` later."""
        found = super().tuple_schema(schema)
        return {{"prefixItems": "items"}.get(key, key): value for key, value in found.items()}

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Any key may stand in another layer."""
        return False

    def field_title_should_be_set(self, schema: Any) -> bool:
        """The key itself says it."""
        return False
