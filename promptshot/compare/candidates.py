"""Which candidates a comparison is of: templates x label words x models x demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from promptshot import shelf
from promptshot.classify import choosing, suited
from promptshot.classify.gold import check_gold
from promptshot.classify.questions import Questions
from promptshot.classify.recipe import DEMOS, DemoPlan, Recipe
from promptshot.errors import InputError, OptionError, PromptshotError, RowError, VerbalizerError
from promptshot.kinds import KINDS, WITH_DEMONSTRATIONS, head_for
from promptshot.prompts.labels import NAME
from promptshot.prompts.task import Names
from promptshot.prompts.verbalizer import Verbalizer
from promptshot.rows.row import Item, Row
from promptshot.rows.streams import PLAIN, Reading
from promptshot.runs.inputs import HOPELESS, look_at
from promptshot.scoring import ModelOptions

UNFIT = "leave it out, give it other label words, or add the rows' labels under 'gold:'"
LOOKED_AT = HOPELESS  # rows that are tried before a candidate is refused, for the first ones may be bad


@dataclass(frozen=True)
class Candidate:
    """A recipe under a name of its own."""

    name: str
    recipe: Recipe
    doubt: str = ""  # what the rows' labels can be doubted for

    @property
    def shots(self) -> int:
        """Demonstrations before each row."""
        return self.recipe.demos.k if self.recipe.demos else 0

    @property
    def engine(self) -> tuple[str, ModelOptions]:
        """What is loaded for it."""
        return self.recipe.scorer, self.recipe.options

    @property
    def family(self) -> tuple[str, ModelOptions, str, int, frozenset[str]]:
        """What it shares with candidates that differ from it in template and label words only."""
        kind = self.recipe.template.spec.scorer
        return *self.engine, kind, self.shots, frozenset(self.recipe.labels)

    @property
    def members(self) -> list[str]:
        """The templates of an ensemble."""
        parts = (self.recipe, *self.recipe.others) if self.recipe.others else ()
        return [part.template.name for part in parts]


@dataclass(frozen=True)
class Axes:
    """What the templates are crossed with."""

    options: ModelOptions = field(default_factory=ModelOptions)
    models: Sequence[str] = ("",)
    scorer: str | None = None  # in place of the templates' own
    shots: Sequence[int] = ()  # how many demonstrations, each number once; where none is said, DEMOS if they have rows
    demos: str | None = None  # the file that demonstrations are drawn from
    seed: int = 0
    names: Names = field(default_factory=Names)  # the columns that were named
    dev: str | None = None  # the file whose scores fix the thresholds of pairs without a blank

    @property
    def model(self) -> str:
        """The one model that there is; empty where there are several."""
        return self.models[0] if len(self.models) == 1 else ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """How many demonstrations go before each row of a template that takes any."""
        return tuple(dict.fromkeys(self.shots)) or ((DEMOS,) if self.demos else (0,))


def candidates(
    rows: Sequence[Item],
    templates: Sequence[str] = (),
    *,
    labels: Any = None,
    verbalizers: Sequence[str | Verbalizer] = (),
    folder: Path | None = None,
    axes: Axes | None = None,
) -> tuple[list[Candidate], list[str]]:
    """What can be compared on labelled rows, and a line for each thing that was not said.

    `templates` are names on the shelf, files or texts; without any, all of the shelf that fit the rows. `labels` (see
    `Classifier.load`) or each of the `verbalizers` replace their own words, `folder` is a library of yours. Raises an
    OptionError where they do not go together; whether they fit the rows is known when they are compared.
    """
    axes, lines = axes or Axes(), list[str]()
    wish = choosing.Wish(tuple(templates), labels, None, axes.scorer, axes.model, folder)
    return wished(look_at(rows, axes.names.usual), wish, axes, lines.append, verbalizers), lines


def wished(
    look: choosing.Look,
    wish: choosing.Wish,
    axes: Axes,
    tell: Callable[[str], None],
    verbalizers: Sequence[str | Verbalizer] = (),
    how: Reading = PLAIN,
) -> list[Candidate]:
    """The same for what is wished and can be seen of the rows, which files are read as `how` says; each line is told
    as soon as it is known."""
    guesses = choose(look, wish, verbalizers)
    for reason in guesses[0].reasons:
        tell(reason)
    found, lines = seen(grid(guesses, axes), look.first(), how)
    for line in lines:
        tell(line)
    return found


def choose(
    look: choosing.Look, wish: choosing.Wish, verbalizers: Sequence[str | Verbalizer] = ()
) -> list[suited.Guess]:
    """The templates of the wish, with each of the verbalizers; without any, all of the shelf that fit the rows."""
    if not wish.templates:
        return choosing.every(look, folder=wish.folder, named=wish.named, chat=wish.chat)
    return [one for words in verbalizers or (None,) for one in choosing.choose(replace(wish, verbalizer=words), look)]


def grid(guesses: Sequence[suited.Guess], axes: Axes) -> list[Candidate]:
    """Every template with every model that has a head for it and, if it takes any, every number of demonstrations.

    Raises OptionError where no model is for any of the templates, or none of these takes demonstrations.
    """
    if any(axes.numbers) and not any(one.template.kind.demonstrations for one in guesses):
        what = f"demonstrations are for scorer {WITH_DEMONSTRATIONS}, and no template is"
        raise OptionError(what, hint="leave out -k and --demos")
    recipes: list[Recipe] = []
    may = cache(may_have_head)  # files are looked into once
    for one, mapped in [(one, axes.names.of(one.template)) for one in guesses]:
        kind = one.template.spec.scorer
        scorer = axes.scorer or kind
        models = [model for model in axes.models if scorer != kind or may(kind, model)]
        for model, k in product(models, axes.numbers if one.template.kind.demonstrations else (0,)):
            plan = DemoPlan(axes.demos, k, axes.seed) if axes.demos and k else None
            options = replace(axes.options, model=model, head=head_for(scorer, axes.options.head))
            dev = axes.dev if one.template.spec.ordered else None
            recipe = Recipe.of(one.template, one.verbalizer, scorer, options, plan, dev, mapped)
            recipes += [recipe] if recipe not in recipes else []
    if not recipes:
        kinds = " or ".join(sorted({one.template.spec.scorer for one in guesses}))
        raise OptionError(f"none of the models is for scorer {kinds}", hint="name other models, or leave -m out")
    return _named(recipes)


def seen(
    candidates: Sequence[Candidate], rows: Sequence[Row], how: Reading = PLAIN
) -> tuple[list[Candidate], list[str]]:
    """The candidates with the columns that serve their fields in some rows, and what a user should know of these."""
    lines, found = dict[str, None](), []
    for candidate in candidates:
        recipe, told = candidate.recipe.seen(rows, compared=True)
        lines |= dict.fromkeys(told)
        found.append(replace(candidate, recipe=replace(recipe, reading=how)))
    return found, [*lines]


def may_have_head(scorer: str, model: str) -> bool:
    """Whether a model can have the head that the scorer needs, as far as its files tell."""
    if not model:
        return bool(KINDS[scorer].builtin)
    if (there := shelf.scorers_of(model)) and KINDS[scorer].weights:
        return scorer in there
    kind = shelf.scorer_of(model)
    return kind is None or KINDS[kind].left_to_right == KINDS[scorer].left_to_right


def _named(recipes: Sequence[Recipe]) -> list[Candidate]:
    """Names that tell the recipes apart: the template's, and what else differs among those of that template."""
    parts = [(_template_name(recipe, recipes), recipe.verbalizer.name, recipe.model,
              f"k={recipe.demos.k if recipe.demos else 0}") for recipe in recipes]  # fmt: skip
    named = []
    for own, recipe in zip(parts, recipes, strict=True):
        alike = [other for other in parts if other[0] == own[0]]
        differing = [part for i, part in enumerate(own) if i == 0 or len({other[i] for other in alike}) > 1]
        named.append(Candidate(" ".join(differing), recipe))
    return named


