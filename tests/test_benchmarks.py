"""The parts of the benchmarks that need no other tool: requests, tables, operations, the workers' protocol."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import write_rows

sys.path.insert(0, str(Path(__file__).parent.parent))  # benchmarks/ is not installed

from benchmarks import around, encoder, gpu, measure, shapes, suggest, tables, worker, workloads
from benchmarks.cases import Case, Work, completions, sample

COMPLETION = Case((("fixed", "Article: "), ("field", "a {b} c"), ("fixed", "\nTopic: "), ("mask", "")), ("x", "y z"))
PAIR = Case((("fixed", "about "), ("mask", ""), ("break", ""), ("field", "{}")), ("sport", "art"), "{}")


# ------------------------------------------------------------------ cases


def test_the_space_before_the_blank_goes_to_the_continuation_as_in_a_multiple_choice_task() -> None:
    context = "Article: a {b} c\nTopic:"
    assert completions(COMPLETION) == [(context, " x"), (context, " y z")]


def test_a_completion_must_end_with_its_blank() -> None:
    with pytest.raises(ValueError, match="blank"):
        completions(Case((("mask", ""), ("fixed", " after")), ("x",)))


def test_braces_of_a_row_are_no_blank() -> None:
    assert COMPLETION.filled("x") == ("Article: a {b} c\nTopic: x",)
    assert PAIR.filled("art") == ("about art", "{}")


def test_work_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    work = Work("name", "about", "nsp", (PAIR, COMPLETION), 128, '{"mask"}')
    work.write(tmp_path / "work.json")
    assert Work.read(tmp_path / "work.json") == work


@pytest.mark.parametrize(("most", "count"), [(1, 1), (3, 3), (4, 4), (10, 10), (99, 10)])
def test_a_sample_is_even_and_never_larger_than_asked(most: int, count: int) -> None:
    cases = tuple(Case((), (), str(i)) for i in range(10))
    found = [int(case.text) for case in sample(cases, most)]
    assert found[0] == 0
    assert len(found) <= count
    assert len({b - a for a, b in itertools.pairwise(found)}) <= 1


# ------------------------------------------------------------------ tables


def test_the_spread_is_half_the_range_by_the_median() -> None:
    assert tables.spread([9.0, 10.0, 12.0]) == pytest.approx(0.15)


def test_ratios_are_taken_round_by_round() -> None:
    assert tables.ratios([1.0, 2.0], [3.0, 8.0]) == [3.0, 4.0]


def test_a_difference_is_the_largest_one_and_nan_is_infinitely_far() -> None:
    assert tables.difference([[-1.0, -2.0]], [[-1.5, -2.25]]) == 0.5
    assert tables.difference([[-1.0]], [[math.nan]]) == math.inf
    assert tables.difference([[-3.0, -3.0]], [[math.log(0.5)] * 2], shares=True) == pytest.approx(0)


def test_words_that_a_tool_gives_no_score_are_counted_and_not_compared() -> None:
    ours, theirs = [[-1.0, -2.0], [-3.0, -1.0], [-5.0, -6.0]], [[-1.5, -math.inf], [-math.inf, -1.0], [-math.inf] * 2]
    assert tables.missing(theirs) == 4
    assert tables.difference(ours, theirs, likeliest=True) == 0.5
    assert tables.difference(ours, theirs) == math.inf
    assert tables.agreement(ours, theirs) == pytest.approx(2 / 3)


def test_agreement_counts_rows_with_the_same_best_choice() -> None:
    assert tables.agreement([[1, 2], [2, 1], [1, 1]], [[0, 9], [0, 9], [3, 3]]) == pytest.approx(2 / 3)


def result(difference: float, peer_name: str = "peer") -> dict[str, object]:
    run = {"rows_per_second": 10.0, "spread": 0.02, "peak_mb": 1000.0}
    peer = {
        **run,
        "ratio": 2.5,
        "ratios": [2.0, 2.5],
        "difference": difference,
        "same": 1.0,
        "batch_size": 8,
        "missing": 2,
    }
    return {
        "about": "reviews",
        "rows": 7,
        "choices": 2,
        "model": "shape",
        "dtype": "float32",
        "tools": {"promptshot": run, peer_name: peer, "other": {"error": "no | such\nthing"}},
    }


def test_a_table_flags_scores_that_disagree_and_names_tools_that_did_not_run() -> None:
    good, bad = (tables.comparison([result(far)]).splitlines() for far in (5e-6, 2e-4))
    assert good[2] == "| reviews; 7 rows, shape | promptshot | 10 | 2% | 1 × | own | 1,000 |  |  |"
    assert good[3] == "|  | peer | 10 | 2% | 2.50 × (2.00 to 2.50) | 8 | 1,000 | 5.0e-06 | 100.0% |"
    assert "2.0e-04 ⚠" in bad[3]
    assert good[4].startswith("|  | other | not run: no / such thing |")
    assert {line.count("|") for line in good} == {10}


def test_a_tool_that_gives_the_likeliest_tokens_only_has_a_column_for_what_it_leaves_out() -> None:
    head, _, ours, peer, failed = tables.comparison([result(0.3, "llama.cpp")]).splitlines()
    assert head.endswith("| same | missing |")
    assert "| 3.0e-01 | 100.0% | 2 of 14 |" in peer
    assert {line.count("|") for line in (head, ours, peer, failed)} == {11}


# ------------------------------------------------------------------ operations and time


def test_operations_are_those_of_the_matrix_products_counted_one_by_one() -> None:
    config = {"hidden_size": 4, "intermediate_size": 16, "num_hidden_layers": 3}

    def product(a: int, b: int, c: int) -> int:
        return 2 * a * b * c

    def layer(n: int) -> int:
        return 4 * product(n, 4, 4) + product(n, 4, n) + product(n, n, 4) + product(n, 4, 16) + product(n, 16, 4)

    assert encoder.flops(config, [5, 7]) == 3 * (layer(5) + layer(7))

    def last(n: int, read: int) -> int:
        attention = 3 * product(n, 4, 4) + product(n, 4, n) + product(n, n, 4)
        return attention + product(read, 4, 4) + product(read, 4, 16) + product(read, 16, 4)

    assert encoder.flops(config, [5, 7], read=1) == 2 * (layer(5) + layer(7)) + last(5, 1) + last(7, 1)


def test_bert_base_needs_about_its_weights_twice_for_each_token() -> None:
    config = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    assert encoder.flops(config, [1]) == pytest.approx(2 * 85e6, rel=0.01)


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        ([("/a/promptshot/scorers/engine/base.py", "score"), ("/s/torch/nn/modules/linear.py", "forward")], "model"),
        (
            [("/a/promptshot/scorers/engine/base.py", "_planned"), ("/a/promptshot/scorers/mlm.py", "x")],
            "tokenize and plan",
        ),
        (
            [("/a/promptshot/scorers/engine/base.py", "read"), ("/a/promptshot/scorers/engine/base.py", "tensors")],
            "tensors",
        ),
        ([("/a/promptshot/scorers/engine/base.py", "score")], "read and the rest"),
        ([("/lib/threading.py", "run")], "outside"),
    ],
)
def test_a_stack_belongs_to_the_first_part_that_it_enters(stack: Sequence[tuple[str, str]], part: str) -> None:
    assert encoder.part(stack) == part


def test_the_sampler_sees_the_thread_that_made_it() -> None:
    with encoder.Sampler(0.001) as sampler:
        sum(i * i for i in range(400_000))
    assert sum(sampler.shares()["parts"].values()) == pytest.approx(1)


# ------------------------------------------------------------------ protocol


class Echo(worker.Tool):
    """Scores are lengths; batch sizes are noted."""

    packages = ()
    batch_sizes = (1, 2, 4)

    def load(self, model: str, device: str, dtype: str) -> None:
        self.used: list[int] = []

    def run(self, cases: Sequence[Case], batch_size: int) -> worker.Scores:
        self.used.append(batch_size)
        return [[float(len(choice)) for choice in case.choices] for case in cases]


def test_a_worker_tries_batch_sizes_and_runs_with_the_best(tmp_path: Path) -> None:
    Work("echo", "", "causal", (COMPLETION,) * 3).write(tmp_path / "work.json")
    session = worker.Session(Echo("echo"))
    session.answer({"do": "load", "model": "", "device": "cpu", "dtype": "float32"})
    assert session.answer({"do": "take", "work": str(tmp_path / "work.json")}) == {"rows": 3}
    chosen = session.answer({"do": "choose", "rows": 2})
    assert set(chosen["tried"]) == {1, 2, 4}
    done = json.loads(json.dumps(session.answer({"do": "run"})))
    assert done["scores"] == [[1.0, 3.0]] * 3
    assert done["peak_mb"] > 0
    assert session.tool.used[-1] == chosen["batch_size"]  # type: ignore[attr-defined]
    assert session.answer({"do": "choose", "rows": 0})["batch_size"] == 2


@pytest.mark.parametrize(("rows", "choices", "wanted"), [(64, 4, 8), (6, 77, 1), (400, 2, 50), (3, 4, 3)])
def test_batch_sizes_are_tried_on_enough_requests(rows: int, choices: int, wanted: int) -> None:
    assert measure.trial_rows(32, rows, choices) == wanted
    assert measure.trial_rows(0, rows, choices) == 0


# ------------------------------------------------------------------ models and rows


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_padded_tokenizer_has_the_wanted_size_and_spells_as_before(name: str, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    source = shapes.ROOT / "models" / name
    shapes.write_tokenizer(source, tmp_path, 20_000, 64)
    before, after = (tokenizers.Tokenizer.from_file(str(f / "tokenizer.json")) for f in (source, tmp_path))
    assert after.get_vocab_size() == 20_000
    assert after.encode("the 房间 was good").ids == before.encode("the 房间 was good").ids
    if name == "bert":
        assert len((tmp_path / "vocab.txt").read_text(encoding="utf-8").splitlines()) == 20_000


def test_every_workload_names_a_known_model_suite_and_tools() -> None:
    plans = workloads.plans()
    assert len({plan.name for plan in plans}) == len(plans)
    for plan in plans:
        assert {plan.model, plan.quick_model or plan.model} <= {*shapes.SHAPES, workloads.LLAMA_FILE}
        assert set(plan.peers) <= set(measure.TOOLS)
        assert plan.rows[1] < plan.rows[0]


def test_a_real_file_is_at_hand_where_it_was_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "REAL", Path(""))
    assert shapes.at_hand("gpt2-small")
    assert not shapes.at_hand("model.gguf")
    monkeypatch.setattr(shapes, "REAL", tmp_path)
    assert not shapes.at_hand("model.gguf")
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "model.gguf").touch()
    assert shapes.at_hand("model.gguf")
    assert shapes.folder("model.gguf") == tmp_path / "gguf" / "model.gguf"


def test_environments_are_those_of_the_tools_that_are_asked_for() -> None:
    assert measure.environments(["lm-eval", "minicons-cloze", "minicons", "fill-mask"]) == ["harness", "minicons"]


def test_the_intents_are_77_and_their_messages_need_no_data(tmp_path: Path) -> None:
    work = workloads.intents(tmp_path, 50)
    assert {len(set(case.choices)) for case in work.cases} == {77}
    assert len({case.text for case in work.cases}) == 50


class Broken(measure.Pool):
    """No tool can be started."""

    def ready(self, name: str, model: Path) -> measure.Worker:
        raise measure.ToolError(f"{name} is not here")


def test_a_tool_that_cannot_be_started_is_named_in_the_table() -> None:
    work = Work("broken", "no tool", "causal", (COMPLETION,))
    said = measure.compare(Broken(measure.Settings(1)), work, Path("model"), ["lm-eval"])
    assert "not run: lm-eval is not here" in tables.comparison([said])


def test_generated_rows_are_always_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        around.write_rows(tmp_path / name, 20)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert set(json.loads((tmp_path / "a").read_text().splitlines()[0])) == {"id", "text", "label"}


# ------------------------------------------------------------------ suggested label words


def test_without_data_the_table_of_label_words_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert suggest.main([str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"skipped: no eprstmt or tnews under {tmp_path / 'fewclue'}\n"


@pytest.mark.torch
def test_suggested_label_words_stand_in_a_table_beside_those_of_the_shelf(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suggest, "WORKS", {"eprstmt": ("zh-sentiment-mlm",)})
    texts = {"Positive": "又香又脆 房间很干净 下次还来 老板热情", "Negative": "太差了 又吵又脏 再也不来 坏了"}
    rows = [{"sentence": text, "label": label} for label, of in texts.items() for text in of.split()]
    folder = tmp_path / "fewclue" / "eprstmt"
    folder.mkdir(parents=True)
    for name in ("train_0", "test_public"):
        write_rows(folder / f"{name}.json", rows)
    assert suggest.main([str(tmp_path)]) == 0
    head, rule, shelf, ours = capsys.readouterr().out.splitlines()
    assert len({line.count("|") for line in (head, rule, shelf, ours)}) == 1
    assert "| shelf: zh-satisfied | 1.0 |" in shelf
    assert "| suggested, train_0 |" in ours
    assert " of 4 |" in ours


# ------------------------------------------------------------------ on a GPU, shown on a CPU


class Inside(measure.Pool):
    """Tools in this process; those that need an environment of their own are not here."""

    def ready(self, name: str, model: Path) -> Any:
        from benchmarks.tools import ours, padded

        kinds: dict[str, type[worker.Tool]] = {measure.OURS: ours.Ours, "padded loop": padded.Padded}
        if name not in kinds:
            raise measure.ToolError(f"{name} is not here")
        session = worker.Session(kinds[name](name))
        load = {"do": "load", "model": str(model), "device": self.settings.device, "dtype": self.settings.dtype}
        self.versions[name] = session.answer(load)["versions"]
        return SimpleNamespace(ask=lambda **line: session.answer(line))


@pytest.mark.torch
def test_a_quick_run_of_the_gpu_benchmark_has_a_line_for_each_tool_and_scores_that_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "Pool", Inside)
    monkeypatch.setattr(gpu, "WORK", tmp_path)
    monkeypatch.setattr(gpu, "LABELS", (4,))
    assert gpu.main(["--device", "cpu", "--quick", "--seconds", "0.2", "--out", str(tmp_path)]) == 0
    page, found = (tmp_path / "gpu.md").read_text(), json.loads((tmp_path / "gpu.json").read_text())
    assert capsys.readouterr().out.rstrip() == page.rstrip()
    told = found["results"]
    assert [one["tool"] for one in told] == [*["promptshot", "padded loop"], *["promptshot"] * 2, *["padded loop"] * 2]
    others = [one for one in told if one["tool"] != "promptshot"]
    assert all(one["difference"] < 1e-4 and one["same"] == 1 and one["times"] > 0 for one in others)
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(told)
    assert len({line.count("|") for line in lines}) == 1
    assert {one["why"] for one in found["left_out"]} == {"lm-eval is not here", "vllm is not here"}
    assert "- lm-eval, gpt2-tiny, 0/4, 2/4: lm-eval is not here" in page


def test_where_the_time_is_over_what_is_left_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = gpu.arguments(["--device", "cpu", "--only", "bert-tiny"])
    found, lost = gpu.run(options, Broken(measure.Settings(1)), end=0.0)
    assert found == []
    assert {one["why"] for one in lost} == {"the time is over"}
    assert len(lost) == len(gpu.cells(options)) == 4


@pytest.mark.torch
def test_without_a_gpu_a_line_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("no CUDA device here")


@pytest.mark.skipif(not shutil.which("make") or bool(shutil.which("nvidia-smi")), reason="no make, or maybe a GPU")
def test_make_gpu_says_so_too_before_anything_is_installed(tmp_path: Path) -> None:
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        (tmp_path / name).write_text((shapes.ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(["make", "gpu"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("make gpu: no CUDA device here")
    assert not (tmp_path / ".venv-gpu").exists()


@pytest.mark.torch
def test_random_models_are_the_same_each_time_and_nothing_of_them_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "MODELS", tmp_path)
    place = shapes.hollow("gpt2-tiny")
    one, other = (shapes.random_model(place, "cpu", "bfloat16").state_dict() for _ in range(2))
    assert all(one[name].equal(other[name]) for name in one)
    assert {str(tensor.dtype) for tensor in one.values()} == {"torch.bfloat16"}
    assert not [*place.glob("*.safetensors")]
    assert shapes.is_hollow(place)


def test_a_tool_that_runs_out_of_memory_at_a_batch_size_takes_another() -> None:
    class Small(Echo):
        def run(self, cases: Sequence[Case], batch_size: int) -> worker.Scores:
            if batch_size > 1:
                raise MemoryError("no room")
            return super().run(cases, batch_size)

    session = worker.Session(Small("small"))
    session.tool.load("", "", "")
    session.cases = (COMPLETION,) * 40
    found = session.answer({"do": "budget", "seconds": 0.01})
    assert found["batch_size"] == 1
    assert len(found["scores"]) == found["rows"] > 0
    assert len(session.cases) == 40
