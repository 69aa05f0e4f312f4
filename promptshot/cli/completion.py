"""What a shell completes: names on the shelf, columns of the input, built-in models; and the scripts for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

from promptshot import shelf, weights
from promptshot.errors import PromptshotError
from promptshot.kinds import FIRST

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
VARIABLE = "_PROMPTSHOT_COMPLETE"  # click's name for it
SHELLS = {
    "bash": "~/.bashrc",
    "zsh": "~/.zshrc",
    "fish": "~/.config/fish/completions/promptshot.fish",
}


def of_shelf(kind: shelf.Shelf) -> Completer:
    """Names of templates or verbalizers, also of --library; files, for what looks like a path."""

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        from promptshot.prompts import library

        folder = context.params.get("folder")
        found = _beginning(begun, library.names(kind, Path(folder) if folder else None))
        return found or [CompletionItem(begun, type="file")]

    return complete


def model(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The built-in models, and those in the hub's cache; folders otherwise."""
    names = [*shelf.builtin_models(), *(one.name for one in weights.cached())]
    return _beginning(begun, names) or [CompletionItem(begun, type="dir")]


def folder(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Folders, by the shell's own ways."""
    return [CompletionItem(begun, type="dir")]


def file(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Files, by the shell's own ways."""
    return [CompletionItem(begun, type="file")]


def column(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The columns of the first input file."""
    return _beginning(begun, _columns(context))


def mapping(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """FIELD=COLUMN: the fields of the templates that were named, then the columns of the first input file."""
    field, equals, _ = begun.partition("=")
    if equals:
        return _beginning(begun, [f"{field}={name}" for name in _columns(context)])
    return _beginning(begun, [f"{name}=" for name in _fields(context)])


def _beginning(begun: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(begun)]


def _columns(context: click.Context) -> list[str]:
    """The columns of the first row that can be read."""
    from promptshot.rows import read, row

    # While an option still lacks its value, click leaves the arguments unread.
    said = [*(context.params.get("files") or ()), *filter(None, [context.params.get("said")]), *context.args]
    files = [str(path) for path in said if Path(path).is_file()]
    try:
        return next((list(item.fields) for item in read.read(files[:1]) if isinstance(item, row.Row)), [])
    except PromptshotError:
        return []


def _fields(context: click.Context) -> list[str]:
    """What the named templates read, and the label."""
    from promptshot.prompts import inline

    found: list[str] = []
    for said in context.params.get("templates") or ():
        try:
            template = inline.template_of(said, FIRST, context.params.get("folder"))
        except PromptshotError:
            continue
        found += [*template.reads, template.spec.label_field]
    return list(dict.fromkeys(found or ["text", "label"]))


@add_completion_class
class Bash(BashComplete):
    """bash takes text=body for three words, and completes the last: they are joined for us, and parted for it."""

    name = "bash"

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and what there is of it."""
        words, begun = super().get_completion_args()
        joined: list[str] = []
        for word in [*words, begun]:
            if joined and (word.startswith("=") or joined[-1].endswith("=")):
                joined[-1] += word
            else:
                joined.append(word)
        return joined[:-1], joined[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """Only what stands behind the last =, unless nothing does yet."""
        behind = str(item.value).rpartition("=")[2]
        return f"{item.type},{behind or item.value}"


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that teaches SHELL to complete promptshot's commands, names and columns.

    \b
    bash  promptshot completion bash >> ~/.bashrc
    zsh   promptshot completion zsh >> ~/.zshrc
    fish  promptshot completion fish > ~/.config/fish/completions/promptshot.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root: Any = context.find_root().command
    click.echo(kind(root, {}, "promptshot", VARIABLE).source())
