"""The findings of lint, on stdout. Colour says nothing that the words beside it do not."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from promptshot import standard
from promptshot.authoring.lint.sheet import Finding
from promptshot.prompts.codes import Code
from promptshot.report.console import data, indented, people

STYLE = {"error": "bold red", "warning": "bold yellow", "note": "cyan"}
GITHUB = {"error": "error", "warning": "warning", "note": "notice"}


def show_findings(findings: Sequence[Finding], form: str) -> None:
    """The findings as text for people, as a JSON array, or as annotations of GitHub."""
    if form == "json":
        standard.write(json.dumps(list(map(asdict, findings)), ensure_ascii=False, indent=2) + "\n")
        return
    console = data()
    for finding in findings:
        if form == "github":
            standard.write(_annotation(finding) + "\n")
        elif console.is_terminal:
            _finding(console, finding)
        else:
            advice = f"; {finding.hint}" if finding.hint else ""
            sys.stdout.write(f"{finding.where}: {finding.severity} {finding.code}: {finding.message}{advice}\n")


def _finding(console: Console, finding: Finding) -> None:
    """Where and which, then what and what to try, indented."""
    severity = (finding.severity, STYLE[finding.severity])
    console.print(Text.assemble((finding.where, "bold"), "  ", severity, " ", (finding.code, "bold")), soft_wrap=True)
    indented(console, Text(finding.message), "  ")
    if finding.hint:
        indented(console, Text(finding.hint, style="dim"), "  ")


def _annotation(finding: Finding) -> str:
    """https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""
    line = f",line={finding.line}" if finding.line else ""
    advice = f"; {finding.hint}" if finding.hint else ""
    head = f"::{GITHUB[finding.severity]} file={_property(finding.path)}{line},title={_property(finding.code)}::"
    return head + _escaped(finding.message + advice)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def show_verdict(files: int, findings: Sequence[Finding], apart: int = 0) -> None:
    """The last line, on stderr: how many files and findings; `apart` files were left out of the tokenizer's checks."""
    counts = {severity: sum(finding.severity == severity for finding in findings) for severity in STYLE}
    said = [f"{n} {severity}{'s' if n > 1 else ''}" for severity, n in counts.items() if n]
    style = "bold red" if counts["error"] else "bold yellow" if counts["warning"] else "bold green"
    line = Text(f"{files} file{'s' if files != 1 else ''}: {', '.join(said) or 'nothing found'}", style=style)
    if apart:
        line.append(f"; {apart} for another scorer, checked without the tokenizer", "not bold default")
    if said:
        line.append("  (what a code means: --explain CODE)", "not bold dim default")
    people().print(line)


def show_code(code: Code) -> None:
    """One code, how bad it is, and why."""
    console = data()
    console.print(Text.assemble((code.name, "bold"), "  ", (code.severity, STYLE[code.severity])))
    indented(console, Text(code.why))
