"""Answers of language models' servers, as a file keeps them: the texts and the arguments of tools in them."""

from __future__ import annotations

from evalkit.formats.tree import Members, Node, key_of, members_of

# Keys under which a record keeps a model's reply as one text.
REPLY_TEXTS = ("response", "output", "completion", "reply", "answer", "text", "generatedtext", "outputtext")
_REPLY_KEYS = frozenset(
    ("message", "content", "parts", "tool_calls", "function", "function_call", "functionCall", "body", "choices",
     "output", "candidates")
)  # fmt: skip
_CALLS = ("tool_calls", "function", "function_call", "functionCall")
ARGUMENTS = ("arguments", "input", "args", "parameters")
_PARTS = frozenset(
    ("text", "output_text", "message", "thinking", "redacted_thinking", "reasoning", "tool_use", "tool_call",
     "function", "function_call")
)  # fmt: skip
_OTHERS = ("user", "system", "developer", "tool", "human")  # whose messages are no reply of the model
_DEEPEST_REPLY = 8


def is_reply(value: Members) -> bool:
    """Is this what a language model's server answers, or a message of a conversation?"""
    return bool(replies_in(value)) or any(key in value for key in ("choices", "candidates")) or _is_message(value)


def _is_message(value: Members) -> bool:
    """Is this a message, or a part of one?"""
    return any(keys <= value.keys() for keys in ({"role", "content"}, {"type", "content"}, {"type", "text"}))


def is_answer(items: tuple[Node, ...]) -> bool:
    """Are these the parts of one answer, texts and calls of tools?"""
    return bool(items) and all(_word(members_of(item), "type") in _PARTS for item in items)


def _word(value: Members, key: str) -> str:
    """Return the text under a key, or nothing."""
    node = value.get(key)
    return node.value if node is not None and isinstance(node.value, str) else ""


def choices_in(value: Members) -> int:
    """Return how many answers a server gave to one question; 0 where this is no such answer."""
    listed = (value[key].value for key in ("choices", "candidates") if key in value)
    return max((len(items) for items in listed if isinstance(items, tuple)), default=0)


def reply_text(value: Members) -> Node | None:
    """Return the text of a reply that a record keeps."""
    texts = {key_of(label): node for label, node in value.items() if isinstance(node.value, str)}
    return next((texts[key] for key in REPLY_TEXTS if key in texts), None)


def replies_in(value: Members) -> list[Node]:
    """Return the replies in a server's answer: its texts, or only the arguments of tools where it called some.

    Known are chat completions, Anthropic's messages, OpenAI's responses, Gemini's candidates and Ollama's messages.
    """
    roots = [value[key] for key in ("choices", "output", "candidates", "message", "response") if key in value]
    if _is_message(value) or "content" in value or any(key in value for key in _CALLS):
        roots.append(Node(0, {key: node for key, node in value.items() if node not in roots}))
    texts, arguments = list[Node](), list[Node]()
    for root in roots:
        _open_reply(root, texts, arguments, 0)
    return arguments or texts


def _open_reply(node: Node, texts: list[Node], arguments: list[Node], depth: int) -> None:
    """Walk down the known keys of a server's answer to the texts and arguments in it; of several choices the first."""
    value = node.value
    if depth > _DEEPEST_REPLY or value is None or isinstance(value, str):
        return
    if isinstance(value, tuple):
        for item in value[: 1 if depth == 0 and not _typed(value) else None]:
            _open_reply(item, texts, arguments, depth + 1)
        return
    if _word(value, "role") in _OTHERS or _word(value, "thought") == "true":
        return
    for key, inner in value.items():
        if key in ARGUMENTS:
            arguments.append(inner)
        elif key in ("content", "text", "output") and isinstance(inner.value, str):
            texts.append(inner)
        elif key in _REPLY_KEYS:
            _open_reply(inner, texts, arguments, depth + 1)


def _typed(items: tuple[Node, ...]) -> bool:
    """Are these the parts of one answer, each with its type, and not choices between answers?"""
    return any(isinstance(item.value, dict) and "type" in item.value for item in items)
