"""Pre-train one of the two built-in models, from plain text to the folder that ships, in one command.

Stop it at any time (Ctrl-C, SIGTERM, kill -9) and start it again: it goes on from its last checkpoint and ends with
the very same weights, on the same machine with the same number of threads.

    python -m training.pretrain bert CORPUS RUN --data DATA
    python -m training.pretrain gpt2 CORPUS RUN --data DATA --init models/gpt2 --stage prompts --tokens 12e6
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

from training import export, samples, vocabulary, words
from training.batches import Batch
from training.checkpoint import Position, State
from training.corpus import KINDS, SOURCES, Source
from training.heldout import NOTHING, EvaluationTexts, clean
from training.meaning import SPACES, Lessons, learn
from training.models import PLANS, Plan, load_weights
from training.samples import Encoded, Questions
from training.stages import ASKED, COURSES, Course

SAVE = 200  # steps between checkpoints
LOOK = 2_000_000  # tokens between looks at the development data


@dataclass(frozen=True)
class Run:
    """One training: what to train, from what, and where."""

    name: str  # bert or gpt2
    course: Course
    corpus: Path
    folder: Path
    data: Path | None = None  # evaluation data: left out of training; its development parts are looked at
    init: Path | None = None  # a model folder to begin with
    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        return {"model": self.name, "seed": self.seed, "stages": [stage.name for stage in self.course.stages]}

    @property
    def sources(self) -> list[str]:
        """The corpus files of all stages."""
        return sorted({name for stage in self.course.stages for name in stage.repeats})

    def about(self, kind: str) -> list[Source]:
        """Those of one kind."""
        return [SOURCES[name] for name in self.sources if SOURCES[name].kind == kind]

    @property
    def meaning(self) -> Path:
        """The folder of what the lessons know."""
        return self.folder / "meaning"


def prepare(run: Run) -> None:
    """Tokenizer, word lists and token ids in the run's folder; what is already there stays."""
    run.folder.mkdir(parents=True, exist_ok=True)
    if not (run.folder / "tokenizer.json").exists():
        if run.init:
            for file in export.TOKENIZER_FILES:
                shutil.copy(run.init / file, run.folder / file)
        else:
            vocabulary.train(run.name, run.corpus, run.sources, run.folder)
    missing = [name for name in run.sources if not (run.folder / "ids" / f"{name}.npz").exists()]
    untaught = [kind for kind in SPACES if not (run.meaning / f"{kind}.npy").exists()]
    if not missing and not untaught:
        return
    without = EvaluationTexts.below(run.data) if run.data else NOTHING
    if not (run.folder / "words.json").exists():
        lists = {}
        for kind in KINDS:
            texts = (parts for source in run.about(kind) for parts, _ in clean(run.corpus, source, without))
            lists[kind] = words.topics(kind, texts) if kind.endswith("topic") else words.by_hand(kind)
        words.save(run.folder / "words.json", lists)
    tokenizer, known = Tokenizer.from_file(str(run.folder / "tokenizer.json")), words.load(run.folder / "words.json")
    for name in missing:
        encoded = samples.encode(run.corpus, SOURCES[name], tokenizer, known[SOURCES[name].kind], without)
        samples.save(encoded, run.folder / "ids" / f"{name}.npz")
        counts = f"{len(encoded.document_ends):,} documents, {len(encoded.ids):,} tokens"
        say(f"{name}: {counts}, {len(encoded.marks):,} words")
    for kind in untaught:
        background = [SOURCES[name] for name in SPACES[kind].background if name in run.sources]
        learn(known[kind], run.about(kind), background, run.corpus, without, run.meaning)
        say(f"{kind}: which words suit which texts")


