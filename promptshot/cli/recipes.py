"""From the options of a command to a recipe: templates and label words, demonstrations, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from promptshot.classify.calibrate import OF_DEV
from promptshot.cli.flags import chat_of, is_said, model_options, names_of, typed
from promptshot.errors import OptionError

if TYPE_CHECKING:
    from promptshot.classify.choosing import Look
    from promptshot.classify.recipe import DemoPlan, Recipe
    from promptshot.classify.suited import Guess
    from promptshot.rows.row import Row
    from promptshot.rows.streams import Reading

# What says how demonstrations are chosen, and what it is called in their plan.
PLANNED = {
    "demos_by": "by",
    "demo_order": "order",
    "demo_balance": "balanced",
    "demo_whiten": "whiten",
    "demo_chunks": "chunks",
    "set_aside": "set_aside",
}


def recipe_of(
    given: dict[str, Any],
    look: Look,
    first: Callable[[Recipe], Sequence[Row]],
    how: Reading,
    quiet: bool,
    demos: DemoPlan | None = None,
    **labels: Any,
) -> tuple[Recipe, list[Guess]]:
    """The recipe that the options describe, and what it is made from; what they leave open is looked up in the rows,
    and told. `first` gives the first rows for a recipe, `labels` say how rows' own labels are taken."""
    from promptshot.classify import choosing
    from promptshot.classify.recipe import Recipe
    from promptshot.report.console import note

    names = names_of(given)
    said = {name: given[name] for name in ("labels", "verbalizer", "scorer", "folder")}
    templates = typed("templates", given["templates"], quiet)
    said["chat"] = chat_of(given)
    seen = {"shots": demos is not None, "labels_ignored": labels.get("labels_ignored", False)}
    seen |= {"several": bool(given.get("multi_label")), "separator": given.get("label_separator")}
    found = choosing.choose(choosing.Wish(templates, model=given["model"] or "", **seen, **said), look)
    for reason in () if quiet else found[0].reasons:
        note(reason)
    options = model_options(given)
    recipes = [
        Recipe.of(
            template=one.template,
            verbalizer=one.verbalizer,
            scorer=given["scorer"] or one.template.spec.scorer,
            options=options,
            demos=demos,
            dev=None if given.get("calibrate") in OF_DEV else given.get("dev"),
            columns=names.of(one.template),
            thresholds=given.get("threshold"),
            reading=how,
            **labels,
        )
        for one in found
    ]
    (recipe, lines), *others = [recipe.seen(first(recipe)) for recipe in recipes]
    for line in () if quiet else lines:
        note(line)
    recipe = replace(recipe, others=tuple(other for other, _ in others))
    if recipe.task.several and "threshold" not in given:
        what = f"{recipe.name} is for several labels a row, and this command for one"
        raise OptionError(what, hint="take a template without 'labels: several'")
    if recipe.task.several:
        recipe.check()  # before rows are looked through for demonstrations
    return recipe, found


def demo_plan(given: dict[str, Any]) -> DemoPlan | None:
    """Which demonstrations; those of rows of the input that are set aside have no file yet. Raises OptionError."""
    from promptshot.classify.recipe import DEMOS, DemoPlan

    said = [name for name in ("demo_seeds", *PLANNED) if name in given and is_said(name)]
    shots, aside = given["num_shots"], given.get("set_aside")
    shots = (shots,) if isinstance(shots, int) else shots or ()
    if not given["demos"] and not aside:
        if any(shots) or said:
            no = "no-" if said and given[said[0]] is False else ""
            wanting = "-k" if any(shots) else f"--{no}{said[0].replace('_', '-')}"
            hint = "add --demos FILE" + (", or --demos-from-input N" if "set_aside" in given else "")
            raise OptionError(f"{wanting} needs rows to draw from", hint=hint)
        return None
    if given["demos"] and aside:
        raise OptionError("--demos and --demos-from-input both give demonstrations", hint="leave one out")
    how = {PLANNED[name]: given[name] for name in said if name in PLANNED}
    plan = DemoPlan(given["demos"] or "", max(shots, default=DEMOS), given["seed"], **how)
    plan.check()
    if "demo_seeds" in said and plan.by != "random":
        raise OptionError(f"--demo-seeds: by {plan.by}, nothing is drawn", hint="leave one of the two out")
    return plan


def calibrated(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    """The recipe with the calibration that the options name; refused before a model is loaded where it cannot be."""
    from promptshot.classify.calibrate import Calibration
    from promptshot.classify.prior import prior_of

    method = given["calibrate"]
    prior = prior_of(given.get("prior"), recipe.task, recipe.reading)
    recipe = recipe.calibrated(Calibration.of(method, prior, given["dev"] if method in OF_DEV else None))
    if recipe.calibration or recipe.abstain_below is not None:
        recipe.check()
    return recipe
