"""The headings under which `--help` lists options, where a command has many; what has none stands before them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

MANY = 20  # options, from which on they stand under headings
_UNDER = {
    "Rows": "limit sample seed text-field label-field map encoding no-header lines ignore-labels strict-labels "
    "on-error",
    "Output": "format bom fields no-scores spelling overwrite resume summary errors record rejects predictions",
    "Demonstrations": "num-shots demos demos-from-input demo-seeds demos-by demo-order demo-balance demo-whiten "
    "demo-chunks",
    "Several labels": "multi-label label-separator threshold",
    "Calibration": "calibrate dev prior abstain-below no-calibration-scores",
    "Suites": "suite task data patterns published dev-thresholds",
    "Chats": "chat chat-system chat-answer chat-demos",
    "Long texts": "long long-pool long-stride long-alpha",
    "Model and machine": "device device-map dtype batch-size batch-budget plain max-length revision offline "
    "trust-remote-code allow-pickle head pooling temperature whiten",
    "A Ray cluster": "ray ray-cpus ray-actors",
}
HEADINGS = {f"--{name}": heading for heading, names in _UNDER.items() for name in names.split()}


def sections(parameters: Sequence[click.Parameter]) -> Iterator[tuple[str, list[click.Parameter]]]:
    """Each heading with its options, in their order."""
    if len(parameters) < MANY:
        yield "Options", list(parameters)
        return
    headings = [heading_of(parameter.opts) for parameter in parameters]
    for heading in ("Options", *_UNDER):
        found = [one for one, own in zip(parameters, headings, strict=True) if own == heading]
        if found:
            yield heading, found


def heading_of(names: Iterable[str]) -> str:
    """That of the option with these names."""
    return next((HEADINGS[name] for name in names if name in HEADINGS), "Options")
