"""Labels of published plans ship as indices and hashes, and correct a run of just these plans unasked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED, requires_shared_data
from scipy.optimize import linear_sum_assignment

from evalkit.scoring import reference_labels
from evalkit.scoring.load import load_gold
from evalkit.scoring.pipeline import score_run
from evalkit.settings import Settings, content_digest
from evalkit.storage.files import shipped

ROWS = [
    json.loads(line) for line in shipped("configs/labels/references.jsonl").read_text(encoding="utf-8").splitlines()
]
LEXICAL = Settings(matcher="lexical", resamples=99)


def test_labels_are_of_the_references_that_ship_and_hold_no_text() -> None:
    gold, _ = load_gold(str(shipped("references")), Settings(), None)
    entries = {content_digest(plan.ablations)[: reference_labels.DIGITS]: len(plan.ablations) for plan in gold.values()}
    assert len(ROWS) == 84
    for row in ROWS:
        assert set(row) == {"paper", "gold", "plan", "match", "same_part"}
        assert re.fullmatch(r"[0-9a-f]{16}", row["plan"])
        assert all(0 <= g < entries[row["gold"]] for g, _ in row["same_part"])
        assert all(place in row["same_part"] for place in row["match"])


def one_plan(folder: Path, text: str) -> Path:
    (folder / "x").mkdir(parents=True)
    (folder / "x" / "simsiam.json").write_text(text)
    return folder


def test_other_plans_are_not_corrected(tmp_path: Path) -> None:
    text = '{"ablations": [{"name": "a", "ablated_part": "predictor", "action": "REMOVE", "metrics": ["accuracy"]}]}'
    run = score_run(str(one_plan(tmp_path, text)), str(shipped("references")), LEXICAL)
    assert "labels" not in run.meta


def test_a_labelled_plan_is_corrected_by_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two entries; the labels say that only the first matches, and that the second shares its part."""
    (tmp_path / "gold").mkdir()
    texts = ({"name": "a", "ablated_part": "gate"}, {"name": "b", "ablated_part": "contrastive loss"})
    both = [one | {"action": "REMOVE", "metrics": ["accuracy"]} for one in texts]
    for paper in ("p", "q"):
        (tmp_path / "gold" / f"{paper}.json").write_text(json.dumps({"paper": paper, "ablations": both}))
        place = tmp_path / "plans" / "x" / f"{paper}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"ablations": both}))
    plain = score_run(str(tmp_path / "plans"), str(tmp_path / "gold"), LEXICAL)
    gold, _ = load_gold(str(tmp_path / "gold"), Settings(), None)
    digest = content_digest(gold["p"].ablations)[: reference_labels.DIGITS]
    row = {"match": [[0, 0]], "same_part": [[0, 0], [1, 1]]}
    monkeypatch.setattr(reference_labels, "_shipped", lambda: {(digest, digest): row})
    run = score_run(str(tmp_path / "plans"), str(tmp_path / "gold"), LEXICAL)
    assert plain.leaderboard["match_f1"].tolist() == run.leaderboard["match_f1"].tolist() == [1.0]
    assert run.leaderboard["match_f1_corrected"].tolist() == [0.5]
    assert run.meta["labels"]["ship_with_references"] is True
    assert run.meta["labels"]["doubts"] == ["only 2 papers are labelled: the corrected intervals say little"]


@requires_shared_data
def test_the_published_plans_are_corrected() -> None:
    plans = str(SHARED / "data" / "trajectories")
    run = score_run(plans, str(shipped("references")), LEXICAL)
    assert run.meta["labels"]["plans"] >= 84
    assert run.meta["labels"]["papers"] == 17
    # Macro F1 of gpt-4o's labels over the 17 papers, from the labelled file itself, one to one.
    rows = [json.loads(line) for line in (SHARED / "data" / "alignment" / "dev.jsonl").open(encoding="utf-8")]
    own = [row for row in rows if row["task"] == "reference" and row["planner"].endswith("gpt-4o")]
    f1 = []
    for row in own:
        table = np.zeros((len(row["gold"]), len(row["plan"])))
        table[tuple(np.array(row["match"], int).reshape(-1, 2).T)] = 1
        f1.append(2 * table[linear_sum_assignment(table, maximize=True)].sum() / sum(table.shape))
    board = run.leaderboard.set_index("planner")["match_f1_corrected"]
    assert board["lm-planner/gpt-4o"] == pytest.approx(np.mean(f1), abs=1e-9)
