"""The page of the study `articles` and its raw tables: `python benchmarks/study_page.py STUDY docs/studies/articles`.

Writes README.md and README.zh-CN.md (the claims, the leaderboard) and copies the tables that they rest on. Trains and computes nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from convrnn.core.errors import ConvrnnError, DataError
from convrnn.core.files import write
from convrnn.core.language import Language, speaking, tr
from convrnn.report import leaderboard, read_study, verdict
from convrnn.report.records import Json
from convrnn.report.study_claims import markdown
from convrnn.report.study_records import Study

TABLES = ("results.jsonl", "costs.jsonl", "statistics.json", "claims.json")
PAGES: dict[str, Language] = {"README.md": "en", "README.zh-CN.md": "zh"}


def main() -> int:
    """Both pages and the tables; of a folder that has none of them one line on standard error, and exit status 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="what `convrnn compare articles` wrote")
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    try:
        write_page(asked.study, asked.folder)
    except ConvrnnError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def write_page(folder: Path, out: Path) -> None:
    """Raises `DataError` where the folder is not that of a finished study of the articles."""
    study = read_study(folder)
    if study.claims is None or study.statistics is None:
        raise DataError(str(folder), "has no claims, or no statistics yet", "give what `convrnn compare articles` wrote, once it is done")
    out.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        write(out / name, (folder / name).read_text(encoding="utf-8"))
    for file, language in PAGES.items():
        with speaking(language):
            write(out / file, page(study, study.claims, study.statistics))


def page(study: Study, claims: Json, statistics: Json) -> str:
    """The page in Markdown, in the language of the context."""
    said = [line for each in verdict(statistics) for line in (each.headline, *each.holds)]
    board = "\n".join(leaderboard(study))
    parts = [f"# {study.name}", f"```\n{study.command}\n```", f"## {tr('The claims')}", markdown(claims).rstrip()]
    parts += [f"## {tr('Leaderboard')}", f"```text\n{board}\n```", *said]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
