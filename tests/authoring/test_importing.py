"""Templates of other tools, as their users paste them: the exact prompt that each must render, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import failed, put, put_in

from promptshot.authoring.importing.given import Given, given
from promptshot.authoring.importing.tools import TOOLS, Wish, imported
from promptshot.cli import run_command, transfer
from promptshot.errors import PromptshotError
from promptshot.prompts import library
from promptshot.prompts.labels import read_labels
from promptshot.prompts.template import Template
from promptshot.rows.row import Row
from promptshot.scoring import Kind

TEMPLATE_CLASS = """
class ReviewPVP(PVP):
    WORDS = {"0": ["dull"], "1": ["fine"]}

    def get_parts(self, example):
        text = self.shortenable(example.text_a)
        if self.pattern_id == 0:
            return ['It was', self.mask, '.', text], []
        elif self.pattern_id == 1:
            return [text], ['In summary, it was', self.mask, '.']

    def verbalize(self, label):
        return ReviewPVP.WORDS[label]
"""
PAIR_CLASS = """
class 蕴含PVP(PVP):
    VERBALIZER = {"entailment": ["对"], "contradiction": ["错"]}
    def get_parts(self, example):
        return [self.shortenable(example.text_a), '？', self.mask, '，', self.shortenable(example.text_b)], []
    def verbalize(self, label):
        return 蕴含PVP.VERBALIZER[label]
"""
CALL = """
classes = ["negative", "positive"]
promptTemplate = ManualTemplate(
    text = '{"placeholder":"text_a"} All in all {"mask"}',
    tokenizer = tokenizer,
)
promptVerbalizer = ManualVerbalizer(
    classes = classes,
    label_words = {"negative": ["poor"], "positive": ["lovely", "fine"]},
    tokenizer = tokenizer,
)
"""
SENTENCES = """
task: kettles
dataset_path: json
output_type: multiple_choice
doc_to_text: "{{review}}\\nVerdict:"
doc_to_target: verdict
doc_to_choice: ["awful", "lovely"]
"""
SCIENCE = """
task: stones
output_type: multiple_choice
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: "{{choices.label.index(answerKey)}}"
doc_to_choice: "{{choices.text}}"
"""
ENDINGS = """
task: ends
output_type: multiple_choice
description: "Go on.\\n\\n"
doc_to_text: premise
doc_to_target: "{{label}}"
doc_to_choice: "{{[first, second]}}"
target_delimiter: " so "
fewshot_delimiter: "\\n"
"""
LETTERS = """
task: quiz
output_type: multiple_choice
doc_to_text: "{{ question }}\\nA. {{ options[0] }}\\nB. {{ options[1] }}\\nAnswer:"
doc_to_target: "{{ ['A', 'B'].index(key) }}"
doc_to_choice: ["A", "B"]
"""
SHARED = """
dataset: mine
templates:
  0001: !Template
    answer_choices: No ||| Yes
    id: "0001"
    jinja: 'Passage: {{ passage }}

      Is it so: {{ question }}? ||| {{ answer_choices[label] }}'
    metadata: !TemplateMetadata
      original_task: true
    name: is it so
    reference: ''