def stream(run: Run, plan: Plan, at: Position) -> Iterator[tuple[Batch, Position]]:
    """The batches from a position on, each with the position behind it; the same for every call."""
    loaded = {name: samples.load(run.folder / "ids" / f"{name}.npz") for name in run.sources}
    lists = words.load(run.folder / "words.json")
    for number, stage in list(enumerate(run.course.stages))[at.stage :]:
        sources = [(loaded[name], times) for name, times in stage.repeats.items()]
        everything = [
            (encoded, document)
            for encoded, times in sources
            for _ in range(times)
            for document in range(len(encoded.document_ends))
        ]
        askers = list(_askers(run, sources, lists)) if stage.framed else []
        while at.in_stage < stage.tokens:
            texts = _texts(everything, run.course.documents, (run.seed, number), at.pool)
            rng = np.random.default_rng((run.seed, number, 1, at.pool))
            batches = plan.batches(texts, askers, stage.framed, run.course.budget, rng)
            for batch in islice(batches, at.batch, None):
                n = batch.tokens
                at = replace(at, batch=at.batch + 1, in_stage=at.in_stage + n, seen=at.seen + n)
                yield batch, at
                if at.in_stage >= stage.tokens:
                    break
            else:
                at = replace(at, pool=at.pool + 1, batch=0)
        at = Position(stage=number + 1, seen=at.seen)


def _askers(run: Run, sources: list[tuple[Encoded, int]], lists: dict[str, words.Words]) -> Iterator[samples.Asker]:
    """What draws words for texts, each as often as it is to be asked; three of four times lessons, where there are."""
    for kind, share in ASKED.items():
        questions = Questions(sources, lists[kind])
        taught = Lessons(sources, lists[kind], run.meaning) if kind in SPACES else None
        if questions:
            yield from ([taught] * 3 + [questions] if taught else [questions] * 4) * share


