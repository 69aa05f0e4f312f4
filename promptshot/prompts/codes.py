"""What can be wrong with a template or verbalizer: one code for each kind of flaw, with its explanation.

A code never changes its name. `promptshot templates lint --explain CODE` and docs/templates.md show what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeVar

from promptshot.errors import PromptshotError

Severity = Literal["error", "warning", "note"]  # it does not work; it is hardly meant; good to know
Place = tuple[str | int, ...]  # the keys that lead to a value: ("fields", "text", "cut")
Lines = Mapping[Place, int]
NO_LINES: Lines = MappingProxyType({})

E = TypeVar("E", bound=PromptshotError)


@dataclass(frozen=True)
class Code:
    """A kind of flaw: its name, how bad it is, and what an author should know about it."""

    name: str
    severity: Severity
    why: str


@dataclass(frozen=True)
class Flaw:
    """One thing wrong with a file: what, one thing to try, and at which key; `line` where it is not the key's."""

    code: Code
    what: str
    hint: str = ""
    place: Place = ()
    line: int | None = None

    def line_in(self, lines: Lines) -> int | None:
        """The line it stands on, or that of the nearest key around it; None where nothing tells."""
        if self.line is not None:
            return self.line
        found = (lines.get(self.place[:n]) for n in range(len(self.place), 0, -1))
        return next((line for line in found if line is not None), None)

    def error(self, kind: type[E], where: str, lines: Lines = NO_LINES) -> E:
        """The same as an error to raise."""
        line = self.line_in(lines)
        return kind(self.what, where=f"{where}:{line}" if line else where, hint=self.hint)


# ------------------------------------------------------------------ the file

UNREADABLE = Code(
    "unreadable", "error", "The file does not exist or may not be read; lint then exits with 1 instead of 3."
)
NOT_TEXT = Code(
    "not-text",
    "error",
    "The file is not UTF-8 text, or far larger than any template. Save it as UTF-8.",
)
NOT_YAML = Code(
    "not-yaml",
    "error",
    "The file cannot be read as YAML. Most often a value that begins with `{` or `[` lacks quotes: "
    '`text: "{mask}满意。{text}"`. Nothing else is checked until this is mended.',
)
NOT_A_MAPPING = Code("not-a-mapping", "error", "A template or verbalizer is a mapping: lines of `key: value`.")
NOT_PLAIN = Code(
    "not-plain",
    "error",
    "YAML aliases (`*name`), tags (`!name`) and keys that are not plain text are refused: a template is data from a "
    "stranger, and nothing in it is followed or run. Write the value out.",
)
NOT_UNICODE = Code(
    "not-unicode", "error", "A NUL or half of a surrogate pair stands in a value; no tokenizer takes it."
)
DOUBLED_KEY = Code(
    "doubled-key", "error", "The same key stands twice in one mapping. Other readers keep the last in silence."
)
UNKNOWN_KEY = Code("unknown-key", "error", "No such key exists at this place. It would be ignored, so it is refused.")
MISSING_KEY = Code("missing-key", "error", "A template needs `scorer` and `text`; a verbalizer needs `labels`.")
WRONG_VALUE = Code("wrong-value", "error", "The value is not what this key takes.")
WRONG_KIND = Code("wrong-kind", "error", "The file is a verbalizer where a template is meant, or the other way round.")

# ------------------------------------------------------------------ the keys of a template

