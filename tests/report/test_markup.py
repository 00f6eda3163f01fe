"""Elements and tables as they stand in the page."""

from __future__ import annotations

from convrnn.report.markup import Column, Markup, escape, table, tag


def test_children_are_escaped_unless_they_are_markup() -> None:
    assert tag("td.number.big", "3 < 4", tag("b", '"'), attributes={"title": '"&'}) == (
        '<td class="number big" title="&quot;&amp;">3 &lt; 4<b>&quot;</b></td>'
    )


def test_what_html_must_not_hold_is_replaced() -> None:
    assert escape("a\x00b\ud800\n中") == "a\ufffdb\ufffd\n中"


def test_a_table_names_its_columns_and_rows() -> None:
    page = table([Column("class"), Column("rows", True)], [["a", "1"], ["<b>", "2"]])
    assert '<th class="number" scope="col">rows</th>' in page
    assert '<tr><th scope="row">&lt;b&gt;</th><td class="number">2</td></tr>' in page


def test_an_image_has_no_end() -> None:
    assert tag("img", attributes={"alt": "x"}) == Markup('<img alt="x">')