def _texts(
    everything: list[tuple[Encoded, int]], count: int, seed: tuple[int, int], pool: int
) -> list[tuple[Encoded, int]]:
    """Pool number `pool`: so many documents, drawn without repetition until all have been seen."""
    per_pass = -(-len(everything) // count)
    order = np.random.default_rng((*seed, 0, pool // per_pass)).permutation(len(everything))
    return [everything[i] for i in order[pool % per_pass * count :][:count]]


def precision(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 where the hardware computes with it: on CUDA, and on CPUs that have the instructions."""
    flags = Path("/proc/cpuinfo")
    if device.type == "cuda" or (flags.exists() and {"avx512_bf16", "amx_bf16"} & set(flags.read_text().split())):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def step(plan: Plan, state: State, batch: Batch, course: Course, device: torch.device) -> dict[str, float]:
    """One step of the optimizer and of the running mean; the losses by name."""
    for group in state.optimizer.param_groups:
        group["lr"] = course.rate_at(state.position.seen)
    with precision(device):
        losses = plan.losses(state.model, batch.to(device))
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.average_in(course.averaging)
    return {name: loss.item() for name, loss in losses.items()}


def begin(run: Run, plan: Plan, device: torch.device) -> State:
    """The state to go on from: the checkpoint's, else that of the initial weights, else a fresh one."""
    torch.manual_seed(run.seed)
    model = plan.build().train()
    if run.init:
        load_weights(model, run.init)
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), run.course.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    average = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    state = State(model, optimizer, average, Position())
    if (run.folder / "checkpoint.pt").exists():
        state.restore(run.folder / "checkpoint.pt", run.settings, device)
    return state


def train(run: Run, stop_after: int | None = None) -> bool:
    """Train to the end of the course, or for `stop_after` steps, or until a signal; whether the end was reached."""
    prepare(run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = Tokenizer.from_file(str(run.folder / "tokenizer.json"))
    plan = PLANS[run.name](tokenizer, words.load(run.folder / "words.json"), run.course.shape)
    state, log, stopping = begin(run, plan, device), Log(run.folder / "log.jsonl"), _Stopping()
    log.cut_back(state.position.seen)
    for done, (batch, behind) in enumerate(stream(run, plan, state.position), start=1):
        before = state.position.seen
        losses = step(plan, state, batch, run.course, device)
        state.position = behind
        log.add(losses, behind.seen - before)
        stop = stopping.asked or done == stop_after
        look = behind.seen // LOOK > before // LOOK
        if stop or look or state.steps % SAVE == 0:
            log.write(behind.seen, run.course.rate_at(before))
            state.save(run.folder / "checkpoint.pt", run.settings)
        if look and run.data and not stop:
            finish(run, plan, state, log)
        if stop:
            return False
    log.write(state.position.seen, 0.0)
    state.save(run.folder / "checkpoint.pt", run.settings)
    finish(run, plan, state, log)
    return True


def finish(run: Run, plan: Plan, state: State, log: Log) -> None:
    """Write the mean of the weights as the folder that would ship, and look at the development data with it."""
    model = plan.build()
    model.load_state_dict(state.average, strict=False)
    export.write(model, run.folder, run.folder / "model")
    if run.data:  # in a process of its own, so that looking disturbs nothing
        command = [sys.executable, "-m", "training.watch", run.name, str(run.folder / "model"), str(run.data)]
        log.append({"tokens": state.position.seen, **json.loads(subprocess.check_output(command, text=True))})


class Log:
    """What is known of a run, one JSON object a line: losses since the last line, or figures on development data."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sums: dict[str, list[float]] = {}
        self._tokens, self._since = 0, time.monotonic()

    def cut_back(self, seen: int) -> None:
        """Forget what a killed run wrote after its last checkpoint."""
        if self._path.exists():
            kept = [line for line in self._path.read_text().splitlines(True) if json.loads(line)["tokens"] <= seen]
            self._path.write_text("".join(kept))

    def add(self, losses: dict[str, float], tokens: int) -> None:
        """Remember the losses of one step."""
        self._tokens += tokens
        for name, loss in losses.items():
            self._sums.setdefault(name, []).append(loss)

    def write(self, seen: int, rate: float) -> None:
        """A line with the mean losses of the steps since the last one, if there were any."""
        if not self._sums:
            return
        means = {name: round(float(np.mean(values)), 4) for name, values in self._sums.items()}
        speed = round(self._tokens / max(1e-9, time.monotonic() - self._since))
        self.append({"tokens": seen, **means, "rate": round(rate, 7), "tokens_per_second": speed})
        self._sums, self._tokens, self._since = {}, 0, time.monotonic()

    def append(self, line: dict[str, Any]) -> None:
        """A line as it is."""
        with self._path.open("a") as out:
            out.write(json.dumps(line) + "\n")
        say(json.dumps(line))


class _Stopping:
    """Remembers that a signal asked to stop, so that the step at hand is finished and saved."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


def say(text: str) -> None:
    """Tell the person who watches."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Read the command line and train; 130 if stopped before the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PLANS, help="which model")
    parser.add_argument("corpus", type=Path, help="folder of NAME.txt.gz")
    parser.add_argument("run", type=Path, help="folder for everything that training makes")
    parser.add_argument("--data", type=Path, help="evaluation data: left out of training, its dev parts looked at")
    parser.add_argument("--init", type=Path, help="a model folder whose weights and tokenizer to begin with")
    parser.add_argument("--stage", help="begin with this stage of the course (with --init)")
    parser.add_argument("--tokens", type=float, help="another length of the last stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of the CPU; the result is the same only for the same number")
    options = parser.parse_args()
    course = COURSES[options.name]
    course = course.from_stage(options.stage) if options.stage else course
    course = course.lasting(int(options.tokens)) if options.tokens else course
    if options.threads:
        torch.set_num_threads(options.threads)
        threadpool_limits(options.threads)  # numpy's, which draws the lessons
    folder = options.run / options.name
    run = Run(options.name, course, options.corpus, folder, options.data, options.init, options.seed)
    return 0 if train(run) else 130


if __name__ == "__main__":
    sys.exit(main())
