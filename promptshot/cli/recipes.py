"""From the options of a command to a recipe, where one or several templates are asked of a few rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from promptshot.classify.calibrate import OF_DEV
from promptshot.cli.flags import model_options, names_of, typed

if TYPE_CHECKING:
    from promptshot.classify.choosing import Look
    from promptshot.classify.recipe import DemoPlan, Recipe
    from promptshot.rows.row import Row
    from promptshot.rows.streams import Reading


def recipe_of(
    given: dict[str, Any], look: Look, first: list[Row], how: Reading, quiet: bool, demos: DemoPlan | None = None
) -> Recipe:
    """The recipe that the options describe; what they leave open is looked up in the rows, and told."""
    from promptshot.classify import choosing
    from promptshot.classify.recipe import Recipe
    from promptshot.report.console import note

    names = names_of(given)
    said = {name: given[name] for name in ("labels", "verbalizer", "scorer", "folder")}
    templates = typed("templates", given["templates"], quiet)
    wish = choosing.Wish(templates, model=given["model"] or "", shots=demos is not None, **said)
    found = choosing.choose(wish, look)
    for reason in () if quiet else found[0].reasons:
        note(reason)
    made = [
        Recipe.of(
            template=one.template,
            verbalizer=one.verbalizer,
            scorer=given["scorer"] or one.template.spec.scorer,
            options=model_options(given),
            demos=demos,
            dev=None if given.get("calibrate") in OF_DEV else given.get("dev"),
            columns=names.of(one.template),
            reading=how,
        )
        for one in found
    ]
    seen = [one.seen([replace(row, columns=one.columns) for row in first]) for one in made]
    for line in () if quiet else seen[0][1]:
        note(line)
    (recipe, _), *others = seen
    return replace(recipe, others=tuple(other for other, _ in others))
