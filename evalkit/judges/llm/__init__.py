"""Language models that decide pairs: questions to OpenAI-compatible servers and Anthropic's, opinions from replies."""

from evalkit.judges.llm.client import Client, key_from, require
from evalkit.judges.llm.panel import Panel
from evalkit.judges.llm.prompts import Prompt, parse_prompt
from evalkit.judges.llm.reply_cache import ReplyCache

__all__ = ["Client", "Panel", "Prompt", "ReplyCache", "key_from", "parse_prompt", "require"]
