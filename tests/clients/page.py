"""The snippets of docs/protocols.md, in their order."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THE_MODEL = "The model that the snippets ask"
ADDRESS, PORT, GRPC = "127.0.0.1:3000", '"127.0.0.1", 3000', "127.0.0.1:3001"


def snippets() -> dict[str, list[tuple[str, str]]]:
    """Return the snippets under each heading, as pairs of language and code."""
    text = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    found: dict[str, list[tuple[str, str]]] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, rest = part.partition("\n")
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", rest, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            found[heading] = blocks
    return found


def at_ports(code: str, http: int, grpc: int) -> str:
    """Return a snippet that asks a server on other ports than those everybody starts with."""
    assert any(known in code for known in (ADDRESS, PORT, GRPC)), code
    code = code.replace(ADDRESS, f"127.0.0.1:{http}").replace(PORT, f'"127.0.0.1", {http}')
    return code.replace(GRPC, f"127.0.0.1:{grpc}")
