"""The words that prompt-shaped samples ask about: judgements (a list made by hand) and topics (found in the text).

Which of them are praise and which are blame is nowhere said; a model has to find that out from the texts.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.files import whole

Ids = np.ndarray[Any, np.dtype[Any]]

# Ways to judge and names of topics, written down by hand, from no data set; label words of the shelf are among them.
BY_HAND = {
    "zh-review": (
        "很满意 非常满意 不满意 不太满意 满意 很好 很差 太差 不好 不错 真不错 好评 差评 推荐 不推荐 "
        "值得推荐 很喜欢 喜欢 不喜欢 值得 不值 失望 很失望 太失望 垃圾 后悔 很棒 很赞 好吃 难吃 不好吃 "
        "很快 很慢 太慢 舒服 不舒服 漂亮 糟糕 恶心 上当 骗人 好看 不好看 不行 理想 不理想 愉快 生气 "
        "好用 不好用 完美 给力 坑人 质量差 质量好 服务好 态度好 态度差 物超所值"
    ),
    "en-review": (
        "good bad great terrible best worst better worse excellent awful wonderful boring dull brilliant poor fine "
        "nice horrible funny unfunny stupid perfect interesting entertaining enjoyable beautiful ugly weak strong "
        "lame silly clever smart annoying disappointing impressive mess masterpiece waste fails works love hate fun "
        "tedious predictable moving powerful bland flat fresh charming pointless mediocre superb solid pretentious "
        "amazing fantastic ridiculous touching hilarious memorable forgettable compelling delightful painful engaging "
        "worthless useless pathetic gripping honest empty tired slow cheap warm sweet awkward dreadful unwatchable "
        "effective intelligent original convincing believable genuine refreshing inventive heartfelt thoughtful witty "
        "gorgeous stunning remarkable outstanding terrific exciting thrilling rich subtle sharp successful pleasant "
        "likable intriguing amusing treat gem joy favorite unfortunately sadly wrong confusing ludicrous absurd "
        "unconvincing uninspired lifeless contrived clumsy cheesy trite shallow offensive irritating uninteresting "
        "lazy disaster garbage trash failure wasted wooden hollow derivative unnecessary bored fascinating positive "
        "negative"
    ),
    "zh-topic": (
        "故事 文化 娱乐 体育 财经 房产 汽车 教育 科技 军事 旅游 国际 股票 农业 电竞 游戏 历史 音乐 "
        "电影 足球 篮球 健康 法律 经济 金融 社会 政治 艺术 文学 宗教 科学 数学 化学 物理 医学 环境 "
        "美食 购物 明星 学校 学生 农村 农民 企业 公司 银行 股市 房价 手机 软件 网络 战争 军队 航空 "
        "交通 外交 美国 日本 小说 轿车 比赛 球队 冠军 游客 景区 高考 大学 考试 投资 市场 基金 楼市 "
        "粮食 爱情 男人 女人 婆婆 书法 古代 演员 歌手 导演 球员 买房 楼盘 住房 新车 车型 驾驶 车主 "
        "老师 智能 芯片 导弹 武器 士兵 旅行 景点 酒店 总统 制裁 朝鲜 大盘 涨停 个股 股价 种植 养殖 "
        "玩家 英雄 战队 手游"
    ),
    "en-topic": (
        "world politics sports business technology science government election president minister war military team "
        "game season league football player company market bank economy trade price oil money software computer "
        "internet space research scientists health music film art history religion law education school university "
        "food travel weather energy environment police court army peace parliament industry stock investment troops "
        "coach championship match sales web data prices profit companies players goal prime attack phone users "
        "entertainment"
    ),
}
MOST = 4_000  # topic words found in the text of one language
_NEGATED = re.compile(r"[不没别无]\w{0,2}$|\b(?:not|no|never|hardly|nothing|neither|nor|\w+n't)(?:\s+\S+){0,2}\s+$")


@dataclass(frozen=True)
class Found:
    """One word in a clause: its number in the list, and where it stands."""

    word: int
    start: int
    stop: int


@dataclass(frozen=True)
class Odds:
    """How likely each word of a pool is beside a text; over all texts each is as likely as any other."""

    words: Ids  # (pool,) numbers in the list
    shares: Ids  # (pool,) adding up to 1

    def strange(self, word: int) -> float:
        """The chance that a word was drawn whatever the text, where half of the words are."""
        share = float(self.shares[self.words == word].sum())
        return 1 / (1 + share * len(self.words))


class Words:
    """A list of words of one kind of text, found in clauses."""

    def __init__(self, kind: str, words: list[str]) -> None:
        self.kind = kind
        self.words = words
        self._numbers = {word: number for number, word in enumerate(words)}
        self._lengths = sorted({len(word) for word in words}, reverse=True)

    def written(self) -> list[bool]:
        """For each word, whether it was written down by hand."""
        known = set(by_hand(self.kind))
        return [word in known for word in self.words]

    def find(self, clause: str) -> Iterator[Found]:
        """The words of the list in a clause, the longest first, none of them inside another or negated."""
        found = self._chinese(clause) if self.kind.startswith("zh") else self._english(clause)
        return (one for one in found if not _NEGATED.search(clause[max(0, one.start - 30) : one.start].lower()))

    def _english(self, clause: str) -> Iterator[Found]:
        for match in re.finditer(r"[a-z]+", clause.lower()):
            if (number := self._numbers.get(match.group())) is not None:
                yield Found(number, *match.span())

    def _chinese(self, clause: str) -> Iterator[Found]:
        start = 0
        while start < len(clause):
            for length in self._lengths:
                if (number := self._numbers.get(clause[start : start + length])) is not None:
                    yield Found(number, start, start + length)
                    start += length - 1
                    break
            start += 1


def by_hand(kind: str) -> list[str]:
    """The words of one kind of text that were written down by hand."""
    return list(dict.fromkeys(BY_HAND[kind].split()))


def topics(kind: str, documents: Iterable[list[str]]) -> list[str]:
    """Words by hand, then words that tell topics apart: pairs of characters that cling together, words that recur."""
    chinese = kind.startswith("zh")
    characters: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    spread: Counter[str] = Counter()  # in how many documents
    number = 0
    for parts in documents:
        number += 1
        if chinese:
            units = [part[i : i + 2] for part in parts for i in range(len(part) - 1)]
            units = [unit for unit in units if all("\u4e00" <= c <= "\u9fff" for c in unit)]
            characters.update(c for unit in units for c in unit)
        else:
            units = [word for part in parts for word in re.findall(r"(?<![\w'])[a-z]{4,}(?![\w'])", part)]
        counts.update(units)
        spread.update(set(units))
    total = sum(counts.values())

    def telling(word: str) -> bool:
        if spread[word] < 25 or spread[word] > number * (0.01 if chinese else 0.1):
            return False
        if chinese:
            a, b = (characters[c] / 2 / total for c in word)
            return math.log(counts[word] / total / a / b) > 3.0
        return counts[word] / spread[word] > 1.8

    found = sorted(filter(telling, counts), key=lambda word: (-counts[word], word))[:MOST]
    return list(dict.fromkeys([*by_hand(kind), *found]))


def save(path: Path, lists: dict[str, list[str]]) -> None:
    """Write the lists, one kind a line."""
    lines = (f"{json.dumps(kind)}: {json.dumps(words, ensure_ascii=False)}" for kind, words in lists.items())
    with whole(path) as out:
        out.write(("{" + ",\n".join(lines) + "}\n").encode())


def load(path: Path) -> dict[str, Words]:
    """The lists of a run, by kind."""
    return {kind: Words(kind, words) for kind, words in json.loads(path.read_text(encoding="utf-8")).items()}