SEGMENTS = Code(
    "segments",
    "error",
    "`nsp` compares two segments, so its text is a list of two: `[A, B]`. `causal` and `seq2seq` read one text. "
    "`mlm` and `rtd` take either.",
)
CLASHING_KEYS = Code(
    "clashing-keys", "error", "Two keys do not go together, or a key means nothing to this scorer. Remove one of them."
)
BAD_PRIOR = Code(
    "bad-prior", "error", "`prior` is a distribution: one positive number for each label of `ordered`, with sum 1."
)
STRAY_BRACE = Code(
    "stray-brace", "error", "`{name}` is a field, `{mask}` the blank, `{{` and `}}` are braces. This is none of them."
)
NO_MASK = Code("no-mask", "error", "Without `{mask}` (or a field with a `hole`) there is no place for the label word.")
TWO_MASKS = Code("two-masks", "error", "A text has one blank. For a word that comes twice, write two templates.")
BAD_HOLE = Code(
    "bad-hole",
    "error",
    "`hole` names the marker in a field that becomes the blank: one field, used once; beside `{mask}` only for `nsp`.",
)
MASK_IN_PAIR = Code(
    "mask-in-pair", "error", "With `ordered` a pair has one score and no blank: its rank in the run tells the label."
)
NO_FIELD = Code("no-field", "error", "The text is the same for every row. Put `{text}` where the row's text goes.")
UNUSED_FIELD = Code("unused-field", "error", "`fields` says how to fill in a field that the text does not have.")
NOTHING_TO_SCORE = Code(
    "nothing-to-score",
    "error",
    "`direction: channel` scores the row's text given the label, so a field must stand behind the blank.",
)

# ------------------------------------------------------------------ the text of a template

FALSE_MASK = Code(
    "false-mask",
    "warning",
    "`[MASK]`, `<mask>` and the like are plain text here, so that a template works with every model. "
    "The blank is `{mask}`.",
)
SPECIAL_TOKEN = Code(
    "special-token",
    "warning",
    "Special tokens of a model (`[SEP]`, `</s>`, `<|im_start|>`, `[INST]`) are plain text in a template, in its "
    "separator and in label words, as they are in a row: the model reads brackets and letters. The tokenizer puts its "
    "own where a text begins and ends, and between two segments, which are a list: `text: [A, B]`. The marks of a chat "
    "are written by the checkpoint's own chat template, with `chat:` or `--chat`; without, say in plain words who asks "
    "and who answers. Between demonstrations stands `separator`, most often an empty line.",
)
WIDE_BRACE = Code("wide-brace", "warning", "Full-width braces ｛｝, as Chinese input methods type them, are text.")
BACKSLASH = Code(
    "backslash-n",
    "warning",
    "Only in double quotes does YAML read `\\n` as a line break. Without them the model sees a backslash and an n.",
)
HIDDEN_CHARACTER = Code(
    "hidden-character",
    "warning",
    "A character that nobody sees (zero-width, no-break space, text direction) stands in a text or word, often after "
    "copying from a web page. A tokenizer sees it.",
)
EDGE_OF_TEXT = Code(
    "edge-of-text",
    "warning",
    "White space at the beginning or end of the text. Behind the blank of a causal template it is scored with every "
    "word. A block that begins with `|` ends with a line break; `|-` does not.",
)
SPACES_BEFORE_MASK = Code(
    "spaces-before-mask",
    "warning",
    "A causal model reads the white space before the blank as part of the word. One space before an English word is "
    "right. Several, a tab, or a space before a Chinese word are tokens that hardly ever stood there in its training.",
)
GLUED_MASK = Code(
    "glued-mask",
    "warning",
    "The label word would stick to what is before it (`Topic:sports`), which a causal model has hardly ever read.",
)
RUN_TOGETHER = Code(
    "run-together",
    "warning",
    "The text has several lines and so has no clear end among demonstrations that a single line break parts. "
    r'Write `separator: "\n\n"`.',
)

# ------------------------------------------------------------------ labels and label words

