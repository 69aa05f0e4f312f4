"""`promptshot models`: what can be used here without a network."""

from __future__ import annotations

import json
from pathlib import Path

import click

from promptshot import standard
from promptshot.cli import completion
from promptshot.cli.flags import Command, Commands, library_flag

as_json = click.option("--json", "to_json", is_flag=True, help="Everything about them as JSON.")


@click.group(cls=Commands)
def models() -> None:
    """The models on this machine, and which scorers can use them."""


@models.command("list", cls=Command)
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", shell_complete=completion.folder)
@as_json
@library_flag
def list_models(folders: tuple[str, ...], to_json: bool, folder: Path | None) -> None:
    """What there is, and for which scorers.

    The built-in models, those in the hub's cache (HF_HOME, HF_HUB_CACHE) and of Ollama, and those in each FOLDER, which
    is that of a model, or holds some, or is a GGUF file. Nothing is loaded: which heads a model has, and so which
    scorers can use it, is read off the names of its tensors; beside them stands how many templates of the shelf are for
    these.

    \b
    promptshot models list
    promptshot models list ~/models --json
    """
    from promptshot import inventory
    from promptshot.report.models import show_models

    found, templates = inventory.models(folders), inventory.fitting(folder)
    if to_json:
        standard.write(json.dumps([one.record(templates) for one in found], ensure_ascii=False, indent=2) + "\n")
    else:
        show_models(found, templates)


@models.command("show", cls=Command)
@click.argument("name", metavar="NAME|FOLDER", shell_complete=completion.model)
@as_json
@library_flag
def show_model(name: str, to_json: bool, folder: Path | None) -> None:
    """One model in full.

    Its heads and scorers, its limits, and where its config.json and its weights disagree.

    \b
    promptshot models show builtin:bert
    promptshot models show google-bert/bert-base-chinese
    """
    from promptshot import inventory
    from promptshot.report.models import show_model

    one, templates = inventory.model(name), inventory.fitting(folder)
    if to_json:
        standard.write(json.dumps(one.record(templates), ensure_ascii=False, indent=2) + "\n")
    else:
        show_model(one, templates)
