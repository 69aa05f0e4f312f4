"""Words that may fill a blank: those of the shelf, some more of each language, and those that stand in rows.

They are candidates only: which of them tell labels apart is for rows and a model to say (see `suggest`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from promptshot.errors import InputError, shortened, shortlist, unreadable
from promptshot.prompts import library
from promptshot.prompts.language import CHINESE
from promptshot.rows.once import Once

MOST = 300  # words that are taken from rows
LONGEST = 40  # characters of a candidate
_LATIN = re.compile(r"[^\W\d_]{3,}")
_RUN = re.compile(r"[\u3400-\u9fff]{2,}")

# Words that say nothing by themselves; no two-character word begins or ends with these.
_FUNCTION = frozenset(
    "的了是在有和不这那个一吗呢吧啊么什怎为与及或被把从到于之其而且但如何谁哪些样会能可要还又再已最更太很也就都我你他她它们着过得地让给向对"
)
_STOP = """
the and that this with for are was were been being have has had not but you your his her she him they them their its
our who what when where which why how all any both each few more most other some such nor own same than too very can
will just don should now from into out over under again there here about after before because until while could
would does did doing also only
"""

_ZH = """
好 坏 棒 赞 差 烂 错 对 真 假 新 旧 快 慢 贵 美 丑 强 弱 高 低 热 冷 喜 怒 哀 乐 忧 惊 怕 恨 爱 是 否 行 值 亏 坑 香
臭 脏 净 满意 失望 喜欢 讨厌 开心 难过 生气 愤怒 害怕 惊讶 平静 焦虑 感动 后悔 推荐 值得 便宜 实惠 昂贵 精致 粗糙
舒服 难受 方便 麻烦 干净 漂亮 难看 好看 好用 难用 好吃 难吃 优秀 糟糕 完美 一般 普通 奇怪 有趣 无聊 精彩 可爱 恶心
垃圾 劣质 正品 假货 差评 好评 赞同 反对 支持 中立 怀疑 肯定 否定 正确 错误 真实 虚假 重要 次要 紧急 普遍 积极 消极
正面 负面 热情 冷淡 专业 业余 安全 危险 健康 疾病 故事 情感 爱情 婚姻 家庭 生活 社会 民生 文化 艺术 历史 文学 诗歌
书法 绘画 音乐 舞蹈 戏曲 电影 电视 综艺 娱乐 明星 演员 歌手 导演 体育 足球 篮球 排球 网球 比赛 冠军 球队 球员 教练
奥运 财经 经济 金融 银行 投资 理财 企业 公司 贸易 市场 保险 股票 股市 基金 证券 房产 房价 楼市 买房 租房 住房 装修
家居 汽车 新车 车型 轿车 驾驶 交通 公路 教育 学校 大学 高考 考试 学生 老师 留学 培训 科技 手机 电脑 网络 互联 软件
硬件 芯片 智能 数码 科学 物理 化学 数学 生物 医学 医疗 医院 药品 军事 军队 武器 战争 导弹 士兵 航空 航天 旅游 旅行
景区 景点 酒店 游客 国际 外交 美国 日本 欧洲 总统 政治 政府 法律 法院 警察 犯罪 农业 农村 农民 种植 养殖 粮食 食品
美食 餐饮 游戏 电竞 玩家 手游 动漫 小说 宗教 哲学 环境 天气 气象 能源 电力 化工 机械 建筑 材料 水利 地质 海洋 时尚
服装 美容 化妆 购物 快递 物流 退款 退货 换货 投诉 咨询 查询 登录 支付 订单 价格 质量 服务 包装 售后 会员 优惠 活动
招聘 求职 宠物 母婴 儿童 老人 女性 男性
"""
_EN = """
good bad great awful terrible excellent poor fine nice horrible wonderful amazing boring fun funny dull perfect
mediocre brilliant stupid beautiful ugly superb weak strong fresh stale clever silly moving touching annoying
disappointing satisfying enjoyable positive negative neutral happy sad angry afraid surprised calm worried excited
proud grateful disgusted lonely hopeful bitter true false right wrong yes no maybe agree disagree support oppose
certain doubtful real fake important urgent minor serious cheap expensive clean dirty fast slow easy hard useful
useless safe dangerous healthy sick new old hot cold best worst world politics government election war peace
military law court police crime history culture art music film movies television theatre books literature poetry
religion philosophy science physics chemistry biology medicine health disease hospital technology computers software
hardware internet phones space nature environment weather climate energy oil business economy economics finance
money banking stocks markets trade companies industry jobs sports football soccer basketball baseball tennis hockey
golf racing games olympics school education university students travel tourism hotels food cooking restaurants
fashion shopping cars traffic housing property home family love marriage children animals farming agriculture math
language people person place location number amount date description meaning abbreviation reason question answer
complaint request refund delivery payment order account login price quality service product spam advertisement offer
message joke opinion fact insult hate friendly polite rude
"""


def built_in(language: str) -> list[str]:
    """The label words of the shelf in a language, "zh" or "en", and some more, each once."""
    shelf = [name for name in library.names("verbalizers") if name.startswith(f"{language}-")]
    words = [word for name in shelf for of in library.verbalizer(name).labels.values() for word in of]
    more = (_ZH if language == "zh" else _EN).split()
    return list(dict.fromkeys([*words, *more]))


def in_language(word: str, language: str) -> bool:
    """Whether it is a word of letters in that language's script; of one letter only in Chinese."""
    if not word.isalpha():
        return False
    chinese = sum(map(bool, map(CHINESE.match, word)))
    return chinese == len(word) if language == "zh" else not chinese and len(word) > 1


