"""Pre-train one of the two built-in models; stop it at any time, start it again, it goes on.

The learning rate warms up, stays, and falls to nothing over the last `--decay` share of `--tokens`.
Because it stays in between, a run may be lengthened or brought to its end from any checkpoint by
calling again with another `--tokens`.

    python -m training.pretrain bert RUN --tokens 40e6
    python -m training.pretrain gpt2 RUN --tokens 30e6
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForPreTraining, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from training.corpus import JUDGEMENT
from training.samples import Encoded, bert_batches, bert_samples, gpt2_batches, load, pools

BUDGET = 4_096  # padded tokens a step
WARM_UP = 1_500_000  # tokens; shorter, and the post-norm BERT never leaves the unigram plateau
EVERY = 1_000_000  # tokens between checkpoints

Step = tuple[int, Callable[[PreTrainedModel], dict[str, torch.Tensor]]]  # tokens, losses by name


@dataclass(frozen=True)
class Plan:
    """What one model is and how its batches and losses are made."""

    model: PreTrainedModel
    rate: float
    steps: Callable[[list[Encoded], list[tuple[int, int]], np.random.Generator], Iterator[Step]]


def bert_plan(tokenizer: Tokenizer) -> Plan:
    """A BERT of 4 layers, 256 wide, with MLM and NSP heads."""
    names = ("pad", "cls", "sep", "mask", "unk")
    specials = {name: tokenizer.get_vocab()[f"[{name.upper()}]"] for name in names}
    vocabulary = tokenizer.get_vocab()
    often = np.zeros(len(vocabulary), bool)
    often[[vocabulary[word] for word in JUDGEMENT.split() if word in vocabulary]] = True
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=specials["pad"],
    )

    def steps(sources: list[Encoded], pool: list[tuple[int, int]], rng: np.random.Generator) -> Iterator[Step]:
        longest = 250 if rng.random() < 0.15 else 120
        samples = bert_samples(sources, pool, longest, rng)
        for batch in bert_batches(samples, BUDGET, specials, often, rng):

            def losses(model: PreTrainedModel, batch=batch) -> dict[str, torch.Tensor]:  # type: ignore[no-untyped-def]
                hidden = model.bert(batch.ids, batch.attention, batch.types)
                words = model.cls.predictions(hidden.last_hidden_state[batch.chosen])
                order = model.cls.seq_relationship(hidden.pooler_output)
                found = {"mlm": cross_entropy(words.float(), batch.targets[batch.chosen])}
                if bool((batch.follows >= 0).any()):
                    found["nsp"] = cross_entropy(order.float(), batch.follows)
                return found

            yield batch.tokens, losses

    return Plan(BertForPreTraining(config), 7e-4, steps)


def gpt2_plan(tokenizer: Tokenizer) -> Plan:
    """A GPT-2 of 4 layers, 256 wide."""
    end = tokenizer.get_vocab()["<|endoftext|>"]
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=512,
        n_embd=256,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
    )

    def steps(sources: list[Encoded], pool: list[tuple[int, int]], rng: np.random.Generator) -> Iterator[Step]:
        width = 512 if rng.random() < 0.3 else 128
        for ids in gpt2_batches(sources, pool, width, BUDGET, end, rng):

            def losses(model: PreTrainedModel, ids=ids) -> dict[str, torch.Tensor]:  # type: ignore[no-untyped-def]
                logits = model(ids).logits[:, :-1]
                return {"lm": cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())}

            yield ids.numel(), losses

    return Plan(GPT2LMHeadModel(config), 1.5e-3, steps)


PLANS: dict[str, Callable[[Tokenizer], Plan]] = {"bert": bert_plan, "gpt2": gpt2_plan}


def rate_at(tokens: float, total: float, decay: float) -> float:
    """The share of the full learning rate after so many tokens: warm up, stay, fall linearly."""
    return max(0.0, min(1.0, tokens / WARM_UP, (total - tokens) / (decay * total)))


def train(name: str, run: Path, total: float, decay: float, seed: int, names: str) -> None:
    """Train until `total` tokens have been seen; checkpoints lie at ends of pools, so a restart is exact."""
    torch.manual_seed(seed)
    folder = run / name
    plan = PLANS[name](Tokenizer.from_file(str(folder / "tokenizer.json")))
    model = plan.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), plan.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    seen, pool_number, checkpoint = 0, 0, folder / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        seen, pool_number = state["seen"], state["pool"]
    sources, saved_at, started, first = load(folder / "ids", names), seen, time.time(), seen
    for number, pool in pools(sources, seed, pool_number):
        if seen - saved_at >= EVERY:
            save(folder, model, optimizer, seen, number)
            saved_at = seen
        rng = np.random.default_rng((seed, 1, number))
        means: dict[str, list[float]] = {}
        for tokens, losses_of in plan.steps(sources, pool, rng):
            share = rate_at(seen, total, decay)
            if share == 0.0 and seen:
                save(folder, model, optimizer, seen, number)
                return
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * max(share, 1e-3)
            with torch.autocast("cpu", torch.bfloat16):
                losses = losses_of(model)
            torch.autograd.backward(torch.stack(list(losses.values())).sum())
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seen += tokens
            for key, loss in losses.items():
                means.setdefault(key, []).append(loss.item())
        log(folder, seen, means, (seen - first) / (time.time() - started))


def log(folder: Path, seen: int, means: dict[str, list[float]], speed: float) -> None:
    """Append one line to log.jsonl and print it."""
    line = {"tokens": seen} | {k: round(float(np.mean(v)), 4) for k, v in means.items()}
    text = json.dumps(line | {"tokens_per_second": round(speed)})
    print(text, flush=True)
    with (folder / "log.jsonl").open("a") as out:
        out.write(text + "\n")


def save(folder: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, seen: int, pool: int) -> None:
    """Write the checkpoint beside the old one, then swap; also keep the bare weights for averaging."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "seen": seen, "pool": pool}
    torch.save(state, folder / "checkpoint.new")
    (folder / "checkpoint.new").replace(folder / "checkpoint.pt")
    kept = folder / "weights"
    kept.mkdir(exist_ok=True)
    torch.save(model.state_dict(), kept / f"{seen // 1_000_000:05d}M.pt")
    (folder / "config.json").write_text(model.config.to_json_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=PLANS)
    parser.add_argument("run", type=Path)
    parser.add_argument("--tokens", type=float, required=True)
    parser.add_argument("--decay", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", default="", help="NAME:REPEATS,... in place of the whole mix")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.model, options.run, options.tokens, options.decay, options.seed, options.sources)
