"""Others who decide which entries match: language models, and recorded judgements."""
