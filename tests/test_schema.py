"""The JSON Schemas for editors: every shipped file fits, and what the loader refuses does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptshot import shelf
from promptshot.cli import run_command
from promptshot.prompts import library, strict
from promptshot.prompts.template import TemplateSpec
from promptshot.prompts.verbalizer import VerbalizerSpec

BROKEN = Path(__file__).parent / "broken"
SCHEMAS = {"templates": strict.schema(TemplateSpec, "t"), "verbalizers": strict.schema(VerbalizerSpec, "v")}
TYPES: dict[str, Any] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
KNOWN = {"$schema", "$defs", "$ref", "title", "description", "default", "type", "enum", "const", "anyOf", "items"} | {
    "properties", "required", "additionalProperties", "minLength"
}  # fmt: skip


def fits(value: Any, schema: Any, root: Any) -> bool:
    """Whether a value fits a schema, for the keywords that ours have."""
    if isinstance(schema, bool):
        return schema
    assert set(schema) <= KNOWN, f"teach this test about {set(schema) - KNOWN}"
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in schema and not any(fits(value, one, root) for one in schema["anyOf"]):
        return False
    named = schema.get("type", list(TYPES))
    if not any(of_type(value, name) for name in ([named] if isinstance(named, str) else named)):
        return False
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        return False
    if isinstance(value, list):
        return all(fits(item, schema.get("items", True), root) for item in value)
    if isinstance(value, dict):
        own = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        return set(schema.get("required", [])) <= set(value) and all(
            fits(item, own.get(key, others), root) for key, item in value.items()
        )
    return len(str(value)) >= schema.get("minLength", 0)


def of_type(value: Any, name: str) -> bool:
    """A truth value is no number in JSON."""
    return isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def as_an_editor_reads_it(path: Path) -> Any:
    """YAML with numbers and truth values; keys are text, as in JSON."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(k, n) for k in ("templates", "verbalizers") for n in library.names(k)],  # type: ignore[arg-type]
)
def test_every_shipped_file_fits_its_schema(kind: shelf.Shelf, name: str) -> None:
    assert fits(as_an_editor_reads_it(library.find(kind, name)), SCHEMAS[kind], SCHEMAS[kind])


@pytest.mark.parametrize(
    "name",
    [
        "templates/misspelt-key",
        "templates/misspelt-rule",
        "templates/no-scorer",
        "templates/unknown-scorer",
        "templates/wrong-cut",
        "templates/prior-in-words",
        "templates/only-a-list",
        "verbalizers/misspelt-key",
        "verbalizers/no-labels",
        "verbalizers/heavy-word",
        "verbalizers/wrong-pool",
        "verbalizers/a-template",
    ],
)
def test_what_the_loader_refuses_for_its_shape_does_not_fit(name: str) -> None:
    schema = SCHEMAS[name.partition("/")[0]]
    assert not fits(as_an_editor_reads_it(BROKEN / f"{name}.yaml"), schema, schema)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_says_its_draft_and_describes_every_key(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([kind, "schema"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert all(key.get("description") for key in said["properties"].values())
    assert said["additionalProperties"] is False
