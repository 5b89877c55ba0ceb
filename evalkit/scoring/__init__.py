"""The main road: load, pair, score, and write a run."""
