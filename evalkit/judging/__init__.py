"""A language model's opinion on borderline pairs: takes Questions, gives Opinions. The corridor knows it as a callable.

Modules: `prompts` (what is sent and what a reply must be), `client` (one server, asked patiently), `kept` (replies on
disk), `costs` (before), `panel` (several judges at once), `extraction` (draft gold from a review's text).
"""

from evalkit.judging.client import Client, Meter, key_from, require
from evalkit.judging.kept import Kept
from evalkit.judging.panel import Panel
from evalkit.judging.prompts import Prompt, parse_prompt

__all__ = ["Client", "Kept", "Meter", "Panel", "Prompt", "key_from", "parse_prompt", "require"]
