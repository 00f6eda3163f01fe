"""The answers of a model beside those of a constant, row by row, in a sentence. Knows scores and language; draws nothing."""

from __future__ import annotations

from convrnn.core.language import tr
from convrnn.core.numerals import decimal, percent
from convrnn.report.markup import SLOTS, Markup, fill, tag
from convrnn.report.scores import Classified, Regressed


def majority(scores: Classified, places: int) -> Markup:
    """Who is right where model and most frequent class differ, and what that proves; shares with so many decimal places."""
    common, hits = scores.majority
    duel = scores.duel()
    verdicts = {
        "better": tr("the model is better."),
        "worse": tr("the model is worse."),
        "open": tr("these rows cannot tell which is better."),
    }
    said = tr(
        "Always answering the most frequent class, {common}, would be right in {share}. Where only one of the two is right, it is the "
        "model in {gained:,} rows and that answer in {lost:,} (exact McNemar test, {p}): {verdict}",
        common=SLOTS[0],
        share=percent(hits / scores.rows, places),
        gained=duel.gained,
        lost=duel.lost,
        p="p < 0.001" if duel.p < 0.001 else f"p = {duel.p:.3g}",
        verdict=verdicts[duel.verdict],
    )
    return fill(said, tag("b", common))


def median(scores: Regressed) -> str:
    """By how much the model's errors differ from those of the median, and what that proves."""
    return tr(
        "Always answering the median of these rows would have {baseline}: {verdict}",
        baseline=decimal(scores.baseline),
        verdict=_paired(scores),
    )


def _paired(scores: Regressed) -> str:
    gain = scores.gain()
    if gain is None:
        return tr("one row cannot tell which is better.")
    if gain.low > 0:
        return tr(
            "the model's errors are smaller by {low} to {high} a row (95\u202f% interval of the mean difference): it is better.",
            low=decimal(gain.low),
            high=decimal(gain.high),
        )
    if gain.high < 0:
        return tr(
            "the model's errors are larger by {low} to {high} a row (95\u202f% interval of the mean difference): it is worse.",
            low=decimal(-gain.high),
            high=decimal(-gain.low),
        )
    return tr(
        "the model's errors are smaller by {low} to {high} a row (95\u202f% interval of the mean difference, negative where larger): "
        "these rows cannot tell which is better.",
        low=decimal(gain.low),
        high=decimal(gain.high),
    )
