"""The trie of a call against the reference: many kinds of models, any cut, and what each token costs."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import reference
import torch
import transformers
from helpers import LENGTH
from tiny import SIZES, randomized
from torch import Tensor

from promptshot.scorers.engine import prefix
from promptshot.scorers.engine.heads import Head
from promptshot.scorers.engine.plans import Query
from promptshot.scorers.engine.prefix import Trie, View, Views, Walk, doubt, reach, sight

pytestmark = pytest.mark.torch

VOCABULARY = 60
NAMES = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
MODERN = {"vocab_size": VOCABULARY, "max_position_embeddings": LENGTH, **SIZES, **NAMES}
GROUPED = {**MODERN, "num_key_value_heads": 2}
OLD = {"vocab_size": VOCABULARY, "n_positions": LENGTH, "n_embd": 32, "n_layer": 2, "n_head": 4, **NAMES}

# Kinds of models that are run as a trie ...
SHARED: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2Config(**OLD),
    "llama": lambda: transformers.LlamaConfig(**GROUPED),
    "qwen2": lambda: transformers.Qwen2Config(**GROUPED),
    "qwen3": lambda: transformers.Qwen3Config(**GROUPED, head_dim=8),
    "opt": lambda: transformers.OPTConfig(**MODERN, ffn_dim=48, word_embed_proj_dim=32),
    "gpt-neox": lambda: transformers.GPTNeoXConfig(**MODERN),
    "mistral": lambda: transformers.MistralConfig(**GROUPED, sliding_window=LENGTH),
    "mixtral": lambda: transformers.MixtralConfig(**GROUPED, num_local_experts=4),
    "gemma": lambda: transformers.GemmaConfig(**GROUPED, head_dim=8),
    "gemma2": lambda: transformers.Gemma2Config(**GROUPED, head_dim=8, final_logit_softcapping=3.0),
    "gemma3": lambda: transformers.Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=LENGTH),
    "phi": lambda: transformers.PhiConfig(**MODERN),
    "gpt-j": lambda: transformers.GPTJConfig(**OLD, rotary_dim=4),
    "falcon": lambda: transformers.FalconConfig(**MODERN),
    "cohere": lambda: transformers.CohereConfig(**GROUPED),
}
# Kinds whose layers see so many tokens back, all of them or some.
WINDOWS = (4, 8, 16)
MIXED = {"layer_types": ["sliding_attention", "full_attention"]}
SLIDING: dict[str, Callable[[int], Any]] = {
    "mistral": lambda size: transformers.MistralConfig(**GROUPED, sliding_window=size),
    "mixtral": lambda size: transformers.MixtralConfig(**GROUPED, sliding_window=size, num_local_experts=4),
    "phi3": lambda size: transformers.Phi3Config(**GROUPED, sliding_window=size),
    "starcoder2": lambda size: transformers.Starcoder2Config(**GROUPED, sliding_window=size),
    "qwen2": lambda size: transformers.Qwen2Config(
        **GROUPED, sliding_window=size, use_sliding_window=True, max_window_layers=1
    ),
    "gemma2": lambda size: transformers.Gemma2Config(**GROUPED, head_dim=8, sliding_window=size),
    "gemma3": lambda size: transformers.Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=size, **MIXED),
    "cohere2": lambda size: transformers.Cohere2Config(**GROUPED, sliding_window=size, **MIXED),
    "gpt-oss": lambda size: transformers.GptOssConfig(**GROUPED, head_dim=8, sliding_window=size, num_local_experts=4),
    "olmo3": lambda size: transformers.Olmo3Config(**GROUPED, sliding_window=size, **MIXED),
    # What its configuration says of its layers, this family does not heed: all of them slide.
    "mistral with types": lambda size: transformers.MistralConfig(
        **GROUPED, sliding_window=size, layer_types=["full_attention"] * 2
    ),
    # A window that no layer uses.
    "llama with a window": lambda size: transformers.LlamaConfig(**GROUPED, sliding_window=size),
    "llama4 (chunks)": lambda size: transformers.Llama4TextConfig(
        **GROUPED,
        head_dim=8,
        attention_chunk_size=size,
        num_local_experts=2,
        intermediate_size_mlp=16,
        layer_types=["chunked_attention", "full_attention"],
    ),
}
# ... and kinds that are not.
PLAIN: dict[str, tuple[Callable[[], Any], str]] = {
    "bloom": (
        lambda: transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4),
        "no position ids",
    ),
    "falcon with alibi": (lambda: transformers.FalconConfig(**MODERN, alibi=True), "ValueError: "),
    "mpt": (
        lambda: transformers.MptConfig(vocab_size=VOCABULARY, d_model=32, n_layers=2, n_heads=4, max_seq_len=LENGTH),
        "no position ids",
    ),
    "gpt-neo": (
        lambda: transformers.GPTNeoConfig(
            vocab_size=VOCABULARY, max_position_embeddings=LENGTH, hidden_size=32, num_layers=2, num_heads=4,
            attention_types=[[["global", "local"], 1]], window_size=64,
        ),
        "counts tokens",
    ),
    "mamba": (
        lambda: transformers.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2),
        "no position ids",
    ),
}  # fmt: skip


def made(config: Any) -> Any:
    """A tiny model of this kind with large random weights."""
    torch.manual_seed(0)
    return randomized(transformers.AutoModelForCausalLM.from_config(config), seed=1)


@pytest.fixture(scope="module", params=SHARED)
def model(request: pytest.FixtureRequest) -> Any:
    return made(SHARED[request.param]())


@pytest.fixture(scope="module")
def gpt2() -> Any:
    return made(SHARED["gpt2"]())


# ------------------------------------------------------------------ sequences

Ids = list[int]
Line = tuple[Ids, int]  # a sequence, and where what is scored begins


def drawn(seed: int) -> Callable[[int], Ids]:
    """A function that gives random ids."""
    draw = random.Random(seed)
    return lambda count: [draw.randrange(1, VOCABULARY) for _ in range(count)]


def alone() -> list[Line]:
    """No demonstrations: contexts that share nothing, one of them a single token."""
    ids = drawn(1)
    return [(ids(size) + ids(2), size) for size in (1, 4, 9)]


def one_prefix() -> list[Line]:
    """Rows behind the same demonstrations, each with words of 1 to 3 tokens."""
    ids = drawn(2)
    demos, words = ids(40), [ids(1), ids(2), ids(3)]
    return [(demos + row + word, 40 + len(row)) for row in (ids(5), ids(3), ids(9)) for word in words]


def nested_prefixes() -> list[Line]:
    """Rows that share more and less of a prefix, and one that ends within it."""
    ids = drawn(3)
    demos = ids(30)
    lines = [(demos[:size] + (row := ids(4)) + ids(2), size + len(row)) for size in (30, 30, 22, 14, 14, 3)]
    return [*lines, (demos[:20], 17)]


def many_words() -> list[Line]:
    """77 words of 1 to 4 tokens of which many begin alike, behind one context."""
    draw, ids = random.Random(4), drawn(4)
    context, starts = ids(12), [ids(3) for _ in range(9)]
    words = [[*starts[i % 9][: draw.randrange(4)], 1 + i % 50, *ids(i % 2)] for i in range(77)]
    return [(context + word[:4], 12) for word in words]


def channel() -> list[Line]:
    """The text given the word: all of it is scored."""
    ids = drawn(5)
    lead = ids(6)
    return [(lead + (word := ids(1 + n % 2)) + text, 6 + len(word)) for text in (ids(8), ids(3)) for n in range(3)]


def doubles() -> list[Line]:
    """The same prompts again and again."""
    return alone() + one_prefix()[:3] + alone() + one_prefix()[:3]


SETS = [alone, one_prefix, nested_prefixes, many_words, channel, doubles]


def queries(lines: Sequence[Line]) -> list[Query]:
    return [Query(ids, (0,), tuple(range(begin - 1, len(ids) - 1)), (tuple(ids[begin:]),)) for ids, begin in lines]


def walked(
    model: Any,
    lines: Sequence[Line],
    budget: int,
    seed: int | None = None,
    head: Head | None = None,
    views: Views | None = None,
) -> list[float]:
    """The scores of the lines, `budget` nodes at a time, in the order of a seed."""
    order = list(range(len(lines)))
    if seed is not None:
        random.Random(seed).shuffle(order)
    walk = Walk(model, head or Head(model), Trie.of(queries([lines[i] for i in order])), order, views=views)
    found: dict[int, float] = {}
    with torch.inference_mode():
        for start in range(0, walk.total, budget):
            for i, values in walk.run(start, min(start + budget, walk.total)):
                assert values is not None
                assert order[i] not in found
                found[order[i]] = values[0]
    return [found[i] for i in range(len(lines))]


def truth(model: Any, lines: Sequence[Line]) -> list[float]:
    return [reference.continued(model, ids, begin) for ids, begin in lines]


def assert_equal(found: Sequence[float], wanted: Sequence[float]) -> None:
    assert found == pytest.approx(wanted, rel=0, abs=reference.TOLERANCE)


# ------------------------------------------------------------------ the trie


def test_the_drawing_of_the_module_is_what_is_made() -> None:
    a, b, c, x, y, z, end = 1, 2, 3, 4, 5, 6, 7
    trie = Trie.of(queries([([a, b, y, z, end], 2), ([a, c, end], 2), ([a, b, x, end], 3)]))
    assert trie.tokens.tolist() == [a, b, x, y, z, c]
    assert trie.depths.tolist() == [0, 1, 2, 2, 3, 1]
    assert trie.ends.tolist() == [6, 5, 3, 5, 5, 6]
    assert trie.order == (2, 0, 1)
    assert trie.lasts == (2, 4, 5)
    assert list(zip(trie.at.tolist(), trie.targets.tolist(), trie.lines.tolist(), strict=True)) == [
        (1, y, 1), (2, end, 0), (3, z, 1), (4, end, 1), (5, end, 2),
    ]  # fmt: skip
    seen = [[0, 1, 2], [0, 1, 3], [0, 1, 3, 4], [0, 5]]
    found = trie.sees(torch.tensor([2, 3, 4, 5]), torch.arange(6))
    assert [row.nonzero().flatten().tolist() for row in found] == seen


@pytest.mark.parametrize("lines", SETS)
def test_a_node_sees_itself_and_what_stands_before_it(lines: Callable[[], list[Line]]) -> None:
    trie = Trie.of(queries(lines()))
    every = torch.arange(len(trie))
    seen = trie.sees(every, every)
    for line, i in enumerate(trie.order):
        above = seen[trie.lasts[line]].nonzero().flatten()
        assert trie.tokens[above].tolist() == lines()[i][0][:-1]
        assert trie.depths[above].tolist() == list(range(len(above)))


def test_sequences_in_any_order_give_the_same_trie() -> None:
    lines = nested_prefixes() + many_words()
    straight, back = Trie.of(queries(lines)), Trie.of(queries(lines[::-1]))
    for name in ("tokens", "depths", "ends", "at"):
        assert torch.equal(getattr(straight, name), getattr(back, name))


# ------------------------------------------------------------------ scores


@pytest.mark.parametrize("lines", SETS)
def test_scores_equal_the_reference_for_every_kind_of_model(model: Any, lines: Callable[[], list[Line]]) -> None:
    wanted = truth(model, lines())
    for budget, seed in ((7, None), (25, 1), (10_000, 2)):
        assert_equal(walked(model, lines(), budget, seed), wanted)


def test_no_kind_of_model_is_run_in_a_way_that_its_library_gives_up(model: Any) -> None:
    head = Head(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        walked(model, nested_prefixes(), budget=25, head=head)


@pytest.mark.parametrize("names", [["cache", "past_key_values"], ["past_key_values"], ["cache"], []])
def test_keys_and_values_are_handed_over_by_the_name_that_the_model_knows(names: list[str]) -> None:
    code = f"def forward(self, input_ids, {''.join(f'{name}=None, ' for name in names)}**others): ..."
    made: dict[str, Any] = {}
    exec(code, made)
    module = type("Model", (), made)()
    assert prefix.cache_name(module) == (names[0] if names else "past_key_values")


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 16, 41])
def test_scores_equal_the_reference_wherever_the_trie_is_cut(gpt2: Any, budget: int) -> None:
    lines = nested_prefixes() + channel() + many_words()[:20]
    assert_equal(walked(gpt2, lines, budget), truth(gpt2, lines))


def test_bfloat16_comes_near() -> None:
    model = made(SHARED["llama"]())
    wanted = truth(model, nested_prefixes())
    rough = walked(model.to(torch.bfloat16), nested_prefixes(), budget=20)
    assert rough == pytest.approx(wanted, rel=0.02, abs=0.5)
    assert rough != wanted


def test_logits_are_made_for_a_few_positions_at_once(gpt2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    whole = Head.logits

    def counted(self: Head, states: Tensor) -> Tensor:
        rows.append(len(states))
        return whole(self, states)

    monkeypatch.setattr(Head, "logits", counted)
    monkeypatch.setitem(prefix.LOGITS, "cpu", 4 * VOCABULARY)
    assert_equal(walked(gpt2, channel(), budget=30), truth(gpt2, channel()))
    assert max(rows) == 4


# ------------------------------------------------------------------ these tests have teeth


def spoilt(monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    """From here on something is wrong with the engine."""
    if harm == "plain causal mask":
        monkeypatch.setattr(Trie, "sees", lambda self, rows, columns: columns <= rows[:, None])
    elif harm == "kept nodes are always seen":
        sees = Trie.sees
        monkeypatch.setattr(Trie, "sees", lambda self, i, j: sees(self, i, j) | (j < i[0]))
    elif harm == "cache not cropped to the path":  # its first places are kept in place of the right ones
        right = prefix.chosen
        monkeypatch.setattr(prefix, "chosen", lambda states, places: right(states, torch.arange(len(places))))
    else:
        inputs = Walk._inputs
        places = {
            "positions one further on": lambda ids: ids + 1,
            "positions count on": lambda ids: ids[:, :1] + torch.arange(ids.shape[1]),
        }[harm]

        def harmed(self: Walk, new: Tensor, columns: Tensor) -> dict[str, Tensor]:
            found = inputs(self, new, columns)
            return found | {"position_ids": places(found["position_ids"]).clamp(max=LENGTH - 1)}

        monkeypatch.setattr(Walk, "_inputs", harmed)


HARMS = ["plain causal mask", "kept nodes are always seen", "cache not cropped to the path", "positions count on"]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_wrong_engine_does_not_agree(monkeypatch: pytest.MonkeyPatch, kind: str, harm: str) -> None:
    model = made(SHARED[kind]())
    lines = nested_prefixes() + many_words()
    spoilt(monkeypatch, harm)
    with pytest.raises(AssertionError):
        assert_equal(walked(model, lines, budget=25), truth(model, lines))
    if harm != "cache not cropped to the path":  # no matter of the model's kind, which is what the probe is for
        assert "a probe is off by" in str(doubt(model, Head(model)))


def test_positions_one_further_on_do_not_agree(monkeypatch: pytest.MonkeyPatch, gpt2: Any) -> None:
    spoilt(monkeypatch, "positions one further on")
    with pytest.raises(AssertionError):
        assert_equal(walked(gpt2, one_prefix(), budget=25), truth(gpt2, one_prefix()))
    assert doubt(gpt2, Head(gpt2))


# ------------------------------------------------------------------ what it costs


@pytest.fixture
def head(gpt2: Any) -> Head:
    return Head(gpt2)


@pytest.fixture
def counted(gpt2: Any, head: Head) -> Iterator[list[int]]:
    """How many tokens each run of the model embeds."""
    seen: list[int] = []
    hook = gpt2.get_input_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    yield seen
    hook.remove()


def test_77_words_behind_one_context_cost_about_one_forward(gpt2: Any, head: Head, counted: list[int]) -> None:
    ids = drawn(6)
    context, starts = ids(50), [ids(2) for _ in range(5)]
    lines = [(context + starts[i % 5] + [1 + i % 50] + ids(1), 50) for i in range(77)]
    walked(gpt2, lines, budget=1000, head=head)
    inner = {tuple(line[:size]) for line, _ in lines for size in range(51, 54)}
    assert counted == [50 + len(inner)]  # the plain path embeds 77 x 54 tokens
    assert sum(counted) < 3 * 54


@pytest.mark.parametrize("budget", [3, 20, 1000])
def test_every_shared_token_is_run_once(gpt2: Any, head: Head, counted: list[int], budget: int) -> None:
    lines = one_prefix()
    walked(gpt2, lines + lines, budget, head=head)
    assert sum(counted) == len({tuple(ids[:size]) for ids, _ in lines for size in range(1, len(ids))})
    assert max(counted) <= budget


def test_a_piece_finishes_at_most_as_many_prompts_as_are_wanted(gpt2: Any) -> None:
    lines = one_prefix()  # three words for each of three rows
    owners = [i // 3 for i in range(9)]
    for most in (1, 2, 3):
        walk = Walk(gpt2, Head(gpt2), Trie.of(queries(lines)), owners, most)
        start, found = 0, []
        while start < walk.total:
            end = walk.cut(start, 1000)
            with torch.inference_mode():
                found.append({owners[i] for i, _ in walk.run(start, end)})
            start = end
        assert max(map(len, found)) == most
        assert len(found) == {1: 3, 2: 2, 3: 1}[most]


# ------------------------------------------------------------------ which models


def test_every_kind_in_the_table_is_run_as_a_trie(model: Any) -> None:
    assert doubt(model, Head(model)) is None


@pytest.mark.parametrize("kind", PLAIN)
def test_other_kinds_say_why_not(kind: str) -> None:
    config, reason = PLAIN[kind]
    model = made(config())
    assert reason in str(doubt(model, Head(model)))


def test_the_head_of_a_model_that_caps_its_logits_caps_them_at_read_positions_too() -> None:
    model = made(SHARED["gemma2"]())
    head = Head(model)
    assert head.sparse
    inputs = {"input_ids": torch.tensor([[1, 2, 3, 4]])}
    rows, places = torch.tensor([0, 0]), torch.tensor([0, 2])
    with torch.inference_mode():
        found, whole = head.logits(head.states(inputs, rows, places)), model(**inputs).logits[0]
    assert torch.allclose(found, whole[[0, 2]], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "keys", "wanted"),
    [
        ("LlamaConfig", {}, prefix.NO_LIMIT),
        ("LlamaConfig", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, LENGTH),
        (
            "Phi3Config",
            {
                "original_max_position_embeddings": 20,
                "rope_parameters": {
                    "rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "rope_theta": 1e4,
                },
            },
            20,
        ),
    ],
)  # fmt: skip
def test_prompts_beyond_a_change_of_scale_are_out_of_reach(kind: str, keys: Any, wanted: int) -> None:
    assert reach(getattr(transformers, kind)(**{**GROUPED, **keys})) == wanted


# ------------------------------------------------------------------ windows and chunks


@pytest.mark.parametrize("size", WINDOWS)
@pytest.mark.parametrize("kind", SLIDING)
def test_scores_beyond_a_window_equal_the_reference(kind: str, size: int) -> None:
    model = made(SLIDING[kind](size))
    head = Head(model)
    assert doubt(model, head) is None
    views, far = sight(model, head, LENGTH)
    assert far == prefix.NO_LIMIT
    lines = one_prefix()[::2] + nested_prefixes() + alone() + channel()
    lengths = [len(ids) for ids, _ in lines]
    assert min(lengths) <= 4
    assert max(lengths) > 3 * size
    wanted = truth(model, lines)
    for budget, seed in ((3, None), (25, 1), (10_000, 2)):
        assert_equal(walked(model, lines, budget, seed, head, views), wanted)


@pytest.mark.parametrize("kind", [*SLIDING][:-3])
def test_sequences_beyond_a_window_do_depend_on_it(kind: str) -> None:
    """What the reference is asked above is not the same without windows."""
    model = made(SLIDING[kind](8))
    with pytest.raises(AssertionError):
        assert_equal(walked(model, one_prefix(), 25), truth(model, one_prefix()))


@pytest.mark.parametrize("kind", SLIDING)
def test_the_windows_of_a_model_stay_as_they_were(kind: str) -> None:
    model = made(SLIDING[kind](16))
    before, line = model.config.to_dict(), drawn(9)(60)
    logits = reference.logits_of(model, line)
    views, _ = sight(model, Head(model), LENGTH)
    assert model.config.to_dict() == before
    assert torch.equal(reference.logits_of(model, line), logits)
    sizes = {view.whole for view in views.values()}
    assert sizes <= {16, prefix.NO_LIMIT}
    assert (16 in sizes) == (kind != "llama with a window")


def test_a_window_counts_depths_and_a_chunk_begins_at_its_multiples() -> None:
    depths = torch.tensor([0, 1, 2, 3, 4])
    assert View(window=2).near(depths[3:], depths).tolist() == [
        [False, False, True, True, True],  # what is deeper is hidden by the trie
        [False, False, False, True, True],
    ]
    assert View(chunk=2).near(depths[2:4], depths).tolist() == [[False, False, True, True, False]] * 2
    assert View().near(depths, depths).all()
    assert View(window=7, chunk=3).whole == 3


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize("kind", ["mistral", "gemma3", "cohere2"])
def test_a_window_that_is_off_by_one_is_not_believed(monkeypatch: pytest.MonkeyPatch, kind: str, shift: int) -> None:
    near = View.near

    def shifted(self: View, rows: Tensor, columns: Tensor) -> Tensor:
        wrong = View(self.window + shift if self.window < prefix.NO_LIMIT else self.window)
        return near(wrong, rows, columns)

    model = made(SLIDING[kind](16))
    monkeypatch.setattr(View, "near", shifted)
    assert sight(model, Head(model), LENGTH) == ({}, 16)  # within the window only


def test_a_family_with_a_mask_of_its_own_is_run_so_within_its_window() -> None:
    model = made(SLIDING["gemma3"](16))
    body = model.base_model
    whole = body.forward

    def own(**inputs: Any) -> Any:
        if isinstance(inputs.get("attention_mask"), dict):
            raise TypeError("a mask is a tensor")
        return whole(**inputs)

    body.forward = own
    assert sight(model, Head(model), LENGTH) == ({}, 16)
    assert doubt(model, Head(model)) is None


def test_windows_beyond_all_prompts_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError

    model = made(SLIDING["gemma2"](16))
    monkeypatch.setattr(prefix, "narrowed", never)
    assert sight(model, Head(model), 16) == ({}, prefix.NO_LIMIT)


def test_the_tokens_within_a_window_are_run_once_beyond_it_too() -> None:
    model = made(SLIDING["gemma3"](4))
    head = Head(model)
    views, _ = sight(model, head, LENGTH)
    seen: list[int] = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    lines = one_prefix()
    walked(model, lines, 1000, None, head, views)
    hook.remove()
    assert sum(seen) == len({tuple(ids[:size]) for ids, _ in lines for size in range(1, len(ids))})
