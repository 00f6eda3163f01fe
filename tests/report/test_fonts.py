"""Chinese in figures with a font and without one: never a box."""

from __future__ import annotations

import io

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from convrnn.core.columns import width
from convrnn.report import figures
from convrnn.report.fonts import CHINESE, LATIN, LONGEST, Lettering

NONE = Lettering.find(())


def test_without_a_chinese_font_names_become_numbers() -> None:
    assert NONE.families == (LATIN,)
    assert not NONE.draws("好评")
    assert NONE.axis(["好评", "bad"]) == (("1", "2"), True)


def test_names_that_can_be_drawn_stay() -> None:
    assert NONE.axis(["Zürich", "$x^2$", "α → β"]) == (("Zürich", "$x^2$", "α → β"), False)


def test_line_ends_in_a_name_become_spaces() -> None:
    assert NONE.axis(["a\n b", "c"]).labels == ("a b", "c")


def test_long_names_are_cut_unless_they_would_look_the_same() -> None:
    long = "a class of a very long name"
    labels, numbered = NONE.axis([long, "b"])
    assert not numbered and labels[0].endswith("…") and width(labels[0]) <= LONGEST
    assert NONE.axis([long + " one", long + " two"]) == (("1", "2"), True)


@pytest.mark.parametrize("name", ["", " ", "\x07", "שלום", "emoji \U0001f9ff"])
def test_what_cannot_be_drawn_is_numbered(name: str) -> None:
    assert NONE.axis([name, "b"]).numbered


def test_a_chinese_character_is_two_columns_wide() -> None:
    assert width("好a") == 3


def test_a_candidate_that_is_installed_is_used_whatever_its_place_in_the_list() -> None:
    assert Lettering.find(("No Such Font", "DejaVu Serif")).families == (LATIN, "DejaVu Serif")


def test_what_a_lettering_says_it_draws_it_draws_without_a_warning() -> None:
    """On a machine with a Chinese font this draws Chinese; warnings are errors, so a missing glyph would fail."""
    found = Lettering.find()
    installed = {font.name for font in font_manager.fontManager.ttflist}
    assert (len(found.families) == 2) == (not installed.isdisjoint(CHINESE))
    names = ["好评", "差评", "中性"]
    labels, numbered = found.axis(names)
    assert numbered == (len(found.families) == 1)
    with figures.style(found):
        figure = Figure()
        figure.text(0.1, 0.5, " ".join(labels))
        figure.savefig(io.BytesIO(), format="png")


def test_an_unchecked_name_would_warn() -> None:
    """The witness that the test above can fail: matplotlib warns of a box, and warnings are errors."""
    with figures.style(NONE):
        figure = Figure()
        figure.text(0.1, 0.5, "好评")
        with pytest.warns(UserWarning, match="missing from font"):
            figure.savefig(io.BytesIO(), format="png")
