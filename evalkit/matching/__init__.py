"""Gold and a plan to probabilities and an alignment."""
