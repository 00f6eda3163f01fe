"""From the folder of a study to its report: reads the records, draws, writes `report.html` and `plots/*.png`. The page has its order here.

Needs matplotlib, which is imported when a report is asked for and not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convrnn.core.language import speaking, tr
from convrnn.report import html, study_claims as claims, study_page as page, study_words as words
from convrnn.report.markup import SLOTS, Markup, fill, join, tag
from convrnn.report.records import Json
from convrnn.report.render import Plates, drawing_room, lettered, save
from convrnn.report.study_records import Result, Study, read_study

if TYPE_CHECKING:
    from convrnn.report.fonts import Lettering
    from convrnn.report.study_figures import Drawing, Look

RANKED = 5  # sets from which average ranks are drawn; of fewer they say nothing of the models
DRAWN = ("parameters", "multiply_adds", "latency_ms", "train_seconds")  # the costs that get a picture; the table has all


def render_study(folder: str | Path, *, lettering: Lettering | None = None) -> Path:
    """Writes the report of a study: `report.html`, one file that needs nothing else, and its figures as `plots/*.png`.

    Args:
        folder: what `convrnn compare` wrote; the study may still be going on.
        lettering: the fonts of the figures; by default a Chinese font is used if the machine has one.

    Returns:
        The path of `report.html`.

    Raises:
        UsageError: matplotlib is not installed.
        DataError: the folder is no study folder, or a record is damaged; nothing was written.
        JobError: a file cannot be read or written.
    """
    figures = drawing_room()
    from convrnn.report.fonts import Lettering
    from convrnn.report.study_figures import looks

    study = read_study(folder)
    letters = lettering or Lettering.find()
    with figures.style(letters):
        leading = study.leading()
        look = looks([arm.name for arm in leading.arms], letters)
        with speaking(letters.language()):
            plates = Plates({drawing.name: drawing for drawing in _draw(leading, look)})
        foot = fill(
            tr("Written by convrnn from the records of the study {folder}.", folder=SLOTS[0]), tag("code", study.folder.resolve().name)
        )
        text = html.document(study.name, _sections(study, look, letters, plates), foot)
        pictures = plates.files()
    return save(study.folder, text, pictures)


def _sections(study: Study, look: dict[str, Look], letters: Lettering, plates: Plates) -> list[Markup]:
    from convrnn.report.study_figures import swatch

    families, leading = _families(study), study.leading()
    swatches = {arm: swatch(each) for arm, each in look.items()}
    key = page.key(list(look), swatches, letters.axis(list(look)).numbered)
    verdicts = words.verdict(study.statistics) if study.statistics else []
    means = [_means(number, family, study, swatches, plates) for number, family in enumerate(families)]
    apart = [_apart(number, family, plates) for number, family in enumerate(families)]
    prices = [plates.show(f"cost-{number}-{name}") for number in range(len(families)) for name in DRAWN]
    heat = [join([page.by_set(family), page.by_class(leading, family)]) for family in families]
    curves = [plates.show(f"curves-{number}", heading=each.name) for number, each in enumerate(study.sets)]
    fading = [plates.show(f"gradients-{number}", heading=each.name) for number, each in enumerate(study.sets)]
    return [
        page.headline(study, verdicts),
        lettered(letters),
        html.section(tr("The claims"), claims.section(study.claims) if study.claims else Markup()),
        html.section(tr("Leaderboard"), *means),
        html.section(tr("Which models differ"), *apart),
        html.section(tr("By data set and class"), *heat),
        html.section(
            tr("What they cost"),
            _plots(key, prices, tr("Up and to the left is better; the line joins the models that no other beats in both.")),
            *(page.costs_of(study, family, swatches) for family in families),
        ),
        html.section(
            tr("Learning curves"),
            _plots(
                key,
                curves,
                tr("Strong: the median of the trainings of a model; faint: each of them. On the rows held out of training to watch it."),
            ),
        ),
        html.section(
            tr("How far back the gradient reaches"),
            _plots(key, fading, tr("Strong: after training; faint: before. A line that falls is a memory that fades.")),
        ),
        html.section(tr("What was compared"), page.compared(study)),
        html.section(tr("Commands"), page.commands(study)),
    ]


def _families(study: Study) -> Sequence[Json]:
    return study.statistics["families"] if study.statistics else ()


def _plots(key: Markup, shown: Sequence[Markup], caption: str) -> Markup:
    """Pictures with the key over them; nothing where there is none."""
    return join([tag("p.under", caption), key, tag("div.plots", *shown)]) if any(shown) else Markup()


def _means(number: int, family: Json, study: Study, swatches: dict[str, Markup], plates: Plates) -> Markup:
    return join([page.leaderboard(family, study.costs, swatches), tag("div.plots", plates.show(f"means-{number}"))])


def _apart(number: int, family: Json, plates: Plates) -> Markup:
    caption = tr(
        "Average ranks over {sets} sets, 1 the best. A bar joins models of which no two can be told apart.", sets=len(family["sets"])
    )
    if family["scope"] != "sets":
        caption += " " + tr(
            "Pairs were tested over seeds and test rows of these sets, not by ranks: two without a common bar may still be alike, the "
            "pairs below tell."
        )
    return join([plates.show(f"ranks-{number}", caption, wide=True), page.pairs(family)])


def _draw(study: Study, look: dict[str, Look]) -> list[Drawing]:
    from convrnn.report import study_figures as figures

    drawn: list[Drawing] = []
    for number, family in enumerate(_families(study)):
        drawn.append(figures.means(family, look)._replace(name=f"means-{number}"))
        ranked = sum(line["rank"] is not None for line in family["leaderboard"])
        if len(family["sets"]) >= RANKED and ranked > 2:
            drawn.append(figures.ranks(family, look)._replace(name=f"ranks-{number}"))
        drawn += _costs(number, family, study, look)
    by_set: dict[str, list[Result]] = {}
    for result in study.results:
        by_set.setdefault(result.set, []).append(result)
    for number, each in enumerate(study.sets):
        trained = [figures.Curve(result.arm, epochs) for result in by_set.get(each.name, ()) if (epochs := study.epochs(result))]
        if trained:
            drawn.append(figures.curves(f"curves-{number}", by_set[each.name][0].metric, trained, look))
        fading = [gradient for gradient in study.gradients if gradient.set == each.name]
        if fading:
            drawn.append(figures.gradients(f"gradients-{number}", fading, look))
    return drawn


def _costs(number: int, family: Json, study: Study, look: dict[str, Look]) -> list[Drawing]:
    """Quality against each cost, of the models that ran on every set."""
    from convrnn.report import study_figures as figures

    drawn = []
    everywhere = [line for line in family["leaderboard"] if line["sets"] == len(family["sets"])]
    for price in page.PRICES:
        paid = {line["arm"]: getattr(words.overall(study.costs, line["arm"], family["sets"]), price.field) for line in everywhere}
        if price.field in DRAWN and len(paid) > 1 and None not in paid.values():
            priced = [figures.Priced(line["arm"], paid[line["arm"]], line["mean"]) for line in everywhere]
            front = _front(priced, family["better"] == "higher")
            title = _titled(price)
            drawn.append(figures.costs(f"cost-{number}-{price.field}", title, family["metric"], family["better"], priced, front, look))
    return drawn


def _titled(price: page.Price) -> str:
    """The name of a cost with its unit, for an axis."""
    unit = {"latency_ms": "ms", "train_seconds": "s"}.get(price.field)
    return price.name() if unit is None else tr("{cost}, {unit}", cost=price.name(), unit=unit)


def _front(priced: Sequence[tuple[str, float, float]], higher: bool) -> list[str]:
    """The arms that no other beats in cost and quality both (Pareto's front)."""
    sign = 1 if higher else -1
    kept: list[tuple[str, float, float]] = []
    for each in sorted(priced, key=lambda each: (each[1], -sign * each[2])):
        if not kept or sign * each[2] > sign * kept[-1][2]:
            kept.append(each)
    return [arm for arm, _, _ in kept]