"""

# tool, text, words, pick, labels, row -> the prompt with ____ for the blank and | between segments, choices, gold label
CASES = {
    "harness, fixed choices": (
        *("lm-eval", SENTENCES, None, None, None, {"review": "It leaks.", "verdict": 0}),
        *("It leaks.\nVerdict: ____", ("awful", "lovely"), "awful"),
    ),
    "harness, choices of the row with their names": (
        *("lm-eval", SCIENCE, None, None, None),
        {"question": "Which is soft?", "choices": {"text": ["talc", "quartz"], "label": ["1", "2"]}, "answerKey": "2"},
        *("Q: Which is soft?\nA: ____", ("talc", "quartz"), "quartz"),
    ),
    "harness, a column for each choice": (
        *("lm-eval", ENDINGS, None, None, None),
        {"premise": "It rained", "first": "we stayed in", "second": "we swam", "label": 0},
        *("Go on.\n\nIt rained so ____", ("we stayed in", "we swam"), "we stayed in"),
    ),
    "harness, items of a list and letters": (
        *("lm-eval", LETTERS, None, None, None, {"question": "Largest?", "options": ["ant", "elk"], "key": "B"}),
        *("Largest?\nA. ant\nB. elk\nAnswer: ____", ("A", "B"), "B"),
    ),
    "OpenPrompt, a text and JSON": (
        *("openprompt", '{"placeholder": "text_a"}   It felt {"mask"} .', '{"bad": ["cold"], "good": ["warm"]}'),
        *(None, None, {"text": "The bath.", "label": "good"}, "The bath. It felt ____ .", ("cold", "warm"), "good"),
    ),
    "OpenPrompt, the calls": (
        *("openprompt", CALL, None, None, None, {"text": "We left.", "label": 1}),
        *("We left. All in all ____", ("poor", "lovely", "fine"), "positive"),
    ),
    "OpenPrompt, two texts, meta, and one line of words a label": (
        *(
            "openprompt",
            '{"meta":"asker"}: {"placeholder":"text_a"} {"mask"}, {"placeholder":"text_b"}',
            "no\nyes,right",
        ),
        *(None, "differs,same", {"asker": "Ann", "text_a": "Is it?", "text_b": "it is", "label": 1}),
        *("Ann: Is it? ____, it is", ("no", "yes", "right"), "same"),
    ),
    "PET, a pattern of a class": (
        *("pet", TEMPLATE_CLASS, None, "0", None, {"text": "We slept.", "label": "1"}),
        *("It was ____ . We slept.", ("dull", "fine"), "fine"),
    ),
    "PET, two segments": (
        *("pet", TEMPLATE_CLASS, None, "1", "bad,good", {"text": "We slept.", "label": "0"}),
        *("We slept.|In summary, it was ____ .", ("dull", "fine"), "bad"),
    ),
    "PET, Chinese": (
        *("pet", PAIR_CLASS, None, None, None, {"text_a": "天黑了", "text_b": "是白天", "label": "contradiction"}),
        *("天黑了？____，是白天", ("对", "错"), "contradiction"),
    ),
    "PET, lists and its file of words": (
        *("pet", "[text_a, 'Topic:', self.mask], []", "0\nSport match\nMoney bank\n", None, None),
        *({"text": "Rates rise", "label": "Money"}, "Rates rise Topic: ____", ("match", "bank"), "Money"),
    ),
    "LM-BFF": (
        *("lm-bff", "*cls**sent_0*_That_is*mask*.*sep+*", "{'0':'sad','1':'glad'}", None, None),
        *({"text": "He sang.", "label": 1}, "He sang. That is ____.", ("sad", "glad"), "glad"),
    ),
    "LM-BFF, two sentences": (
        *("lm-bff", "*cls**sent_0**mask*,*+sent_1**sep+*", "{'no':'No','yes':'Yes'}", None, None),
        *({"text_a": "Is it late?", "text_b": "the clock says ten.", "label": "yes"},),
        *("Is it late? ____, the clock says ten.", ("No", "Yes"), "yes"),
    ),
    "PaddleNLP, blanks side by side": (
        *("paddlenlp", "“{'text': 'sentence', 'length': 40}”说的是{'mask'}{'mask'}。", "运动==体育\n钱==财经"),
        *(None, None, {"sentence": "球赛开始了", "label": "钱"}, "“球赛开始了”说的是____。", ("体育", "财经"), "钱"),
    ),
    "PaddleNLP, literal texts in braces": (
        *("paddlenlp", "{'hard': '下句说'}{'mask'}：{'text': 'text_a'}", '{"好": "好", "坏": "坏"}', None, None),
        *({"text": "天晴了", "label": "好"}, "下句说____：天晴了", ("好", "坏"), "好"),
    ),
    "promptsource, a file": (
        *(
            "promptsource",
            SHARED,
            None,
            None,
            None,
            {"passage": "Ice floats.", "question": "does ice sink", "label": 0},
        ),
        *("Passage: Ice floats.\nIs it so: does ice sink? ____", ("No", "Yes"), "No"),
    ),
    "promptsource, a text whose choices the row has": (
        *(
            "promptsource",
            "{{ q }}\n\n- {{ options | join('\\n- ') }}\n\n||| {{ right }}",
            "{{ options | join('|||') }}",
        ),
        *(None, None, {"q": "Which swims?", "options": ["carp", "wren"], "right": "wren"}),
        *("Which swims?\n\n- carp\n- wren ____", ("carp", "wren"), "wren"),
    ),
    "pipeline, a hypothesis": (
        *("hf", "This note is about {}.", None, None, "money,travel", {"text": "The fare rose.", "label": "travel"}),
        *("The fare rose.|This note is about ____.", ("money", "travel"), "travel"),
    ),
    "pipeline, the call": (
        *("hf", 'pipe("Hi", candidate_labels=["cat", "dog"], hypothesis_template="It shows a {}.")', None, None, None),
        *({"text": "Woof", "label": "dog"}, "Woof|It shows a ____.", ("cat", "dog"), "dog"),
    ),
}


def shown(template: Template, row: Row) -> str:
    signs = {Kind.MASK: "____", Kind.BREAK: "|"}
    return "".join(signs.get(piece.kind, piece.text) for piece in template.render(row, ("x",)).pieces)


@pytest.mark.parametrize("said_from", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_a_template_of_another_tool_renders_as_it_does_there(case: str, said_from: bool, tmp_path: Path) -> None:
    tool, text, words, pick, labels, fields, prompt, choices, gold = CASES[case]
    wish = Wish(
        tool if said_from else None,
        Given(words, "--words") if words else None,
        pick,
        read_labels(labels) if labels else None,
    )
    found, told = imported(Given(text, "TEXT"), wish)
    assert not told.lost
    assert found.template.startswith(f"# imported from {tool}\n")
    template = Template.load(put(tmp_path / "t.yaml", found.template))
    row, verbalizer = Row(fields, "row"), library.verbalizer_of(template)
    assert shown(template, row) == prompt
    assert verbalizer.choices(row) == choices
    assert verbalizer.gold_label(row, row.column(template.spec.label_field))[0] == gold


# What cannot be said: text -> what the lost line says
LOST = {
    "lm-eval condition": (SENTENCES.replace("{{review}}", "{% if a %}{{review}}{% endif %}"), "a condition"),
    "lm-eval filter": (SENTENCES.replace("{{review}}", "{{review | upper}}"), "the filter upper"),
    "lm-eval call": (SENTENCES.replace("{{review}}", "{{review.strip()}}"), ".strip() is a call"),
    "lm-eval code": (SENTENCES + "process_docs: !function utils.boom\n", "!function utils.boom is code"),
    "openprompt code": ('{"placeholder": "text_a", "post_processing": lambda x: boom(x)} {"mask"}', "is code"),
    "openprompt soft": ('{"placeholder": "text_a"} {"soft"} {"mask"}', "trained"),
    "openprompt special": ('{"placeholder": "text_a"} {"special": "<sep>"} {"mask"}', "the special token"),
    "pet call": ("[boom(text_a), self.mask], []", "boom() changes a text"),
    "lm-bff small letter": ("*cls**sentl_0*_is*mask*.", "small letter"),
    "paddlenlp options": ("{'options': 'labels.txt'}{'text': 'a'}{'mask'}", "'options'"),
    "promptsource loop": ("{% for x in y %}{{x}}{% endfor %}{{z}} ||| {{answer_choices[label]}}", "a loop"),
}


@pytest.mark.parametrize("case", LOST)
def test_what_cannot_be_said_is_told_and_left_out_only_where_that_is_asked(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = LOST[case]
    tool = case.split()[0]
    more = ["--words", "a ||| b"] if tool == "promptsource" else []
    out = str(tmp_path / "out.yaml")
    command = ["templates", "import", text, "--from", tool, *more, "-o", out]
    assert run_command(command) == 1
    err = capsys.readouterr().err
    assert [line for line in err.splitlines() if line.startswith("lost: ") and said in line]
    assert "--partial" in err.splitlines()[-1]
    assert not Path(out).exists()
    assert run_command([*command, "--partial"]) == 3
    Template.load(Path(out))


BROKEN = {
    "lm-eval unknown key": ("lm-eval", SENTENCES.replace("doc_to_text", "doc_to_txt"), "did you mean 'doc_to_text'?"),
    "lm-eval no choice": ("lm-eval", "output_type: generate_until\ndoc_to_text: a\n", "does not choose among labels"),
    "lm-eval tag of Python": ("lm-eval", "doc_to_text: !!python/object/apply:os.system [boom]\n", "is not allowed"),
    "lm-eval broken Jinja": ("lm-eval", SENTENCES.replace("{{review}}", "{{review"), "no Jinja"),
    "lm-eval deep": ("lm-eval", SENTENCES.replace("{{review}}", "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}"), "nested"),
    "openprompt unknown key": ("openprompt", '{"placeholder": "text_a"} {"mask"} {"sofft"}', "did you mean 'soft'?"),
    "openprompt two masks": ("openprompt", '{"mask"} {"placeholder": "text_a"} {"mask"}', "2 blanks"),
    "openprompt open brace": ("openprompt", '{"placeholder": "text_a" {"mask"}', "not closed"),
    "openprompt deep": ("openprompt", "{" * 5000 + '"mask"' + "}" * 5000, "no dict"),
    "paddlenlp code": ("paddlenlp", "{__import__('os').system('boom')}{'mask'}", "no dict"),
    "paddlenlp no field": ("paddlenlp", "{'mask'}{'hard': 'x'}", "no field"),
    "pet no list": ("pet", "boom()", "no list of parts"),
    "pet deep": ("pet", "[" * 5000 + "]" * 5000, "cannot be read as Python"),
    "pet no Python": ("pet", "def get_parts(:", "cannot be read as Python"),
    "lm-bff unknown variable": ("lm-bff", "*cls**sentence*_is*mask*.", "unknown variable"),
    "lm-bff open star": ("lm-bff", "*cls**sent_0*_is*mask.", "not closed"),
    "promptsource no bar": ("promptsource", "{{text}} {{answer_choices[label]}}", "no '|||'"),
    "promptsource unknown key": ("promptsource", SHARED.replace("jinja:", "ginger:"), "unknown key 'ginger'"),
    "hf no place": ("hf", "This is about {label}.", "once"),
    "hf two places": ("hf", "{} is {}", "once"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_refused_with_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    tool, text, said = BROKEN[case]
    line = failed(capsys, "templates", "import", text, "--from", tool)
    assert said in line
    assert line.startswith("error: TEXT")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("data", "said"), [(b"{{x}}" * 2_000_000, "larger than"), (b"\xff\xfe\x80{}", "not UTF-8")])
def test_files_that_are_no_text_are_refused_by_every_tool(
    tool: str, data: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in failed(capsys, "templates", "import", put_in(tmp_path, "big.yaml", data), "--from", tool)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "text", ["", " ", "{" * 90_000, "{{" * 40_000, "*" * 90_000, "(" * 90_000, "a: " * 30_000, "|||" * 9]
)
def test_nonsense_is_refused_by_every_tool(tool: str, text: str) -> None:
    with pytest.raises(PromptshotError):
        imported(Given(text, "TEXT"), Wish(tool))


def test_a_bomb_of_jinja_is_never_set_off(capsys: pytest.CaptureFixture[str]) -> None:
    text = SENTENCES.replace("{{review}}", "{{review}}{{ 9 ** 9 ** 9 }}{{ 'a' * 10 ** 10 }}{{ x.__class__.__mro__ }}")
    assert run_command(["templates", "import", text]) == 1
    assert capsys.readouterr().err.count("lost: ") == 2  # the last is a field that no row has


def test_an_included_task_fills_in_what_its_own_does_not_say(tmp_path: Path) -> None:
    put(tmp_path / "base_yaml", SENTENCES)
    path = put(tmp_path / "own.yaml", "include: base_yaml\ntask: own\ndoc_to_choice: [poor, rich]\n")
    found, told = imported(given(str(path)), Wish())
    assert not told.lost
    template = Template.load(put(tmp_path / "t.yaml", found.template))
    assert shown(template, Row({"review": "So"})) == "So\nVerdict: ____"
    assert library.verbalizer_of(template).names == ("poor", "rich")


def test_an_include_leads_to_tasks_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "secret.yaml", "password: hidden\n")
    put(tmp_path / "round.yaml", "include: round.yaml\n")
    for name, said in {
        "secret.yaml": "no task can be read",
        "gone.yaml": "no file",
        "/etc/hosts": "cannot be followed",
    }.items():
        line = failed(
            capsys,
            "templates",
            "import",
            put_in(tmp_path, "own.yaml", f"include: {name}\ntask: a\n"),
            "--from",
            "lm-eval",
        )
        assert said in line
        assert "password" not in line
    assert "go round" in failed(capsys, "templates", "import", str(tmp_path / "round.yaml"), "--from", "lm-eval")


def test_the_words_may_have_a_file_of_their_own(tmp_path: Path) -> None:
    out, words = tmp_path / "t.yaml", tmp_path / "w.yaml"
    text = "It is {} news."
    assert (
        run_command(
            ["templates", "import", text, "--labels", "old,new", "-o", str(out), "--verbalizer-out", str(words)]
        )
        == 0
    )
    assert library.verbalizer_of(Template.load(out)).names == ("old", "new")
    assert "labels" not in out.read_text(encoding="utf-8")


def test_the_command_knows_the_tools() -> None:
    assert set(transfer.FROM) == set(TOOLS)
