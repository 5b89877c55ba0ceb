"""A corpus for the benchmark: takes a seed and sizes, gives gold and plans as files, with realistic lengths.

Parts, names and options are put together from words of the field; two in three entries of a plan restate a gold entry
of their paper in other words. Nothing is read and nothing is downloaded.
"""

from __future__ import annotations

import json
import random
from pathlib import Path


def _listed(text: str) -> list[str]:
    return text.split(",")


HEADS = _listed(
    "attention,encoder,decoder,loss,regularizer,tokenizer,memory bank,gating unit,normalization layer,embedding,"
    "sampler,"
    "augmentation,discriminator,backbone,prompt,retriever,router,scheduler,optimizer,adapter,projection head,kernel,"
    "pooling layer,residual path,position bias,contrastive objective,curriculum,data filter,reward model,value network"
)
KINDS = _listed(
    "temporal,spatial,cross-modal,hierarchical,multi-scale,adaptive,sparse,causal,equivariant,low-rank,stochastic,"
    "frozen,"
    "learned,deformable,recurrent,graph-based,frequency-domain,self-supervised,bidirectional,mixture-of-experts,local,"
    "global,token-level,sequence-level,uncertainty-aware,dynamic,shared,gated,variational,prototype"
)
WHERE = _listed(
    "in the encoder,in the decoder blocks,between the two streams,used during pre-training,for long sequences,"
    "for rare classes,at every layer,in the final stage,applied to the residual stream,over the retrieved passages,"
    "inside each expert,between teacher and student,for the auxiliary task,on the intermediate features,,,"
)
OPTIONS = _listed(
    "no {part},standard {head},{kind} {head},random initialization,uniform weighting,mean pooling,a fixed schedule,"
    "a two-layer MLP,{number},{number} layers,identity mapping,a frozen pre-trained {head},{kind} variant,none,"
    "the {head} of the baseline,a linear projection"
)
NAMES = _listed(
    "Removing the {part},Effect of the {part},Impact of {kind} design on {head},{part} ablation,Replacing the {part},"
    "Importance of {head} choice,Necessity of {part} {where},{head} variants,Role of the {kind} {head}"
)
METRICS = _listed("top-1 accuracy,F1 score,BLEU,FID,mAP,perplexity,inference time (ms),AUROC,success rate,mean IoU")


def entry(draw: random.Random) -> dict[str, object]:
    """One ablation."""
    head, kind, where = draw.choice(HEADS), draw.choice(KINDS), draw.choice(WHERE)
    part = f"{kind} {head}"
    words = {"part": part, "head": head, "kind": draw.choice(KINDS), "where": where}
    count = draw.choice((0, 1, 2, 2, 3))
    number = f"{draw.randint(1, 9) / draw.choice((1, 10, 100)):g}"
    options = [draw.choice(OPTIONS).format(**words, number=number) for _ in range(count)]
    return {
        "name": draw.choice(NAMES).format(**words).strip(),
        "ablated_part": f"{part} {where}".strip(),
        "action": "REPLACE" if options else "REMOVE",
        "replacement": options,
        "metrics": draw.sample(METRICS, draw.randint(1, 3)),
    }


def restated(draw: random.Random, given: dict[str, object]) -> dict[str, object]:
    """A gold entry as another author would write it."""
    other = entry(draw)
    answer = str(given["ablated_part"])
    part = draw.choice((answer, f"the {answer}", " ".join(answer.split()[:3]), f"{answer} module"))
    name = draw.choice((other["name"], f"Ablating the {part}", f"Without {part}"))
    return {**given, "name": name, "ablated_part": part, "metrics": other["metrics"]}


def text_of(paper: str, planner: str, entries: list[dict[str, object]]) -> str:
    """A plan in the form in which planners write theirs."""
    lines = [f"# {planner}/{paper}", "", "## Reasoning Trace", "", f"The method of {paper} rests on a few ideas.", ""]
    lines += ["## Ablation Plan", ""]
    for item in entries:
        lines += [f"### {item['name']}", f"- **Ablated Part**: {item['ablated_part']}"]
        lines += [f"- **Action**: {item['action']}"]
        if item["replacement"]:
            lines += ["- **Replacement**:", *(f"  - {option}" for option in item["replacement"])]  # type: ignore
        lines += [f"- **Metrics**: {', '.join(item['metrics'])}", ""]  # type: ignore[arg-type]
    return "\n".join(lines)


def write(top: Path, papers: int, plans: int, seed: int = 0, copies: int = 1) -> None:
    """`top/gold` with a list of five a paper, `top/plans` with `plans` plans of five, and copies of them by others."""
    draw = random.Random(seed)
    gold = {f"paper-{at:04}": [entry(draw) for _ in range(5)] for at in range(papers)}
    (top / "gold").mkdir(parents=True)
    for paper, entries in gold.items():
        content = json.dumps({"paper": paper, "ablations": entries}, indent=1)
        (top / "gold" / f"{paper}.json").write_text(content, encoding="utf-8")
    names = list(gold)
    for at in range(plans):
        paper, planner = names[at % papers], f"planner-{at // papers}"
        mine = draw.sample(gold[paper], 5)
        entries = [restated(draw, item) if draw.random() < 2 / 3 else entry(draw) for item in mine]
        for copy in range(copies):
            whose = f"copy-{copy:03}/{planner}"
            path = top / "plans" / whose / f"{paper}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text_of(paper, whose, entries), encoding="utf-8")
