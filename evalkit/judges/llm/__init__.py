"""Language models that decide pairs: questions to any OpenAI-compatible server, opinions from its replies."""

from evalkit.judges.llm.client import Client, key_from, require
from evalkit.judges.llm.panel import Panel
from evalkit.judges.llm.prompts import Prompt, parse_prompt
from evalkit.judges.llm.reply_cache import ReplyCache

__all__ = ["Client", "Panel", "Prompt", "ReplyCache", "key_from", "parse_prompt", "require"]
