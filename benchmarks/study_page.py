"""The page of the study `articles` and what it rests on: `python benchmarks/study_page.py STUDY docs/studies/articles`.

Writes README.md and README.zh-CN.md, the report in both languages, three pictures of it and the raw tables; `--readme` writes the table of
the READMEs of the project too. Trains nothing and computes no statistic.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pages import filled

from convrnn.core.errors import ConvrnnError, DataError
from convrnn.core.files import write
from convrnn.core.language import Language, both, speaking, spoken, tr
from convrnn.core.terms import named
from convrnn.report import leaderboard, read_study, render_study, verdict
from convrnn.report.records import Json
from convrnn.report.study_claims import markdown, summary
from convrnn.report.study_records import Study

TABLES = ("study.json", "results.jsonl", "costs.jsonl", "gradients.jsonl", "statistics.json", "claims.json")

ROOT = Path(__file__).resolve().parents[1]
MARK = "study"
"""Of the table in the READMEs."""

WAYS = {
    "cnn": "",
    "tcn": "",
    "bigru": "",
    "cnn-lstm": "1",
    "parallel-cnn-lstm": "2",
    "crnn": "3",
    "gate-cnn-lstm": "4",
}
"""Of the table of the READMEs: the halves, and the ways to join them by number."""

SHOWN = ("JapaneseVowels", "PLAID", "trec6", "zh_reviews", "digits", "fsdd", "splice")
"""The sets of that table."""


class Prose(NamedTuple):
    """What a page says around its tables; `{}` as in the functions that fill it; `pictures` are those of the report that it
    shows, with what they are."""

    file: str
    report: str
    other: str
    title: str
    opening: str
    spent: str
    tables: str
    data: str
    by_set: str
    deviation: str
    bold: str
    asked: str
    ways: str
    kinds: Mapping[str, str]
    pictures: Mapping[str, str]


PROSE: dict[Language, Prose] = {
    "en": Prose(
        "README.md",
        "report.html",
        "[中文](README.zh-CN.md)",
        "Which model, joined how? A study of five articles",
        "Models that [five articles](../../articles.md) are about, trained on the same rows at the same number of parameters, each with "
        "the same number of learning rates tried on validation rows, and what those articles claim, each claim with an experiment and a "
        "rule that was written down before it was run ([how](../../comparing.md#the-study-of-the-articles)). Every figure below comes "
        "from the raw tables beside this page, the hours from the records of the trainings; nobody typed one. What may be read from "
        "them, and what not: [results](../../results.md#the-study-of-the-articles).",
        "{runs:,} trainings, {hours:.1f} hours of one core in all. DIR holds "
        "[these sets](../../results.md#where-the-data-come-from); without it the part is run that needs no download.",
        "Raw tables: {tables}. The whole report, with learning curves, gradients by distance and all pairs: [{report}]({report}) "
        "(save it and open it in a browser).",
        "The data",
        "By set",
        "Mean and standard deviation over {seeds} seeds.",
        "Bold: the highest mean of a set, which says nothing of whether it is ahead.",
        "| set | kind | rows to learn from, to watch, to measure on | classes | figure | parameters | options |",
        "| way | model |",
        {"series": "series", "text": "text", "image": "pictures", "audio": "audio"},
        {
            "ranks-0": "Average ranks of the models over the sets; a bar joins those that cannot be told apart",
            "means-0": "Mean of each model with its interval",
            "cost-0-train_seconds": "Mean of each model against the time of a training; the line joins what no other model beats in both",
        },
    ),
    "zh": Prose(
        "README.zh-CN.md",
        "report.zh-CN.html",
        "[English](README.md)",
        "用哪个模型，怎样结合？对五篇文章的检验",
        "[五篇文章](../../articles.zh-CN.md)所讲的模型，用同样的数据、同样多的参数来训练，各自在验证集上试同样多个学习率；文章里的每个论断都有一个实验和一条事先写好的"
        "判定规则（[做法](../../comparing.zh-CN.md)）。下面的每个数都出自本页旁边的原始表格（小时数出自各次训练的记录），没有一个是手写的。"
        "能从中读出什么、不能读出什么，见[结果](../../results.md#the-study-of-the-articles)。",
        "共 {runs:,} 次训练，单核合计 {hours:.1f} 小时。DIR 是放着"
        "[这些数据集](../../results.md#where-the-data-come-from)的文件夹；没有它，就只做不需下载的那一部分。",
        "原始表格：{tables}。完整报告（学习曲线、梯度随距离的变化、所有两两比较）：[{report}]({report})（下载后用浏览器打开）。",
        "数据",
        "各数据集",
        "{seeds} 个种子的均值和标准差。",
        "粗体是该数据集上最高的均值，这并不说明它确实领先。",
        "| 数据集 | 类型 | 训练、验证、测试的行数 | 类别 | 指标 | 参数 | 选项 |",
        "| 方式 | 模型 |",
        {"series": "序列", "text": "文本", "image": "图像", "audio": "音频"},
        {
            "ranks-0": "各模型在所有数据集上的平均名次；横线连接的是分不出高下的模型",
            "means-0": "各模型的均值及区间",
            "cost-0-train_seconds": "各模型的均值与一次训练的时间；连线上的模型没有被别的模型在两方面同时超过",
        },
    ),
}


def main() -> int:
    """Both pages and the tables; of a folder that has none of them one line on standard error, and exit status 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="what `convrnn compare articles` wrote")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readme", action="store_true", help="the table of README.md and README.zh-CN.md too")
    asked = parser.parse_args()
    try:
        write_page(asked.study, asked.folder)
        if asked.readme:
            write_readmes(asked.folder)
    except ConvrnnError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def write_page(folder: Path, out: Path) -> None:
    """Writes all of the page, and the report of the study anew, which stays in English.

    Raises:
        DataError: the folder is not that of a finished study of the articles.
    """
    study = read_study(folder)
    if study.claims is None or study.statistics is None:
        raise DataError(str(folder), "has no claims, or no statistics yet", "give what `convrnn compare articles` wrote, once it is done")
    (out / "plots").mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        write(out / name, (folder / name).read_text(encoding="utf-8"))
    for language in ("zh", "en"):
        prose = PROSE[language]
        with speaking(language):
            write(out / prose.report, render_study(folder).read_bytes())
            shown = [picture for picture in prose.pictures if (folder / "plots" / f"{picture}.png").exists()]
            for picture in shown:
                write(out / "plots" / _picture(picture, language), (folder / "plots" / f"{picture}.png").read_bytes())
            write(
                out / prose.file,
                page(
                    study,
                    study.claims,
                    study.statistics,
                    prose,
                    [f"![{prose.pictures[each]}](plots/{_picture(each, language)})" for each in shown],
                ),
            )


