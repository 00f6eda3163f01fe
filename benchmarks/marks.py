"""Text that a program keeps up to date inside a page that people write."""

from __future__ import annotations


def filled(page: str, name: str, made: str) -> str:
    """A page with `made` between `<!-- name -->` and `<!-- end of name -->`; `ValueError` where it has no such marks."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    return f"{page[: page.index(begin)]}{begin}\n{made}\n{page[page.index(end) :]}"
