"""Keep one comment on a pull request up to date: action/comment.py FILE, with what it needs from the environment.

Only the standard library is used. Without the permission to write, it says so and ends in 1.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

MOST = 65_000  # characters; GitHub takes 65,536


def call(method: str, path: str, content: dict[str, str] | None = None) -> Any:
    """Return what the API answers."""
    root = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    head = {"Authorization": f"Bearer {os.environ['EVALKIT_TOKEN']}", "Accept": "application/vnd.github+json"}
    data = None if content is None else json.dumps(content).encode()
    with urlopen(Request(f"{root}{path}", data, head, method=method), timeout=30) as answer:
        return json.load(answer)


def earlier(comments: str, marker: str) -> int | None:
    """Return the comment that an earlier run made, of however many pages; anybody may write one that looks like it."""
    for page in range(1, 31):
        found = call("GET", f"{comments}?per_page=100&page={page}")
        for one in found:
            own = one["user"]["type"] == "Bot" or one["author_association"] in ("OWNER", "MEMBER", "COLLABORATOR")
            if one["body"].startswith(marker) and own:
                return int(one["id"])
        if len(found) < 100:
            break
    return None


def main(file: str) -> int:
    """Write the comment anew, or for the first time."""
    repository, number = os.environ["GITHUB_REPOSITORY"], int(os.environ["EVALKIT_PULL"])
    marker = f"<!-- evalkit: {os.environ.get('EVALKIT_KEY', 'evalkit').replace('--', '')} -->"
    text = Path(file).read_text(encoding="utf-8")
    if len(text) > MOST:
        text = f"{text[:MOST].rpartition(chr(10))[0]}\n\n… the rest is in the job's summary"
    body = {"body": f"{marker}\n{text}"}
    try:
        known = earlier(f"/repos/{repository}/issues/{number}/comments", marker)
        if known is None:
            call("POST", f"/repos/{repository}/issues/{number}/comments", body)
        else:
            call("PATCH", f"/repos/{repository}/issues/comments/{known}", body)
    except HTTPError as error:
        print(f"GitHub answered {error.code}: the token may not write to pull requests", file=sys.stderr)
        return 1
    except URLError as error:
        print(f"GitHub cannot be reached: {error.reason}", file=sys.stderr)
        return 1
    print("updated the comment" if known else "made a comment")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
