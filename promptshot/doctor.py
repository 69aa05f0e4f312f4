"""Is this checkpoint sound on this machine? A few questions with known answers, and the same rows scored twice.

Everything here goes through `Scorer.score`: it knows prompts and scores, and nothing of tensors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from promptshot import scorers
from promptshot.errors import OptionError
from promptshot.prompts import Kind, Piece, Prompt
from promptshot.scorers import Checkpoint, ModelOptions, Scored, Scorer

Verdict = Literal["ok", "failed", "note"]
KINDS = ("mlm", "nsp", "causal")
NEEDED = 0.75  # of the canaries, in the better language: random weights get it of 20 once in 50 times
# Natural logs by which scores of one prompt may differ between a batch and alone, or fast and plain.
TOLERANCE = {"float32": 1e-4, "float64": 1e-4, "float16": 0.05, "bfloat16": 0.3, "int8": 0.3}
BUDGETS = (128, 256, 512, 1024, 2048, 4096, 8192)

# Two sentences, and the words for their blanks: each word is right in one and wrong in the other.
CLOZES = {
    "Chinese": (
        ("我今天很{}兴。", "高", "他住在{}京。", "北"),
        ("请给我一{}水。", "杯", "她今年八{}了。", "岁"),
        ("太阳从东{}升起。", "边", "我们一起吃{}吧。", "饭"),
        ("他每天坐公交{}上班。", "车", "我喜欢看{}。", "书"),
        ("谢{}你的帮助。", "谢", "他是我的好朋{}。", "友"),
        ("中{}是一个很大的国家。", "国", "明{}会下雨吗？", "天"),
        ("这件衣服太{}了，买不起。", "贵", "孩子们在{}校上课。", "学"),
        ("他跑得很{}。", "快", "晚上我在家看{}视。", "电"),
        ("奶奶在{}院里看病。", "医", "请把{}机关掉。", "手"),
        ("因为下雨，{}以比赛取消了。", "所", "她喜欢听{}乐。", "音"),
    ),
    "English": (
        ("I read a good {}.", "book", "We stayed at home because of the {}.", "rain"),
        ("She went {} the shop.", "to", "It {} very cold last night.", "was"),
        ("They have two {}.", "children", "He walked very {}.", "slowly"),
        ("The sun is {} today.", "hot", "I drink a glass of {}.", "water"),
        ("The film was {} good.", "very", "I gave {} the key.", "him"),
        ("He {} not like it.", "does", "One {} my friends is here.", "of"),
        ("We won the last {}.", "game", "Her new dress is {}.", "red"),
        ("She is a {} at our school.", "teacher", "In summer the leaves are {}.", "green"),
        ("Please open the {}.", "door", "The boys are very {}.", "happy"),
        ("I will see you {}.", "tomorrow", "He wrote it on a piece of {}.", "paper"),
    ),
}
# A sentence and the one that goes on from it; the wrong one is that of the next line.
PAIRS = {
    "Chinese": (
        ("外面下着大雨。", "他忘了带雨伞，全身都湿了。"),
        ("这家餐厅的菜很好吃。", "我们点了三个菜，全都吃光了。"),
        ("昨天晚上有一场足球比赛。", "主队在最后一分钟进球赢了。"),
        ("她正在准备明天的考试。", "书和笔记放满了整张桌子。"),
        ("公司今年的收入增加了。", "股东们对这份财报很满意。"),
        ("手机的电池坏了。", "我把它送到店里换了一块新的。"),
        ("爷爷在院子里种了很多花。", "春天一到，红的黄的都开了。"),
        ("火车晚点了两个小时。", "旅客们坐在车站里等着。"),
        ("医生给他开了一些药。", "吃了三天，咳嗽就好了。"),
        ("电影的结尾让人难过。", "走出影院时很多观众都哭了。"),
    ),
    "English": (
        ("It was raining hard.", "He had no umbrella and got wet."),
        ("The food in this restaurant is good.", "We ordered three dishes and ate them all."),
        ("There was a football game last night.", "The home team scored in the last minute and won."),
        ("She is studying for the exam tomorrow.", "Her books and notes cover the whole desk."),
        ("The company earned more money this year.", "Its shares rose when the report came out."),
        ("The battery of my phone is broken.", "I took it to the shop and got a new one."),
        ("My grandfather planted flowers in the garden.", "In spring they were red and yellow."),
        ("The train was two hours late.", "The passengers waited in the station."),
        ("The doctor gave him some medicine.", "After three days his cough was gone."),
        ("The end of the film was sad.", "Many people in the cinema cried."),
    ),
}


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Verdict
    said: str


def examine(kind: str, options: ModelOptions) -> Iterator[Finding]:
    """The findings on one scorer with this checkpoint, as they come; raises ModelError where it has no such head."""
    scorer = scorers.load(kind, options)
    yield Finding("head", "ok", "all its weights are in the checkpoint")
    details = scorer.details if isinstance(scorer, Checkpoint) else {}
    dtype = str(details.get("dtype", "float32"))
    yield _canaries(kind, scorer)
    prompts = probes(kind)
    together = scorer.score(prompts)
    if lost := next((found.error for found in together if found.error), None):
        yield Finding("scores", "failed", lost)
        return
    alone = [scorer.score([prompt])[0] for prompt in prompts]
    yield _compared("alone = in a batch", together, alone, TOLERANCE[dtype])
    engine = str(details.get("engine", ""))
    if engine.startswith("plain") and not options.plain:
        yield Finding("fast = plain", "note", f"this kind of model is run the plain way: {engine}")
    else:
        plain = scorers.load(kind, replace(options, plain=True)).score(prompts)
        yield _compared("fast = plain", together, plain, TOLERANCE[dtype])
    if dtype != "float32":
        exact = scorers.load(kind, replace(options, dtype="float32")).score(prompts)
        yield _compared(f"{dtype} = float32", together, exact, TOLERANCE[dtype])


def probes(kind: str) -> list[Prompt]:
    """Prompts of many lengths, with two choices each."""
    found = [prompt for language in CLOZES for prompt, _ in _questions(kind, language)]
    filler = [Piece(Kind.FIXED, b) for pairs in PAIRS.values() for _, b in pairs]
    longer = [replace(prompt, pieces=(*filler[:i], *prompt.pieces)) for i, prompt in enumerate(found[:20:3], 1)]
    return found + longer


def tune(kind: str, options: ModelOptions, rounds: int = 3) -> Iterator[tuple[int, float]]:
    """(tokens at once, prompts a second) for several batch budgets, the best of some rounds each."""
    scorer = scorers.load(kind, options)
    if not hasattr(scorer, "budget"):
        raise OptionError(f"the scorer {kind} has no batch budget")
    prompts = probes(kind) * 4
    prompts = [replace(p, pieces=(Piece(Kind.FIXED, f"{i} "), *p.pieces)) for i, p in enumerate(prompts)]
    scorer.score(prompts[:16])
    best = dict.fromkeys(BUDGETS, 0.0)
    for _ in range(rounds):
        for budget in BUDGETS:
            scorer.budget = budget
            began = time.perf_counter()
            scorer.score(prompts)
            best[budget] = max(best[budget], len(prompts) / (time.perf_counter() - began))
    yield from best.items()


def _questions(kind: str, language: str) -> Iterator[tuple[Prompt, int]]:
    """Prompts with two choices, and the number of the right one."""
    if kind == "nsp":
        pairs = PAIRS[language]
        for i, (first, second) in enumerate(pairs):
            wrong = pairs[(i + 1) % len(pairs)][1]
            pieces: tuple[Piece, ...] = (Piece(Kind.FIXED, first), Piece(Kind.BREAK), Piece(Kind.MASK))
            yield Prompt(pieces, (second, wrong)), 0
            yield Prompt(pieces, (pairs[i - 1][1], second)), 1
        return
    for one, right, other, wrong in CLOZES[language]:
        for number, text in enumerate((one, other)):
            before, after = text.split("{}")
            pieces = tuple(Piece(Kind.FIXED, part) if part else Piece(Kind.MASK) for part in (before, "", after))
            yield Prompt(pieces, (right, wrong), "choice+rest" if kind == "causal" else "choice"), number


def _canaries(kind: str, scorer: Scorer) -> Finding:
    """How many questions with known answers it gets right, in the better language."""
    results = []
    for language in CLOZES:
        asked = list(_questions(kind, language))
        found = scorer.score([prompt for prompt, _ in asked])
        right = sum(
            not scored.error and scored.scores[answer] > scored.scores[1 - answer]
            for scored, (_, answer) in zip(found, asked, strict=True)
        )
        results.append((right / len(asked), f"{right} of {len(asked)} in {language}"))
    share, _ = max(results)
    said = ", ".join(text for _, text in results)
    if share < NEEDED:
        return Finding("canaries", "failed", f"{said}: no better than random weights")
    return Finding("canaries", "ok", said)


def _compared(check: str, one: Sequence[Scored], other: Sequence[Scored], tolerance: float) -> Finding:
    """Whether two ways to score the same prompts agree."""
    worst = same = 0.0
    for a, b in zip(one, other, strict=True):
        if a.error or b.error:
            return Finding(check, "failed", a.error or b.error or "")
        worst = max([worst, *(abs(x - y) for x, y in zip(a.scores, b.scores, strict=True))])
        same += (max(a.scores) == a.scores[0] and max(b.scores) == b.scores[0]) or (
            max(a.scores) != a.scores[0] and max(b.scores) != b.scores[0]
        )
    said = f"{int(same)} of {len(one)} best words are the same, scores to {worst:.1e} (tolerance {tolerance:g})"
    return Finding(check, "ok" if worst <= tolerance else "failed", said)


def _best(scored: Scored) -> int:
    return scored.scores.index(max(scored.scores))