def _picture(name: str, language: Language) -> str:
    return f"{name}.png" if language == "en" else f"{name}.{language}.png"


def page(study: Study, claims: Json, statistics: Json, prose: Prose, pictures: Sequence[str]) -> str:
    """The page in Markdown, in the language of the context.

    Args:
        study: finished.
        claims: its verdicts.
        statistics: its means and tests.
        prose: of that language.
        pictures: in Markdown.
    """
    said = [line for each in verdict(statistics) for line in (each.headline, *each.holds)]
    seconds = list(_seconds(study))
    spent = prose.spent.format(runs=len(seconds), hours=sum(seconds) / 3600) if seconds else ""
    files = both([f"[{name}]({name})" for name in TABLES])
    parts = [f"# {prose.title}", prose.other, prose.opening, "```\nconvrnn compare articles --data DIR\n```", spent]
    parts += [f"## {tr('The claims')}", summary(claims).rstrip(), markdown(claims).rstrip()]
    parts += [f"## {tr('Leaderboard')}", "```text\n{}\n```".format("\n".join(leaderboard(study))), *said]
    parts += pictures
    parts += [f"## {prose.by_set}", *(_means(family, prose) for family in statistics["families"])]
    parts += [f"## {prose.data}", _sets(study, prose), prose.tables.format(tables=files, report=prose.report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _seconds(study: Study) -> Iterator[float]:
    """How long each training took, trials included."""
    for path in sorted(study.folder.glob("runs/**/metrics.json")):
        yield json.loads(path.read_text(encoding="utf-8"))["seconds"]["train"]


def _means(family: Json, prose: Prose) -> str:
    """Mean and deviation of each model on each set, the sets as rows: they may be many."""
    cells = {(each["set"], each["arm"]): each for each in family["cells"]}
    higher = family["better"] == "higher"
    lines = [f"| {named(family['metric'])} | {' | '.join(family['arms'])} |", "| --- |" + " ---: |" * len(family["arms"])]
    for name in family["sets"]:
        means = [cells[name, arm]["mean"] for arm in family["arms"] if (name, arm) in cells]
        best = max(means) if higher else min(means)
        lines.append(f"| {name} | " + " | ".join(_cell(cells.get((name, arm)), best) for arm in family["arms"]) + " |")
    spread = [prose.deviation.format(seeds=family["seeds"])] if family["seeds"] > 1 else []
    return "\n".join(lines) + "\n\n" + _joined([*spread, prose.bold])


def _cell(found: Json | None, best: float) -> str:
    if found is None:
        return "–"
    spread = "" if found["deviation"] is None else f" ± {found['deviation']:.3f}"
    said = f"{found['mean']:.3f}{spread}"
    return f"**{said}**" if f"{best:.3f}" == f"{found['mean']:.3f}" else said


def _sets(study: Study, prose: Prose) -> str:
    """What each set is, from the plan."""
    lines = [prose.asked, "|" + " --- |" * 7]
    metric = {each.set: each.metric for each in study.results}
    for each in json.loads((study.folder / "study.json").read_text(encoding="utf-8"))["sets"]:
        rows = " + ".join(f"{count:,}" for count in (each.get("parts") or {}).values())
        options = ", ".join(f"{key}={value}" for key, value in (each.get("options") or {}).items())
        budget = f"{each['budget']:,}" if each.get("budget") else "–"
        kind = prose.kinds.get(each["kind"], each["kind"])
        figure = named(metric[each["name"]]) if each["name"] in metric else "–"
        lines.append(f"| {each['name']} | {kind} | {rows} | {each['classes'] or '–'} | {figure} | {budget} | {options} |")
    return "\n".join(lines)


def write_readmes(folder: Path, root: Path = ROOT) -> None:
    """The table of both READMEs of the project, between its marks.

    Args:
        folder: of the page: what a reader can look up is what the table is made of.
        root: of the project.
    """
    for language, prose in PROSE.items():
        path = root / prose.file
        text = path.read_text(encoding="utf-8")
        with speaking(language):
            write(path, filled(text, MARK, table(json.loads((folder / "statistics.json").read_text(encoding="utf-8")), prose)))


def table(statistics: Json, prose: Prose) -> str:
    """Halves and ways by set, and what the study says of them all, in the language of the context."""
    cells = {(each["set"], each["arm"]): each for family in statistics["families"] for each in family["cells"]}
    sets = [name for name in SHOWN if any(of == name for of, _ in cells)]
    lines = [f"{prose.ways} {' | '.join(sets)} |", "| --- | --- |" + " ---: |" * len(sets)]
    best = {name: max(each["mean"] for (of, arm), each in cells.items() if of == name and arm in WAYS) for name in sets}
    for arm, way in WAYS.items():
        lines.append(f"| {way} | `{arm}` | " + " | ".join(_cell(cells.get((name, arm)), best[name]) for name in sets) + " |")
    said = [prose.bold, *(line for each in verdict(statistics) for line in (each.headline, *each.holds))]
    return "\n".join(lines) + "\n\n" + _joined(said)


def _joined(sentences: Sequence[str]) -> str:
    return ("" if spoken() == "zh" else " ").join(sentences)


if __name__ == "__main__":
    sys.exit(main())
