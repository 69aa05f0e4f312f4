"""What is not installed: one line says what needs it and what installs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from promptshot import scorers
from promptshot.errors import InputError, ModelError, OptionError, install, lacking
from promptshot.rows import columnar
from promptshot.scorers import load, load_tokenizer
from promptshot.scoring import ModelOptions

ROOT = Path(__file__).parents[2]
ROWS = str(ROOT / "examples" / "en-reviews.jsonl")

# A finder that knows some packages not to be there, as a Python has that they were never installed into.
WITHOUT = """
import sys
gone = sys.argv.pop(1).split(",")
class Gone:
    def find_spec(self, name, path=None, target=None):
        if (package := name.partition(".")[0]) in gone:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
sys.meta_path.insert(0, Gone())
from promptshot.cli import run_command
sys.exit(run_command(sys.argv[1:]))
"""


def without(packages: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", WITHOUT, packages, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("classify", ROWS, "-t", "en-sentiment-causal", "-q"), "the scorer 'causal'"),
        (("compare", ROWS, "-t", "en-sentiment-nsp", "-t", "en-sentiment-mlm", "-q"), "the scorer 'nsp'"),
        (("templates", "preview", "en-topic-mlm", "--ids"), "a tokenizer"),
        (("templates", "preview", "en-sentiment-nsp", "--scores"), "a tokenizer"),
        (("verbalizers", "lint", "zh-news", "-m", "builtin:gpt2"), "a tokenizer"),
        (("doctor", "-m", "builtin:gpt2", "--scorer", "causal"), "the scorer 'causal'"),
        (("suggest", ROWS, "-t", "en-sentiment-mlm", "-q"), "the scorer 'mlm'"),
        (("explain", ROWS, "-t", "en-sentiment-causal", "-q"), "the scorer 'causal'"),
    ],
)
def test_without_torch_whatever_needs_it_says_what_to_install(arguments: tuple[str, ...], what: str) -> None:
    done = without("torch", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"error: {what} needs the package torch; pip install torch"


@pytest.mark.parametrize("package", ["transformers", "safetensors"])
def test_without_what_comes_with_torch_a_run_says_what_to_install(package: str) -> None:
    said = without(package, "classify", ROWS, "-t", "en-sentiment-mlm", "-n", "2", "-q").stderr
    assert said == f"error: the scorer 'mlm' needs the package {package}; pip install {package}\n"


@pytest.mark.parametrize(("package", "name"), [("rich", "rich"), ("yaml", "pyyaml"), ("pydantic", "pydantic")])
def test_without_what_every_command_needs_there_is_one_line(package: str, name: str) -> None:
    done = without(package, "templates", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: promptshot needs the package {package}; pip install {name}\n"


def test_what_needs_no_tensors_works_without_torch(tmp_path: Path) -> None:
    out = str(tmp_path / "out.jsonl")
    done = without("torch,transformers", "classify", ROWS, "-t", "en-sentiment-mlm", "--scorer", "fake", "-o", out)
    assert done.returncode == 0
    assert without("torch,transformers", "report", out).returncode == 0
    assert without("torch,transformers", "templates", "preview", "en-sentiment-mlm").returncode == 0


def chained(*problems: Exception) -> Exception:
    """The last one, raised for want of the others."""
    *before, last = problems
    if before:
        last.__context__ = chained(*before)
    return last


@pytest.mark.parametrize(
    ("problem", "package"),
    [
        (ModuleNotFoundError("No module named 'fugashi'", name="fugashi"), "fugashi"),
        (chained(ModuleNotFoundError("", name="rjieba"), ImportError("You need to install it")), "rjieba"),
        (chained(ModuleNotFoundError("", name="tiktoken"), ValueError("`tiktoken` is required")), "tiktoken"),
        (chained(ModuleNotFoundError("", name="triton"), RuntimeError("no device")), ""),  # tried, and done without
        (ModuleNotFoundError("No module named 'torch.nope'", name="torch.nope"), ""),  # another version of it
        (ImportError("cannot import name 'x' from 'torch'", name="torch"), ""),
        (ModuleNotFoundError("raised by hand"), ""),
        (KeyError("torch"), ""),
    ],
)
def test_what_is_missing_is_told_from_what_failed_otherwise(problem: Exception, package: str) -> None:
    assert lacking(problem) == package


def test_what_installs_a_package_is_its_name_or_the_extra_that_has_it() -> None:
    assert install("einops") == "pip install einops"
    assert install("jieba") == "pip install 'promptshot[cpm]'"


def test_a_scorer_of_somebody_else_that_lacks_a_package_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lacks_much.py").write_text("import nowhere_at_all.inside", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OptionError, match=r"'lacks_much:Own' cannot be loaded .*nowhere_at_all") as caught:
        load("lacks_much:Own", ModelOptions())
    assert caught.value.hint == "install the package nowhere_at_all"
    with pytest.raises(OptionError, match=r"; write it as package\.module:Class$"):
        load("lacks_everything:Own", ModelOptions())


def unloadable(name: str) -> None:
    """As an import is of a package that is there, and whose own libraries are not."""
    raise ImportError("libnothere.so.12: cannot open shared object file")


def test_a_torch_that_is_there_and_broken_is_no_misspelt_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorers, "loaded", unloadable)
    said = r"'nsp' cannot be loaded \(ImportError: libnothere\.so.*; to see why: python -c"
    with pytest.raises(OptionError, match=said):
        load("nsp", ModelOptions())
    with pytest.raises(OptionError, match=r"a tokenizer cannot be loaded \(ImportError: libnothere\.so"):
        load_tokenizer(ModelOptions("builtin:bert"))


def test_a_pyarrow_that_is_there_and_broken_is_told_apart_from_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "importlib", SimpleNamespace(import_module=unloadable))
    with pytest.raises(InputError, match=r"^t\.parquet: .* pyarrow \(ImportError: libnothere.*\); install it anew$"):
        columnar._needed("pyarrow", "t.parquet")


def test_a_checkpoint_whose_tokenizer_needs_a_package_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the Japanese BERTs do, whose words mecab parts."""
    pytest.importorskip("transformers")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(ROOT / "models" / "bert" / name, tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n日\n本\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "fugashi", None)
    with pytest.raises(ModelError, match=r"needs the package fugashi; pip install fugashi$"):
        load_tokenizer(ModelOptions(str(tmp_path)))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Using `own` quantization requires accelerate: `pip install 'accelerate>=1'`", ""),
        ("Much is to be said. " * 12 + "Run `pip install einops flash`", "pip install einops flash"),
        ("own code failed", "is it a transformers checkpoint?"),
    ],
)
def test_what_a_library_says_to_install_is_what_to_try(text: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")

    def fails(*names: object, **options: object) -> None:
        raise ImportError(text)

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fails)
    with pytest.raises(ModelError, match="cannot be loaded: ") as caught:
        load_tokenizer(ModelOptions("builtin:bert"))
    assert caught.value.hint == hint