def _template_name(recipe: Recipe, recipes: Sequence[Recipe]) -> str:
    """A template's name; of two files with the same name their paths, and of an inline text what it says."""
    template = recipe.template
    if template.path is None:
        text = template.spec.text
        return text if isinstance(text, str) else " | ".join(text)
    alone = all(other.template == template or other.template.name != template.name for other in recipes)
    return template.name if alone else str(template.path)


def check(candidates: Sequence[Candidate], items: Sequence[Item]) -> list[Candidate]:
    """The candidates, with the rows' own spelling of their labels; before any model is loaded, rows without labels and
    candidates that do not fit the rows are refused.
    """
    suiting = []
    if len({candidate.recipe.task.several for candidate in candidates}) > 1:
        one, many = (next(c.name for c in candidates if c.recipe.task.several is several) for several in (False, True))
        what = f"{many} gives a row several labels, and {one} gives it one"
        raise OptionError(what, hint="compare templates of one kind")
    for candidate in candidates:
        recipe = candidate.recipe
        mapped = list(map(recipe.task.mapped, items))
        good = [item for item in mapped if isinstance(item, Row)]
        try:
            recipe.check()
            looked = check_gold(mapped, recipe)
            _check_prompts(recipe, good[:LOOKED_AT])
        except PromptshotError as problem:
            unfit = isinstance(problem, VerbalizerError) and recipe.verbalizer.name != NAME
            hint = UNFIT if unfit else problem.hint
            raise type(problem)(f"{candidate.name}: {problem.what}", where=problem.where, hint=hint) from None
        if not any(_has_gold(row, recipe) for row in good):
            where = items[0].source if items else ""
            hint = "name the column: --label-field NAME; or label the rows: promptshot classify"
            raise InputError("a comparison needs labelled rows, and no row has a label", where=where, hint=hint)
        spelled = replace(recipe, spelling=looked.spelling)
        suiting.append(replace(candidate, recipe=spelled, doubt=looked.doubt))
    return suiting


def _has_gold(row: Row, recipe: Recipe) -> bool:
    try:
        return recipe.task.gold(row)[0] is not None
    except RowError:
        return False


def _check_prompts(recipe: Recipe, some: Sequence[Row]) -> None:
    """Raises where the demonstrations cannot be drawn, or not one of the rows has what the template needs."""
    questions = Questions.of_recipe(recipe)
    first: RowError | None = None
    for row in some:
        try:
            questions.of(row)
        except RowError as problem:
            first = first or problem
        else:
            return
    if first:
        raise first
