"""A language model's opinion on borderline pairs: takes Questions, gives Opinions. The corridor knows it as a callable.

Modules: `prompts` (what is sent and what a reply must be), `client` (one server, asked patiently), `kept` (replies on
disk), `costs` (before), `panel` (several judges at once), `extraction` (draft gold from a review's text).
"""

from evalkit.judges.llm.client import Client, Meter, key_from, require
from evalkit.judges.llm.panel import Panel
from evalkit.judges.llm.prompts import Prompt, parse_prompt
from evalkit.judges.llm.replies import Kept

__all__ = ["Client", "Kept", "Meter", "Panel", "Prompt", "key_from", "parse_prompt", "require"]