FEW_LABELS = Code("few-labels", "error", "A choice needs at least two labels.")
NO_WORD = Code("no-word", "error", "Every label needs a label word: the text that stands for it in the blank.")
BAD_WEIGHT = Code("bad-weight", "error", "Weights of label words are positive numbers of sensible size.")
SHARED_WORD = Code(
    "shared-word", "error", "Two labels have the same word, so that their scores cannot tell them apart."
)
SHARED_GOLD = Code(
    "shared-gold", "error", "A spelling in `gold` (or a label) leads to two labels; upper and lower case count as one."
)
UNKNOWN_LABEL = Code("unknown-label", "error", "`gold` or `ordered` names a label that the verbalizer does not have.")
NO_VERBALIZER = Code(
    "no-verbalizer",
    "warning",
    "Nothing says which words may fill the blank. `classify` then needs `--labels` or `--verbalizer`.",
)
LOST_VERBALIZER = Code(
    "lost-verbalizer",
    "error",
    "There is no verbalizer of that name or path. Names are sought in `--library` and on the shelf, paths from the "
    "template's own folder.",
)
GOLD_GAP = Code(
    "gold-gap",
    "warning",
    "`gold` gives numbers for some labels only. Data sets number all of their labels, so one was forgotten.",
)
NUMBER_LABEL = Code(
    "number-label",
    "warning",
    "Labels that are numbers make predictions and reports hard to read. Name the label; its number belongs in `gold`.",
)
YAML_WORD = Code(
    "yaml-word",
    "warning",
    "Without quotes, other YAML readers (editors, scripts) take yes, no, on, off, true and false for truth values, "
    "null and ~ for nothing, 2024-01-01 for a date. promptshot keeps the text; with quotes everyone does.",
)
EDGE_OF_WORD = Code(
    "edge-of-word",
    "warning",
    "A label word begins or ends with white space. The scorers put the space where the template has it.",
)
REPEATED_WORD = Code("repeated-word", "warning", "A label lists the same word twice; the second changes nothing.")

NO_ODDS = Code(
    "no-odds",
    "note",
    "With `labels: several` each label holds from a threshold on. Under scorers whose scores are odds that is a "
    "probability, 0.5 unless said; under others it is a score, and `classify` must be told which: `--threshold`, or "
    "`--dev FILE` with labelled rows that it is fitted to.",
)

# ------------------------------------------------------------------ the example

NO_EXAMPLE = Code(
    "no-example",
    "note",
    "An example row shows what the template reads, and lets `show`, `preview` and `lint` try it out.",
)
EXAMPLE_LACKS = Code("example-lacks", "warning", "The example lacks a field that the text has; maybe one is misspelt.")
EXAMPLE_EXTRA = Code("example-extra", "warning", "The example has a field that the template does not read.")
EXAMPLE_LABEL = Code(
    "example-label", "warning", "The example has no label, or one that is none of the verbalizer's labels or spellings."
)
EXAMPLE_UNUSABLE = Code(
    "example-unusable", "warning", "The template cannot be filled in with its own example, as with a row like it."
)

# ------------------------------------------------------------------ with the tokenizer of a model

UNKNOWN_WORD = Code(
    "unknown-word",
    "error",
    "The tokenizer has no tokens for a label word, so that it would be scored as `[UNK]`. `classify` refuses it.",
)
ALIKE_WORDS = Code(
    "alike-words",
    "error",
    "The tokenizer spells the words of two labels the same (an uncased one: Good and good). `classify` refuses them.",
)
TOO_LONG = Code(
    "too-long", "error", "The template without any row takes all the tokens that the model reads at once, or more."
)
OTHER_SCORER = Code(
    "other-scorer",
    "note",
    "The model is not made for this template's scorer, so its tokenizer was left out of the checks.",
)
SPLIT_WORD = Code(
    "split-word",
    "note",
    "A label word has several tokens. Its score is the sum over them (the mean, where a cloze's words differ in "
    "length); under `mlm`, `multi_token` says what they know of one another. Words of one token are scored most "
    "sharply.",
)
UNEQUAL_WORDS = Code(
    "unequal-words",
    "note",
    "Label words differ in their number of tokens. Sums favour short words under `mlm` and long ones under `rtd`, so "
    "both take means; `normalize` decides otherwise. Words of one length compare best.",
)
SPACE_MATTERS = Code(
    "space-matters",
    "note",
    "A word has other tokens behind a space than without. Without a space before the blank, the model scores the "
    "spelling that it met within words.",
)

CODES: Mapping[str, Code] = MappingProxyType(
    {code.name: code for code in list(globals().values()) if isinstance(code, Code)}
)
