"""From a run folder to its report: reads the records, draws, writes `report.html` and `plots/*.png`. The order of the page is here.

Needs matplotlib, which is imported when a report is asked for and not before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from convrnn.core.errors import JobError, UsageError
from convrnn.core.files import write
from convrnn.core.language import speaking, spoken, tr
from convrnn.report import curves, html, records, scores
from convrnn.report.markup import Markup, join, tag
from convrnn.report.records import Inner, Run
from convrnn.report.scores import Classified, Regressed

if TYPE_CHECKING:
    from convrnn.report.figures import Drawing
    from convrnn.report.fonts import Lettering

WIDE = 12  # classes from which a confusion matrix takes the width of the page


def render(run_dir: str | Path, *, lettering: Lettering | None = None) -> Path:
    """Writes the report of a run: `report.html`, one file that needs nothing else, and its figures as `plots/*.png`.

    Args:
        run_dir: the folder that a training wrote; it may still be going on.
        lettering: the fonts of the figures; by default a Chinese font is used if the machine has one.

    Returns:
        The path of `report.html`.

    Raises:
        UsageError: matplotlib is not installed.
        DataError: the folder is no run folder, or a record is damaged; nothing was written.
        JobError: a file cannot be read or written.
    """
    figures = drawing_room()
    from convrnn.report.fonts import Lettering

    place = Path(run_dir)
    run = records.read(place)
    with figures.style(letters := lettering or Lettering.find()):
        text, pictures = _compose(run, letters)
    return save(place, text, pictures)


def heatmap(inner: Inner) -> bytes:
    """The inner values of a layer over the input, as the content of a PNG file.

    Raises:
        UsageError: matplotlib is not installed.
    """
    figures = drawing_room()
    from convrnn.report import gates
    from convrnn.report.drawing import png
    from convrnn.report.fonts import Lettering

    with figures.style(letters := Lettering.find()), speaking(letters.language()):
        return png(gates.heat(inner, letters))


def drawing_room() -> ModuleType:
    """The module that draws; raises `UsageError` where matplotlib is not installed."""
    try:
        from convrnn.report import figures
    except ImportError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise UsageError("report", tr("needs matplotlib, which is not installed"), tr('pip install "convrnn[train]"')) from error
    return figures


@dataclass(frozen=True)
class Plates:
    """The figures of a report, by name; drawn once, shown in the page and saved as files."""

    drawings: dict[str, Drawing]

    def show(self, name: str, caption: str = "", heading: str = "", wide: bool = False) -> Markup:
        from convrnn.report.drawing import svg

        return html.plot(svg(self.drawings[name]), caption, heading, wide) if name in self.drawings else Markup()

    def files(self) -> dict[str, bytes]:
        from convrnn.report.drawing import png

        return {f"{name}.png": png(drawing) for name, drawing in self.drawings.items()}


def _compose(run: Run, letters: Lettering) -> tuple[str, dict[str, bytes]]:
    """The page and the bytes of its pictures."""
    result = scores.classified(run) or scores.regressed(run)
    with speaking(letters.language()):
        plates = Plates({drawing.name: drawing for drawing in _draw(run, result, letters)})
    sections = [
        html.headline(run, result),
        lettered(letters),
        html.section(tr("Learning curves"), _curves(run, plates)),
        *_answers(result, plates, letters),
        html.section(tr("Most confident mistakes") if isinstance(result, Classified) else tr("Largest errors"), _mistakes(run)),
        html.section(tr("Inside the recurrence"), _gates(run, result, plates, letters)),
        html.section(tr("Data"), html.data(run)),
        html.section(tr("Model"), html.model(run)),
        html.section(tr("Configuration"), html.configuration(run)),
    ]
    return html.page(run, sections), plates.files()


def lettered(letters: Lettering) -> Markup:
    """Why the figures are in another language than the page, if they are."""
    if letters.language() == spoken():
        return Markup()
    return tag("p.under", tr("This machine has no font with Chinese characters: the letters in the figures are English."))


def _draw(run: Run, result: Classified | Regressed | None, letters: Lettering) -> list[Drawing]:
    from convrnn.report import figures, gates, mistakes

    drawn: list[Drawing | None] = []
    if run.epochs:
        drawn.append(figures.loss(run.epochs, run.steps))
        named = _metric(run)
        drawn.append(figures.metric(run.epochs, named) if named else None)
        drawn.append(figures.rate(run.epochs, run.steps))
    if run.steps:
        drawn.append(figures.norm(run.epochs, run.steps))
    if isinstance(result, Classified):
        drawn += [figures.confusion(result, letters), figures.calibration(result) if result.bins else None]
    elif result is not None:
        drawn += [figures.predicted(result), figures.residuals(result)]
    labels = result.labels if isinstance(result, Classified) else ()
    drawn += [mistakes.grid(run.mistakes, letters, labels), gates.activity(run.gates, letters, labels)]
    return [each for each in drawn if each is not None]


def _metric(run: Run) -> str | None:
    """The metric to draw: the first one that the epochs record beside the loss, accuracy and R² before others."""
    recorded = [name for name in run.epochs[-1].train if name != "loss"]
    return next((name for name in ("accuracy", "r2", *recorded) if name in recorded), None)


def _curves(run: Run, plates: Plates) -> Markup:
    if not run.epochs:
        return Markup()
    said = html.findings(curves.findings(run.epochs, scores.chance_loss(run.task or {}, scores.training_counts(run))))
    return join([said, tag("div.plots", *(plates.show(name) for name in ("loss", "metric", "rate", "norm")))])


def _answers(result: Classified | Regressed | None, plates: Plates, letters: Lettering) -> list[Markup]:
    if result is None:
        return []
    if isinstance(result, Regressed):
        errors = tag(
            "div.plots", plates.show("predicted", tr("On the dashed line predicted and true value are equal.")), plates.show("residuals")
        )
        return [html.section(tr("Answers"), errors)]
    numbered = letters.axis(result.labels).numbered
    wide = len(result.labels) > WIDE
    matrix = plates.show("confusion", html.confusion_caption(result), tr("Confusion matrix"), wide)
    key = html.key(result.labels) if numbered else Markup()
    sure = plates.show("calibration", html.calibration_caption(result) if result.bins else "", tr("Calibration"))
    beside = [html.classes(result, numbered), sure, html.confused(result)]
    first = join([matrix, key]) if wide else Markup()
    return [html.section(tr("Answers"), first, tag("div.plots", *([] if wide else [tag("div", matrix, key)]), *beside))]


def _mistakes(run: Run) -> Markup:
    from convrnn.report import mistakes

    channels = [str(name) for name in (run.data or {}).get("channels") or ()]
    return mistakes.cards(run.mistakes, channels) if run.mistakes else Markup()


def _gates(run: Run, result: Classified | Regressed | None, plates: Plates, letters: Lettering) -> Markup:
    if not run.gates:
        return Markup()
    from convrnn.report import gates

    numbered = isinstance(result, Classified) and letters.axis(result.labels).numbered
    return plates.show("gates", gates.caption(run.gates, numbered), wide=True)


def save(place: Path, text: str, pictures: dict[str, bytes]) -> Path:
    """Writes a report and its pictures; gives the path of the page."""
    plots = place / "plots"
    try:
        plots.mkdir(exist_ok=True)
    except OSError as error:
        raise JobError(
            str(plots), tr("could not be made: {reason}", reason=error.strerror or error), tr("free some space or check its permissions")
        ) from error
    for name, content in pictures.items():
        write(plots / name, content)
    write(place / "report.html", text)
    return place / "report.html"
