"""Text that programs keep up to date inside pages that people write, and the tables in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def filled(page: str, name: str, made: str) -> str:
    """A page with `made` between `<!-- name -->` and `<!-- end of name -->`; `ValueError` where it has no such marks."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    return f"{page[: page.index(begin)]}{begin}\n{made}\n{page[page.index(end) :]}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table in Markdown; the first `words` columns stand to the left, figures to the right."""
    lines = [head, [*["---"] * words, *["---:"] * (len(head) - words)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