def of_rows(texts: Sequence[str], language: str) -> list[str]:
    """Words that at least two of the texts have, those of most texts first.

    Chinese has no spaces: two characters that stand together in two texts are taken for a word, unless they always have
    the same neighbour on one side, for then they are a part of something longer.
    """
    return _of_two(texts) if language == "zh" else _of_latin(texts)


def words_of(texts: Iterable[str]) -> set[str]:
    """All words of letters in texts, in lower case."""
    return {word.casefold() for text in texts for word in _LATIN.findall(text)}


def _of_latin(texts: Iterable[str]) -> list[str]:
    counts = Counter(word for text in texts for word in {*map(str.casefold, _LATIN.findall(text))})
    stop = {*_STOP.split()}
    often = [(word, n) for word, n in counts.items() if n > 1 and word not in stop and not CHINESE.search(word)]
    return [word for word, _ in sorted(often, key=lambda pair: (-pair[1], pair[0]))[:MOST]]


def _of_two(texts: Iterable[str]) -> list[str]:
    counts: Counter[str] = Counter()
    before: dict[str, set[str]] = {}
    after: dict[str, set[str]] = {}
    for number, text in enumerate(texts):
        met = set()
        for run in _RUN.finditer(text):
            for i in range(run.start(), run.end() - 1):
                pair = text[i : i + 2]
                met.add(pair)
                # What stands at the edge of a run has a free side: a neighbour of its own.
                before.setdefault(pair, set()).add(text[i - 1] if i > run.start() else f"{number}:{i}")
                after.setdefault(pair, set()).add(text[i + 2] if i + 2 < run.end() else f"{number}:{i}")
        counts.update(met)
    often = [
        (pair, n)
        for pair, n in counts.items()
        if n > 1 and not _FUNCTION & set(pair) and len(before[pair]) > 1 and len(after[pair]) > 1
    ]
    return [pair for pair, _ in sorted(often, key=lambda one: (-one[1], one[0]))[:MOST]]


def read(path: str) -> list[str]:
    """The words of a file, one a line, each once; empty lines and white space around a word are passed over.

    Raises InputError with file:line.
    """
    try:
        said = path.said if isinstance(path, Once) else Path(path).read_bytes()
        text = said.decode("utf-8-sig")
    except OSError as problem:
        raise unreadable(path, problem) from None
    except UnicodeDecodeError as problem:
        number = said[: problem.start].count(b"\n") + 1
        raise InputError("not UTF-8", where=f"{path}:{number}", hint="write it as UTF-8, one word a line") from None
    found: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        word = line.strip()
        if len(word) > LONGEST or not word.isprintable():
            what = f"no word: {shortened(word, LONGEST)!r}"
            raise InputError(what, where=f"{path}:{number}", hint=f"one word a line, of at most {LONGEST} characters")
        found |= {word: None} if word else {}
    if len(found) < 2:
        raise InputError(f"{shortlist(found) or 'no word'} in it", where=path, hint="one word a line, two or more")
    return list(found)
