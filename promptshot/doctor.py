"""Is this checkpoint sound on this machine? A few questions with known answers, and the same rows scored twice.

Everything here goes through `Scorer.score`: it knows prompts and scores, and nothing of tensors.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from promptshot.errors import HeadError, ModelError, OptionError
from promptshot.kinds import FIRST, KINDS, builtin_for
from promptshot.scorers import Loader
from promptshot.scoring import Checkpoint, Doubted, Kind, ModelOptions, Piece, Prompt, Scored, Scorer

Verdict = Literal["ok", "look", "failed", "note"]  # a note is nothing to judge
Overall = Literal["sound", "look at this", "not sound"]
NEEDED = 0.75  # of the canaries, in the better language: random weights get it of 20 once in 50 times
EPSILON = {"float64": 2**-52, "float32": 2**-23, "float16": 2**-10, "bfloat16": 2**-7, "mixed": 2**-11, "int8": 2**-7}
CHAIN = 16  # operations in a row, about, by which a layer makes a state of a state: norms, products, softmax, sums
BEYOND = 16  # times what rounding explains: what no other order of sums brings about
SMALL, LARGE = 1 / 50, 1 / 20  # of what margins are, in the mean square: worth a look; no matter of precision
EVERY = 7  # of the short probes, one in so many is also scored alone and the plain way, which is slow
LONGER = 7  # probes with a longer text before them
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
# A sentence and what it says in other words, or what follows from it; the wrong one is that of the next line.
MEANINGS = {
    "Chinese": (
        ("一个男人在舞台上弹吉他。", "有人在演奏乐器。"),
        ("孩子们在公园里踢足球。", "一些小孩在户外做运动。"),
        ("这家餐厅今天不营业。", "今天不能在这家餐厅吃饭。"),
        ("她买了两张去上海的火车票。", "她打算坐火车去上海。"),
        ("手机的电池坏了，开不了机。", "这部手机现在不能用。"),
        ("公司今年赚的钱比去年多。", "公司的利润增加了。"),
        ("医生让他每天吃三次药。", "他需要服药。"),
        ("昨天夜里下了一场大雪。", "昨晚下雪了。"),
        ("妈妈正在厨房里做晚饭。", "有人在做饭。"),
        ("这本书讲的是中国的历史。", "这是一本历史书。"),
    ),
    "English": (
        ("A man is playing the guitar on a stage.", "Someone is making music."),
        ("The children are playing football in the park.", "Some kids are doing sport outside."),
        ("The restaurant is closed today.", "You cannot eat at the restaurant today."),
        ("She bought two train tickets to London.", "She is going to London by train."),
        ("The battery is dead and the phone does not start.", "The phone does not work at the moment."),
        ("The company earned more this year than last year.", "The profit of the company rose."),
        ("The doctor told him to take the pills three times a day.", "He has to take medicine."),
        ("There was heavy snow last night.", "It snowed during the night."),
        ("My mother is cooking dinner in the kitchen.", "Someone is preparing a meal."),
        ("This book is about the kings of France.", "It is a history book."),
    ),
}


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Verdict
    said: str


@dataclass(frozen=True)
class Rounding:
    """By how much the margin of two scores may differ between two ways to compute the same, natural logarithms.

    Each operation rounds what it gives to a part `epsilon` of its size, so that it is off by half of that at most. A
    token goes through `layers` times CHAIN operations in a row; where all of them err to the same side, and none
    makes an error larger, a score of the size `size` is off by CHAIN / 2 * epsilon * layers * size. The size is that
    of the largest score at hand, for a small one may be the difference of large logits.

    Measured on 16 probes each, margins were off by up to 2.4 * epsilon * layers * size in float32 and by 0.8 in half
    precision, whose sums are more precise than its results, and by 2,000 and more where a mask was lost or a
    position shifted by one (float32; models of 2 to 30 layers with random and with trained weights).
    In bfloat16 the rule allows for more than such a fault comes to; what tells there is the share of the margins.
    """

    epsilon: float
    layers: int
    size: float

    @classmethod
    def of(cls, scorer: Scorer, scored: Sequence[Scored]) -> Rounding:
        """That of a scorer, by some of its scores."""
        dtype = str(scorer.details.get("dtype")) if isinstance(scorer, Checkpoint) else ""
        layers = scorer.layers if isinstance(scorer, Doubted) else 1
        return cls(
            EPSILON.get(dtype, EPSILON["float32"]), layers, max([1.0, *(abs(x) for s in scored for x in s.scores)])
        )

    @property
    def most(self) -> float:
        """What rounding explains."""
        return CHAIN / 2 * self.epsilon * self.layers * self.size


def examine(
    kind: str, options: ModelOptions, loader: Loader, step: Callable[[str], None] = lambda said: None
) -> Iterator[Finding]:
    """The findings on one scorer with this checkpoint, as they come; raises HeadError where it has no such head.

    `step` is told what is done next. Weights are loaded once, and once more where float32 is compared with.
    """
    prompts = probes(kind)
    some = [i for i in range(len(prompts)) if i % EVERY == 0 or i >= len(prompts) - LONGER]
    step("loading")
    scorer = loader.scorer(kind, replace(options, plain=True))
    yield Finding("head", "ok", "all its weights are in the checkpoint")
    step("scoring the plain way")
    plain = scorer.score([prompts[i] for i in some])
    if not options.plain:
        step("finding its shortcuts")
        scorer = loader.quick(kind, options)
    step("asking questions with known answers")
    together = scorer.score(prompts)
    if lost := next((found.error for found in together if found.error), None):
        if unasked := _unasked(kind, options, loader, prompts, together):
            how = "none of the" if all(one.error for one in together) else "not all"
            yield Finding("scores", "look", f"{how} questions can be asked: {unasked}")
        else:
            yield Finding("scores", "failed", lost)
        return
    yield _canaries(kind, together)
    rounding = Rounding.of(scorer, together)
    step("scoring alone")
    alone = [scorer.score([prompts[i]])[0] for i in some]
    fast = [together[i] for i in some]
    yield compared("alone = in a batch", fast, alone, rounding)
    details = scorer.details if isinstance(scorer, Checkpoint) else {}
    if not options.plain:
        yield compared("fast = plain", fast, plain, rounding)
        if (engine := str(details.get("engine", ""))).startswith("plain"):
            yield Finding("engine", "note", f"this kind of model is run the plain way: {engine}")
    dtype = str(details.get("dtype", "float32"))
    if dtype != "float32":
        step("loading in float32")
        del scorer
        exact = loader.scorer(kind, replace(options, dtype="float32")).score([prompts[i] for i in some])
        yield compared(f"{dtype} = float32", fast, exact, rounding)


def asked(kinds: Sequence[str], refused: Mapping[str, ModelError], alone: bool) -> Iterator[str]:
    """The kinds of scorers to examine: unless one is asked for `alone`, in the end those without a head, where none of
    the others has found its own."""
    yield from kinds
    if not alone and len(refused) == len(kinds) and all(isinstance(one, HeadError) for one in refused.values()):
        yield from (kind.name for kind in KINDS.values() if kind.headless)


def compared(check: str, first: Sequence[Scored], second: Sequence[Scored], rounding: Rounding) -> Finding:
    """Whether two ways to score the same prompts agree, as far as it decides something: by the margins of two words.

    They agree where rounding explains what they differ by, do not where it is more by far, or a good part of what
    the margins are; what lies between is worth a look.
    """
    for a, b in zip(first, second, strict=True):
        if a.error or b.error:
            return Finding(check, "failed", a.error or b.error or "")
    margins = [(_margin(a), _margin(b)) for a, b in zip(first, second, strict=True)]
    worst = max(abs(a - b) for a, b in margins)
    part = _size([a - b for a, b in margins]) / (_size([b for _, b in margins]) or math.inf)
    turned = [max(abs(a), abs(b)) for a, b in margins if (a >= 0) != (b >= 0)]
    said = f"{len(margins) - len(turned)} of {len(margins)} best words are the same, margins to {worst:.1e}"
    said += f" (rounding explains {rounding.most:.1e})"
    if worst <= rounding.most and part <= SMALL:
        return Finding(check, "ok", said)
    if worst <= BEYOND * rounding.most and part <= LARGE and max(turned, default=0) <= rounding.most:
        why = "more than rounding explains" if worst > rounding.most else f"{part:.0%} of what the margins are"
        what = f"{why}: rows that are decided by less may come out otherwise"
        return Finding(check, "look", f"{said}; {what}")
    return Finding(check, "failed", f"{said}, {part:.2g} of what the margins are")


def probes(kind: str) -> list[Prompt]:
    """Prompts of many lengths, with two choices each: all questions, then some with a longer text before them.

    The longer text is a field, which gives way where the model takes few tokens.
    """
    found = [prompt for language in CLOZES for prompt, _ in _questions(kind, language)]
    filler = [Piece(Kind.FIELD, b, cut="head") for pairs in PAIRS.values() for _, b in pairs]
    return found + [
        replace(prompt, pieces=(*filler[:i], *prompt.pieces)) for i, prompt in enumerate(found[: 3 * LONGER : 3], 1)
    ]


def refusals(refused: Mapping[str, ModelError], kinds: Sequence[str], tensors: bool) -> Iterator[tuple[str, Finding]]:
    """The findings on the kinds of scorers that cannot use the checkpoint, with the `tensors` that their heads lack.

    A head that is not there is no fault where another is. Raises the ModelError where none of the `kinds` can use it
    for another reason.
    """
    useless = len(refused) == len(kinds)
    if useless and (other := next((r for r in refused.values() if not isinstance(r, HeadError)), None)):
        raise other
    for kind, problem in refused.items():
        if not isinstance(problem, HeadError):
            yield kind, Finding("model", "look", problem.what)
            continue
        yield kind, Finding("head", "failed" if useless and problem.lost else "note", problem.what)
        if tensors and problem.lost:
            yield "", Finding("tensors", "note", ", ".join(problem.lost))


def verdict(findings: Sequence[Finding], refused: Mapping[str, ModelError]) -> tuple[Overall, str]:
    """What all findings come to, and a sentence on what that means."""
    verdicts = {finding.verdict for finding in findings}
    if verdicts <= {"failed", "note"} and refused:
        return "not sound", "no scorer that was asked for finds its head"
    if "failed" in verdicts:
        return "not sound", "do not trust its scores"
    return ("look at this", "its scores may be right, but not for certain") if "look" in verdicts else ("sound", "")


def tune(kind: str, options: ModelOptions, loader: Loader, rounds: int = 3) -> Iterator[tuple[int, float]]:
    """(tokens at once, prompts a second) for several batch budgets, the best of some rounds each."""
    scorer = loader.scorer(kind, options)
    if not hasattr(scorer, "budget"):
        raise OptionError(f"the scorer {kind} has no batch budget")
    prompts = probes(kind) * 4
    prompts = [replace(p, pieces=(Piece(Kind.FIXED, f"{i} "), *p.pieces)) for i, p in enumerate(prompts)]
    scorer.score(prompts[:16])
    best, own = dict.fromkeys(BUDGETS, 0.0), scorer.budget
    for _ in range(rounds):
        for budget in BUDGETS:
            scorer.budget = budget
            began = time.perf_counter()
            scorer.score(prompts)
            best[budget] = max(best[budget], len(prompts) / (time.perf_counter() - began))
    scorer.budget = own
    yield from best.items()


def _questions(kind: str, language: str) -> Iterator[tuple[Prompt, int]]:
    """Prompts with two choices, and the number of the right one."""
    asked = KINDS.get(kind, KINDS[FIRST])  # a scorer of others, as the usual one
    if asked.margin:
        pairs = (MEANINGS if asked.meaning else PAIRS)[language]
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
            yield Prompt(pieces, (right, wrong), "choice+rest" if asked.left_to_right else "choice"), number


def _unasked(
    kind: str, options: ModelOptions, loader: Loader, prompts: Sequence[Prompt], scored: Sequence[Scored]
) -> str:
    """Why some prompts are none that the model takes, where nothing else is wrong: that says nothing of its scores."""
    if kind not in KINDS:
        return ""
    tokenizer = loader.tokenizer(replace(options, model=options.model or builtin_for(kind)))
    lost = [(prompt, one.error) for prompt, one in zip(prompts, scored, strict=True) if one.error]
    misfits = [tokenizer.misfit(kind, prompt) for prompt, _ in lost]
    return misfits[0] or "" if all(map(bool, misfits)) else ""


def _canaries(kind: str, together: Sequence[Scored]) -> Finding:
    """How many questions with known answers were right, in the better language."""
    results, start = [], 0
    for language in CLOZES:
        answers = [answer for _, answer in _questions(kind, language)]
        scored = together[start : start + len(answers)]
        right = sum(s.scores[answer] > s.scores[1 - answer] for s, answer in zip(scored, answers, strict=True))
        results.append((right / len(answers), f"{right} of {len(answers)} in {language}"))
        start += len(answers)
    share, _ = max(results)
    said = ", ".join(text for _, text in results)
    if share < NEEDED:
        return Finding("canaries", "failed", f"{said}: no better than random weights")
    return Finding("canaries", "ok", said)


def _margin(scored: Scored) -> float:
    return scored.scores[0] - scored.scores[1]


def _size(values: Sequence[float]) -> float:
    """Root of the mean square."""
    return math.sqrt(sum(value * value for value in values) / max(1, len(values)))
