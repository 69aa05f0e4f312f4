"""As much of JSON Schema as the schemas of templates and verbalizers use."""

from __future__ import annotations

from typing import Any

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
