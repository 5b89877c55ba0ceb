"""OpenAI's protocol, which most servers speak: what a request holds, and what a chat completion says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.judges.llm.http import Connection, counted, read_tree, text_without_halves
from evalkit.judges.llm.prompts import CUT_OFF, Messages, refused
from evalkit.settings import JudgeSettings, model_name


class OpenAIProtocol:
    """One model on a server that speaks OpenAI's protocol."""

    # The forms of a reply, from the strictest on; a server that refuses one is asked for the next.
    forms = ("json_schema", "json_object", "text")
    needs_length = False
    takes = ("max_tokens", "temperature")  # the parameters that evalkit sets

    def __init__(self, settings: JudgeSettings, model: str, key: str) -> None:
        import openai

        self.sdk: Any = openai
        self.url = settings.url_of(model)
        self._settings, self._model = settings, model_name(model)
        self.connection = Connection(openai, self.url, settings.timeout)
        # No retries of the client's own: they would not be counted.
        self.client = openai.OpenAI(
            api_key=key, base_url=self.url, max_retries=0, timeout=settings.timeout,
            http_client=self.connection.client,
        )  # fmt: skip

    def request(self, messages: Messages, schema: Mapping[str, Any], form: str, own: Mapping[str, Any]) -> Any:
        """Return the body of a request; `own` are the parameters that evalkit sets unless the settings do."""
        body: dict[str, Any] = {"model": self._model, "messages": list(messages), **own, **self._settings.request}
        if form != "text":
            body["response_format"] = {"type": form}
        if form == "json_schema":
            body["response_format"]["json_schema"] = {"name": "reply", "strict": True, "schema": schema}
        return body

    def send(self, request: Mapping[str, Any]) -> bytes:
        """Send a request; return the body of the response."""
        rest = {name: value for name, value in request.items() if name not in ("model", "messages")}
        with self.connection.exchange():
            response = self.client.chat.completions.with_raw_response.create(
                model=request["model"], messages=request["messages"], extra_body=rest
            )
            return bytes(response.http_response.content)

    def read(self, body: bytes) -> tuple[str, str, tuple[int, int]]:
        """Return a reply's text, why it is no whole one, if so, and the tokens in and out; 0 where not counted."""
        return read_completion(read_tree(body))


def read_completion(tree: Any) -> tuple[str, str, tuple[int, int]]:
    """Return a chat completion's text, why it is no whole one, and the tokens in and out; 0 where not counted.

    Servers have many words for an end (stop, eos, eos_token, end_turn), and few for a reply that is cut off.

    Raise ValueError for what is no chat completion.
    """
    choices = tree.get("choices") if isinstance(tree, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise ValueError("a reply without choices")
    given = choice.get("message")
    message = given if isinstance(given, dict) else {}
    used = counted(tree.get("usage"), "prompt_tokens", "completion_tokens")
    lack, end = "", choice.get("finish_reason")
    if not isinstance(end, str | None):
        raise ValueError("a finish reason that is no text")
    if end == "content_filter" or (isinstance(message.get("refusal"), str) and message["refusal"].strip()):
        lack = refused(message.get("refusal"))
    elif end in ("length", "max_tokens", "model_length"):
        lack = CUT_OFF
    return text_without_halves(_text(message.get("content"))), lack, used


def _text(content: object) -> str:
    """Return a message's text, which some servers give in parts, the model's thinking among them."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""
