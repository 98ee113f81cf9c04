"""Pieces of HTML: what others wrote stays text."""

from __future__ import annotations

from hvmpi.report.html import Markup, element, joined, table


def test_text_of_others_is_escaped_wherever_it_stands() -> None:
    evil = "<script>alert('1')</script> & \"quoted\""
    told = element("p", evil, title=evil)
    assert "<script" not in told
    assert told.count("&lt;script&gt;") == 2
    assert '"quoted"' not in told
    assert evil not in table(evil, (evil,), [(evil,)])


def test_markup_is_taken_as_it_is() -> None:
    assert element("p", element("b", "x"), Markup("<br>")) == "<p><b>x</b><br></p>"
    assert joined(["a < b", Markup("<br>")]) == "a &lt; b<br>"


def test_what_steers_a_terminal_and_what_is_no_text_stands_as_its_code() -> None:
    told = element("p", "red \x1b[31m, a byte \udcff")
    assert told == "<p>red \\x1b[31m, a byte \\udcff</p>"
    told.encode("utf-8")


def test_attributes_have_the_names_of_html() -> None:
    assert element("td", "1", class_="number", aria_label="one", id="") == (
        '<td class="number" aria-label="one">1</td>'
    )


def test_a_table_names_its_columns_and_rows() -> None:
    made = table("Hosts", ("HOST", "RANKS"), [("tev01", "8")], right=("RANKS",))
    assert "<caption>Hosts</caption>" in made
    assert '<th scope="col" class="number">RANKS</th>' in made
    assert '<th scope="row">tev01</th><td class="number">8</td>' in made
