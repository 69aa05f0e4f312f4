"""Templates as tasks of lm-evaluation-harness: read back they render the same, and the harness scores them the same."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers import failed, jsonl, put, write_rows

from promptshot.authoring.exporting import task_of
from promptshot.authoring.importing.given import Given
from promptshot.authoring.importing.tools import LM_EVAL, Wish, imported
from promptshot.cli import run_command
from promptshot.prompts import library
from promptshot.prompts.catalogue import templates
from promptshot.prompts.task import Task
from promptshot.prompts.template import Template
from promptshot.rows.row import Row

HARNESS = os.environ.get("PROMPTSHOT_HARNESS_PYTHON")  # of an environment with lm-eval: benchmarks/envs.py makes one
MINE = {
    "braces": (
        'scorer: causal\ntext: "{{{{ {note} }}}} {{% x %}} :\\n {{#}}: {mask}!"\n'
        "verbalizer: {labels: {warm: [warm], cold: [very cold]}, gold: {cold: ['0'], warm: ['1', W]}}\n",
        [{"note": "It {{snows}} 's", "label": 0}, {"note": "sun\nshine", "label": "w"}],
    ),
    "joined": (
        'scorer: causal\ntext: "{tags}是{mask}"\n'
        'fields: {tags: {join: "，"}}\nverbalizer: {labels: {动物: [动物], 植物: [植物]}}\n',
        [{"tags": ["马", "牛"], "label": "动物"}, {"tags": ["松"], "label": "植物"}],
    ),
    "own words": (
        'scorer: causal\ntext: "Q: {question}\\nA: {mask}"\nwords_from: choices\n'
        'label_field: answer\nseparator: "\\n\\n"\n',
        [
            {"question": "soft?", "choices": ["talc", "hard quartz"], "answer": "A"},
            {"question": "wet?", "choices": ["rain", "dust"], "answer": "B"},
        ],
    ),
    "channel": (
        'scorer: causal\ntext: "A {mask} day: {note}"\ndirection: channel\n'
        "verbalizer: {labels: {warm: [warm], cold: [cold]}}\n",
        [{"note": "it snows", "label": "cold"}, {"note": "sun and more sun", "label": "warm"}],
    ),
}


def exported(name: str, folder: Path) -> tuple[Task, Path, str]:
    """One of these as a task, its rows, and what the harness is given."""
    text, rows = MINE[name]
    template = Template.load(put(folder / f"{name.replace(' ', '_')}.yaml", text))
    data = Path(write_rows(folder / "rows.jsonl", rows))
    task = Task(template, library.verbalizer_of(template))
    return task, data, task_of(task, data)


@pytest.mark.parametrize("name", [name for name in MINE if name != "channel"])
def test_what_is_exported_and_read_back_renders_the_same(name: str, tmp_path: Path) -> None:
    task, _, text = exported(name, tmp_path)
    found, told = imported(Given(text, "TEXT"), Wish(LM_EVAL))
    assert not told.lost
    other = Template.load(put(tmp_path / "back.yaml", found.template))
    words = library.verbalizer_of(other)
    for fields in MINE[name][1]:
        row = Row(fields)
        sides = [(task.template, task.verbalizer), (other, words)]
        prompts = ["".join(p.text for p in t.render(row, ()).pieces) for t, _ in sides]
        ends = "!" if name == "braces" else ""
        assert prompts[0] == prompts[1] + ends
        assert [one + ends for one in sides[0][1].choices(row)] == list(sides[1][1].choices(row))
        assert task.template.spec.separator == other.spec.separator


def test_every_causal_template_of_the_shelf_is_exported_or_refused_with_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = 0
    for entry in templates(None):
        code = run_command(
            ["templates", "export", entry.name, "--to", "lm-eval", "-o", str(tmp_path / f"{entry.name}.yaml")]
        )
        lines = capsys.readouterr().err.splitlines()
        assert (code, len(lines)) in [(0, 0), (1, 1)], (entry.name, lines)
        if code == 0:
            assert yaml.safe_load((tmp_path / f"{entry.name}.yaml").read_text(encoding="utf-8"))["doc_to_choice"]
            assert entry.scorer == "causal"
            done += 1
    assert done >= 10


def test_what_the_harness_cannot_say_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = "scorer: causal\ntext: '{text} is {mask}'\nverbalizer: {labels: {a: [x, y], b: [z]}}\n"
    for more, said in {
        keys: "several words",
        keys.replace("[x, y]", "x") + "normalize: mean\n": "normalize: mean",
        keys.replace("[x, y]", "x").replace("is {mask}", "{mask} {end}"): "a field behind the blank",
    }.items():
        line = failed(capsys, "templates", "export", str(put(tmp_path / "t.yaml", more)), "--to", "lm-eval")
        assert said in line


def test_columns_are_called_as_the_rows_call_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(
        put(tmp_path / "t.yaml", "scorer: causal\ntext: '{text} is {mask}'\nverbalizer: {labels: {a: x, b: z}}\n")
    )
    data = str(put(tmp_path / "rows.jsonl", jsonl([{"review": "it", "gold label": "a"}])))
    assert "has no name in Jinja" in failed(
        capsys, "templates", "export", path, "--to", "lm-eval", "--data", data, "--label-field", "gold label"
    )
    put(tmp_path / "rows.jsonl", jsonl([{"review": "it", "gold": "a"}]))
    assert run_command(["templates", "export", path, "--to", "lm-eval", "--data", data]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["doc_to_text"] == "{{ review }} is"
    assert "[gold | string" in found["doc_to_target"]


SCRIPT = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
folder, model, task = sys.argv[1:]
found = simple_evaluate(model="hf", model_args=f"pretrained={model},dtype=float32", tasks=[task], device="cpu",
    task_manager=TaskManager(include_path=folder, include_defaults=False), log_samples=True, bootstrap_iters=0)
rows = sorted(found["samples"][task], key=lambda one: one["doc_id"])
print(json.dumps([[[one[0] for one in row["filtered_resps"]], row["acc"]] for row in rows]))
"""


@pytest.mark.torch
@pytest.mark.skipif(not HARNESS, reason="PROMPTSHOT_HARNESS_PYTHON names no Python")
@pytest.mark.parametrize("name", MINE)
def test_the_harness_gives_the_same_scores(name: str, tmp_path: Path) -> None:
    from promptshot import shelf

    model = str(shelf.builtin_model("builtin:gpt2"))
    task, data, text = exported(name, tmp_path)
    own = tmp_path / "tasks"
    put(own / "task.yaml", text)
    made = yaml.safe_load(text)["task"]
    done = subprocess.run(
        [str(HARNESS), "-c", SCRIPT, str(own), model, made], capture_output=True, text=True, timeout=400, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    out = tmp_path / "out.jsonl"
    assert (
        run_command(["classify", str(data), "-t", task.template.where.rpartition(":")[0], "-m", model, "-o", str(out)])
        == 0
    )
    ours = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(ours) == len(theirs) == 2
    for row, (scores, _) in zip(ours, theirs, strict=True):
        assert list(row["word_scores"].values()) == pytest.approx(scores, abs=1e-4)
        assert [*row["scores"]].index(row["prediction"]) == scores.index(max(scores))
    right = json.loads(out.with_name("out.jsonl.run.json").read_text(encoding="utf-8"))["metrics"]["accuracy"]
    assert right == sum(accurate for _, accurate in theirs) / 2
