"""The JSON Schemas for editors: every shipped file fits, and what the loader refuses does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from json_schema import fits

from promptshot import shelf
from promptshot.cli import run_command
from promptshot.prompts import library, strict
from promptshot.prompts.template import TemplateSpec
from promptshot.prompts.verbalizer import VerbalizerSpec

BROKEN = Path(__file__).parents[1] / "broken"
SCHEMAS = {"templates": strict.schema(TemplateSpec, "t"), "verbalizers": strict.schema(VerbalizerSpec, "v")}


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
