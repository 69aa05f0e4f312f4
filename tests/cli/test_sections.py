"""The headings of `--help`."""

from __future__ import annotations

import re

import click
from click.testing import CliRunner

from promptshot import cli
from promptshot.cli import sections


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    waiting: list[click.Command] = [cli.cli]
    while waiting:
        command = waiting.pop()
        waiting += command.commands.values() if isinstance(command, click.Group) else ()
        found |= {} if isinstance(command, click.Group) else {str(command.name): command}
    return found


def test_every_option_stands_once_and_those_of_every_day_first() -> None:
    for name, command in commands().items():
        said = CliRunner().invoke(command, ["--help"], terminal_width=100).output
        context = click.Context(command)
        options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
        for option in options:
            flag = max(option.opts, key=len)
            assert len(re.findall(rf"^  (?:-\w, )?{flag}(?![-\w])", said, re.MULTILINE)) == 1, (name, flag)
        if len(options) >= sections.MANY:
            first, *others = [line for line in said.splitlines() if line.endswith(":") and not line.startswith(" ")]
            assert first == "Options:"
            assert 3 <= len(others) <= 9, name
            assert len(dict(sections.sections(options))["Options"]) < sections.MANY, name


def test_every_name_under_a_heading_is_that_of_an_option() -> None:
    known = {flag for command in commands().values() for one in command.params for flag in one.opts}
    assert set(sections.HEADINGS) <= known


def test_what_a_command_is_for_is_said_to_its_end() -> None:
    for group in (cli.cli, cli.cli.commands["templates"], cli.cli.commands["verbalizers"]):
        said = CliRunner().invoke(group, ["--help"], terminal_width=60).output
        assert "..." not in said.partition("Commands:")[2]
        assert max(map(len, said.splitlines())) <= 78
