"""Prompt optimisers and trainers call rewards as they document it: a real GEPA run, the shapes of DSPy and TRL."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import gepa
import pytest
from conftest import entry, gold
from gepa.core.adapter import EvaluationBatch

from evalkit.scoring.scorer import Reward, Scorer
from evalkit.settings import Settings

SCORER = Scorer(Settings(matcher="lexical", resamples=0))
GOLD = {
    "attention": gold(entry("relative position bias"), entry("shifted windows"), paper="attention"),
    "detection": gold(entry("focal loss"), entry("feature pyramid"), entry("warmup"), paper="detection"),
}


def planner(prompt: str) -> str:
    """Stand for the language model that is optimised: it proposes to remove what the prompt lists after dashes."""
    parts = re.findall(r"^- (.+)$", prompt, flags=re.MULTILINE)
    return json.dumps([{"name": f"No {part}", "ablated_part": part, "action": "REMOVE"} for part in parts])


class PlannerAdapter:
    """What GEPA asks for: rewards of a prompt on papers, and what its reflection may read about them."""

    propose_new_texts = None

    def evaluate(self, batch: list[str], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        replies = [planner(candidate["prompt"]) for _ in batch]
        rewards = [SCORER.reward(reply, GOLD[paper]) for reply, paper in zip(replies, batch, strict=True)]
        return EvaluationBatch(replies, [float(reward) for reward in rewards], rewards if capture_traces else None)

    def make_reflective_dataset(self, candidate: dict[str, str], eval_batch: Any, components: list[str]) -> Any:
        rows = [{"Generated Outputs": reply, "Feedback": reward.feedback}
                for reply, reward in zip(eval_batch.outputs, eval_batch.trajectories, strict=True)]  # fmt: skip
        return dict.fromkeys(components, rows)


def reflect(question: str | list[dict[str, Any]]) -> str:
    """Stand for the language model that reflects: it takes the missed parts from the feedback into the prompt."""
    text = question if isinstance(question, str) else json.dumps(question)
    prompt = re.search(r"Propose ablations of:\n((?:- .+\n?)*)", text)
    parts = re.findall(r"^- (.+)$", prompt[1] if prompt else "", flags=re.MULTILINE)
    parts += re.findall(r"Missed: '(?:No )?([^']+)'", text)
    return "```\nPropose ablations of:\n" + "".join(f"- {part}\n" for part in dict.fromkeys(parts)) + "```"


def test_gepa_improves_a_prompt_by_the_feedback() -> None:
    """The first prompt lists one of five parts; the feedback names the others, so that a better prompt is found."""
    first = "Propose ablations of:\n- warmup\n"
    result = gepa.optimize(
        seed_candidate={"prompt": first},
        trainset=list(GOLD),
        valset=list(GOLD),
        adapter=PlannerAdapter(),
        reflection_lm=reflect,
        max_metric_calls=40,
        reflection_minibatch_size=2,
    )
    scores = result.val_aggregate_scores
    # F1 0 of attention; 1 of 1 proposed and 1 of 3 expected, F1 0.5, of detection.
    assert scores[0] == pytest.approx((0 + 0.5) / 2)
    # All five parts for both papers: precision 2/5 and recall 1; 3/5 and 1.
    assert max(scores) == pytest.approx((4 / 7 + 3 / 4) / 2)
    assert "focal loss" in result.best_candidate["prompt"]


def dspy_metric(example: Any, prediction: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
    """The five arguments with which dspy.GEPA calls a metric, and the two values that it reads of the result."""
    reward = SCORER.reward(prediction.plan, GOLD[example.paper], reveal=False)
    return SimpleNamespace(score=float(reward), feedback=reward.feedback)


def test_a_metric_as_dspy_calls_it() -> None:
    prediction = SimpleNamespace(plan=planner("- shifted windows\n- dropout"))
    result = dspy_metric(SimpleNamespace(paper="attention"), prediction, None, "planner", None)
    assert result.score == 0.5  # one of two, by one of two
    assert "Missed: 1 expected entry." in result.feedback
    assert "position" not in result.feedback


def trl_reward(prompts: list[str], completions: list[Any], paper: list[str], **columns: Any) -> list[float]:
    """The shape of TRL's GRPOTrainer: lists of prompts and completions, and the columns of the data set."""
    texts = [text if isinstance(text, str) else text[-1]["content"] for text in completions]  # conversations, too
    return [SCORER.reward(text, GOLD[name]) for text, name in zip(texts, paper, strict=True)]


def test_a_reward_function_as_trainers_call_it() -> None:
    reply = planner("- shifted windows")
    chat = [{"role": "assistant", "content": reply}]
    values = trl_reward(["p"] * 3, [reply, chat, "no"], paper=["attention"] * 3, trainer_state=None)
    assert values == [pytest.approx(2 / 3), pytest.approx(2 / 3), 0]
    assert all(isinstance(value, Reward) and isinstance(value, float) for value in values)
