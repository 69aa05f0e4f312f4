"""`promptshot sample`: texts that a model writes, and paraphrases of a template."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptshot import standard
from promptshot.cli.flags import (
    Command,
    config_flag,
    is_said,
    library_flag,
    model_flag,
    model_options,
    option,
    outputs,
    pickle_flag,
    quiet_flag,
    read_by,
    running_flags,
    scorer_flag,
    seed_flag,
    tell_sizes,
    template_flag,
    typed,
    verbalizer_flag,
)
from promptshot.cli.settings import Count, Positive, Share, Span
from promptshot.errors import OptionError, many
from promptshot.kinds import FIRST, KINDS, builtin_for

if TYPE_CHECKING:
    from promptshot.authoring.sample import Samples
    from promptshot.prompts.template import Template
    from promptshot.scoring import Drawing, Scorer


@click.command("sample", cls=Command)
@click.argument("text", required=False, default="", metavar="[TEXT]")
@template_flag("Write paraphrases of this template, or, with --label, texts for it.")
@verbalizer_flag("Label words in place of the template's own.")
@option("--label", metavar="NAME", help="With -t: a word of this label in the blank, and texts drawn for the fields.")
@option("-n", "--count", type=Count(1), default=5, show_default=True, metavar="N", help="So many texts.")
@option(
    "--tokens",
    type=Span(),
    multiple=True,
    metavar="N|A-B",
    help="Tokens that are drawn for {mask} or a field; again for each.  [default: 8-32; as many as there are words]",
)
@option("--share", type=Share(), metavar="P", help="Of a template's words, that are drawn anew.  [default: 0.5]")
@click.option(
    "--temperature",
    type=Positive(),
    envvar="PROMPTSHOT_SAMPLE_TEMPERATURE",  # that of embed, PROMPTSHOT_TEMPERATURE, is another thing
    default=1.0,
    show_default=True,
    metavar="X",
    help="Below 1: likelier texts.",
)
@option("--top-k", type=Count(1), metavar="N", help="Draw from the N likeliest tokens.")
@option("--top-p", type=Share(), metavar="P", help="Draw from the likeliest tokens that together come to P.")
@option("--burn-in", type=Count(0), metavar="N", help="Steps to a cloze's first text.  [default: 10 for each token]")
@option("--steps", type=Count(1), metavar="N", help="Steps between texts of one chain.  [default: 1 for each token]")
@option("--chains", type=Count(1), metavar="N", help="Chains that the texts come from.  [default: one for each text]")
@option("--newlines", is_flag=True, help="Causal models: go on past line breaks.")
@seed_flag
@option(
    "-o",
    "--output",
    metavar="FILE|DIR/",
    help="One text a line; .jsonl: with log-probabilities; a folder: each paraphrase as a template.  [default: stdout]",
)
@option("--overwrite", is_flag=True, help="Replace what is written, where it exists.")
@scorer_flag
@library_flag
@model_flag("the built-in model")
@running_flags
@pickle_flag
@quiet_flag
@config_flag
def command(text: str, quiet: bool, **given: Any) -> int:
    """Texts that a model writes, to be looked at.

    A masked model (mlm) draws places at random, again and again (Gibbs sampling); a causal one goes on from left to
    right to the end of the line. In TEXT, {mask} is what is drawn; a TEXT without one is where a masked model begins,
    and what a causal one goes on from. With -t, words of a template are drawn anew around its example, and fields and
    blank stay where they are: the paraphrases go to compare. What is drawn is for looking, not for training or
    measuring: its steps follow no true distribution, and models repeat what their corpus was full of.

    \b
    promptshot sample "The food was {mask}." --tokens 3-6
    promptshot sample -t zh-sentiment-mlm -n 8 -o paraphrases/
    promptshot sample -t zh-sentiment-mlm --label positive --tokens 12
    """
    from promptshot.report.console import doing, note

    _check(text, given)
    output, folder = given["output"], _is_folder(given["output"])
    files = {} if folder else {"--output": output}
    outputs(files, read_by(given, []), given["overwrite"])
    template = _template(given, quiet)
    how, options = _drawing(given), model_options({**given, "temperature": None})
    name = _scorer_name(given, template)
    tell_sizes([options.model or builtin_for(name)], options.dtype, quiet)
    with doing(quiet) as watch:
        watch("loading the model")
        scorer = _loaded(name, options)
        found = _drawn(scorer, text, template, how, given, watch)
    if folder:
        _write_templates(found, template, Path(output), given, quiet)
    else:
        _write(found, output, given["overwrite"])
    if not quiet:
        same = f"; {many(found.repeated, 'other')} said the same" if found.repeated else ""
        same += f"; {many(found.spoilt, 'other')} made no template" if found.spoilt else ""
        note(f"{many(len(found.texts), 'text')} of {options.model or builtin_for(name)} ({name}), to look at{same}")
        if template is not None and not given["label"] and not folder:
            note("to compare them: -o DIR/ writes each as a template, and says how")
    return 0


def _check(text: str, given: dict[str, Any]) -> None:
    """Refuse what does not go together, before anything is loaded."""
    if len(given["templates"]) > 1:
        raise OptionError("words are drawn for one template", hint="name one: -t NAME")
    if text and given["templates"]:
        raise OptionError("TEXT and -t are two things to draw from", hint="leave one out")
    alone = {"label": given["label"], "share": given["share"] is not None, "verbalizer": given["verbalizer"]}
    for name in (name for name, said in alone.items() if said and not given["templates"]):
        raise OptionError(f"--{name} is for a template", hint="name one: -t NAME")
    if given["label"] and given["share"] is not None:
        raise OptionError("--share is for paraphrases; with --label the words stay", hint="leave one out")
    if given["templates"] and not given["label"] and given["chains"]:
        raise OptionError("--chains: each paraphrase has other words drawn anew", hint="leave it out")
    if _is_folder(given["output"]) and (not given["templates"] or given["label"]):
        raise OptionError("a folder is for paraphrases of a template", hint="name a file: -o FILE.jsonl")


def _is_folder(output: str | None) -> bool:
    return output is not None and (output.endswith("/") or Path(output).is_dir())


def _template(given: dict[str, Any], quiet: bool) -> Template | None:
    from promptshot.prompts.inline import template_of

    if not given["templates"]:
        return None
    (said,) = typed("templates", given["templates"], quiet)
    scorer = given["scorer"] if given["scorer"] in KINDS else FIRST
    return template_of(said, scorer, given["folder"])


def _scorer_name(given: dict[str, Any], template: Template | None) -> str:
    """The scorer that is said, or that of the template, or what the model is made for."""
    from promptshot import shelf

    if given["scorer"] or template is not None:
        return str(given["scorer"] or (template.spec.scorer if template else FIRST))
    return shelf.scorer_of(given["model"]) or FIRST if given["model"] else FIRST


def _drawing(given: dict[str, Any]) -> Drawing:
    from promptshot.scoring import Drawing

    names = ("temperature", "top_k", "top_p", "burn_in", "steps", "newlines")
    return Drawing(**{name: given[name] for name in names})


def _loaded(name: str, options: Any) -> Scorer:
    """The scorer; what a kind has no use for is refused."""
    from dataclasses import replace

    from promptshot.kinds import loaded
    from promptshot.scorers import SCORERS, Loader
    from promptshot.scoring import Sampling

    if not hasattr(loaded(SCORERS.get(name, name)) if name in SCORERS else Sampling, "sample"):
        raise OptionError(f"scorer {name} cannot write texts", hint="use --scorer mlm or causal, with such a model")
    if name in KINDS:
        unused = ("burn_in", "steps", "chains") if KINDS[name].left_to_right else ("newlines",)
        for one in filter(is_said, unused):
            what = f"--{one.replace('_', '-')} has no meaning for scorer {name}"
            raise OptionError(what, hint="leave it out")
    return Loader().scorer(name, replace(options, model=options.model or builtin_for(name)))


def _drawn(
    scorer: Scorer, text: str, template: Template | None, how: Drawing, given: dict[str, Any], watch: Any
) -> Samples:
    from promptshot.authoring import sample
    from promptshot.prompts import library

    common = {"count": given["count"], "seed": given["seed"], "how": how, "watch": watch}
    more = {"lengths": given["tokens"], "chains": given["chains"]}
    if template is None:
        return sample.texts(scorer, text, **common, **more)
    folder, named = given["folder"], given["verbalizer"]
    words = library.verbalizer(named, folder) if named else library.verbalizer_of(template, folder)
    if given["label"]:
        return sample.examples(scorer, template, words, given["label"], **common, **more)
    share = sample.SHARE if given["share"] is None else given["share"]
    return sample.paraphrases(scorer, template, words, share=share, lengths=given["tokens"], **common)


def _write(found: Samples, output: str | None, overwrite: bool) -> None:
    from promptshot.authoring.sample import typed
    from promptshot.files import STREAM, put

    if output is not None and output.endswith(".jsonl"):
        lines = [json.dumps(text.record(), ensure_ascii=False) for text in found.texts]
    else:
        lines = [text.text if text.template else typed(text.text) for text in found.texts]
    made = "".join(f"{line}\n" for line in lines)
    if output in (None, STREAM):
        standard.write(made)
    else:
        put(str(output), made, overwrite)


def _write_templates(found: Samples, original: Any, folder: Path, given: dict[str, Any], quiet: bool) -> None:
    """Each paraphrase as a template file, and the command that compares them."""
    from promptshot import files
    from promptshot.prompts import library, strict
    from promptshot.report.console import note

    words = given["verbalizer"] or original.spec.verbalizer
    if isinstance(words, str) and library.is_path(words):
        words = str(
            library.find("verbalizers", words, beside=original.path.parent if original.path else None).resolve()
        )
    with files.named(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{text.template.name}.yaml" for text in found.texts if text.template]
    outputs({f"-o, {path.name}": str(path) for path in paths}, [], given["overwrite"])
    for text, path in zip(found.texts, paths, strict=True):
        assert text.template is not None
        keys = text.template.spec.model_dump(exclude_defaults=True) | ({"verbalizer": words} if words else {})
        files.put(str(path), strict.dump(keys), given["overwrite"])
    if not quiet:
        said = [*given["templates"], *map(str, paths)]
        note("compare them: promptshot compare ROWS " + " ".join(f"-t {shlex.quote(one)}" for one in said))
