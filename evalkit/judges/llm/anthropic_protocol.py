"""Anthropic's protocol by its official client: the same question as a tool to be used, and what a message says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evalkit.judges.llm.http import Connection, counted, read_tree, text_without_halves
from evalkit.judges.llm.prompts import CUT_OFF, Messages, refused
from evalkit.settings import JudgeSettings, model_name

TOOL = "reply"


class AnthropicProtocol:
    """One model on a server that speaks Anthropic's protocol."""

    forms = ("tool", "text")  # a model that may not be made to use a tool is asked for text
    needs_length = True
    takes = ("max_tokens",)  # its present version knows no temperature

    def __init__(self, settings: JudgeSettings, model: str, key: str) -> None:
        import anthropic

        self.sdk: Any = anthropic
        self.url = settings.url_of(model)
        self._settings, self._model = settings, model_name(model)
        self.connection = Connection(anthropic, self.url, settings.timeout)
        # The client itself adds /v1; with a key that is given it looks for no other in the environment or in files.
        self.client = anthropic.Anthropic(
            api_key=key, base_url=self.url.rstrip("/").removesuffix("/v1"), max_retries=0, timeout=settings.timeout,
            http_client=self.connection.client,
        )  # fmt: skip

    def request(self, messages: Messages, schema: Mapping[str, Any], form: str, own: Mapping[str, Any]) -> Any:
        """Return the body of a request; `own` are the parameters that evalkit sets unless the settings do."""
        system, *rest = messages
        body = {"model": self._model, "system": system["content"], "messages": rest, **own, **self._settings.request}
        if form == "tool":
            tool = {"name": TOOL, "description": "Give the reply that was asked for.", "input_schema": schema}
            body |= {"tools": [tool], "tool_choice": {"type": "tool", "name": TOOL, "disable_parallel_tool_use": True}}
        return body

    def send(self, request: Mapping[str, Any]) -> bytes:
        """Send a request; return the body of the response."""
        named = ("model", "messages", "max_tokens")
        rest = {name: value for name, value in request.items() if name not in named}
        with self.connection.exchange():
            response = self.client.messages.with_raw_response.create(
                **{name: request[name] for name in named}, extra_body=rest
            )
            return bytes(response.http_response.content)

    def read(self, body: bytes) -> tuple[str, str, tuple[int, int]]:
        """Return a reply's text, why it is no whole one, if so, and the tokens in and out; 0 where not counted.

        What the tool was given is the reply; without a tool the text is. Raise ValueError for what is no message.
        """
        tree = read_tree(body)
        blocks = tree.get("content") if isinstance(tree, dict) else None
        if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
            raise ValueError("a reply without content")
        try:
            given = [json.dumps(block.get("input")) for block in blocks if block.get("type") == "tool_use"]
        except RecursionError as error:
            raise ValueError("a reply that is nested too deep") from error
        texts = [block["text"] for block in blocks
                 if block.get("type") == "text" and isinstance(block.get("text"), str)]  # fmt: skip
        whole = tree.get("stop_reason") in ("end_turn", "stop_sequence", "tool_use", None)
        lack = refused(" ".join(texts)) if tree.get("stop_reason") == "refusal" else "" if whole else CUT_OFF
        used = counted(tree.get("usage"), "input_tokens", "output_tokens")
        return text_without_halves("\n".join(given or texts)), lack, used
