"""The page: its sections, its look, and the plots in it. It loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hvmpi import __version__
from hvmpi.report.html import Markup, element
from hvmpi.report.plot import Plot

__all__ = ["Section", "figure", "page"]

_NAMESPACES = (
    ' xmlns:xlink="http://www.w3.org/1999/xlink"',
    ' xmlns="http://www.w3.org/2000/svg"',
)
"""HTML knows them by itself."""

_REM_OF_INCH = (4.0, 6.7)
"""Of a plot's width, at least and at most."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; left out where it has no content."""

    name: str
    heading: str
    content: Markup


def page(title: str, state: str, sentence: str, sections: Sequence[Section]) -> str:
    """Make the page.

    Parameters
    ----------
    title : str
    state : str
        Of the run, in a word or two.
    sentence : str
        How far it is.
    sections : sequence of Section
    """
    shown = [section for section in sections if section.content]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="generator", content=f"hvmpi {__version__}"),
        element("title", title),
        # A browser would ask for one.
        Markup('<link rel="icon" href="data:,">'),
        element("style", _STYLE),
    )
    badge = element("span", state, class_=f"state {state.replace(' ', '-')}")
    contents = [
        element("li", element("a", section.heading, href=f"#{section.name}")) for section in shown
    ]
    header = element(
        "header",
        element("h1", title, " ", badge),
        element("p", sentence, class_="lead"),
        element("nav", element("ul", *contents), aria_label="Contents"),
    )
    body = element("body", header, element("main", *map(_section, shown)))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Markup:
    heading = f"{section.name}-heading"
    return element(
        "section",
        element("h2", section.heading, id=heading),
        section.content,
        id=section.name,
        aria_labelledby=heading,
    )


def figure(plot: Plot, drawn: Mapping[str, str]) -> Markup:
    """Show a plot with its caption; nothing where it was not drawn.

    Parameters
    ----------
    plot : Plot
    drawn : mapping of str to str
        SVG elements by the names of their plots.
    """
    svg = drawn.get(plot.name)
    if svg is None:
        return Markup()
    for namespace in _NAMESPACES:
        svg = svg.replace(namespace, "", 1)
    named = element("svg", role="img", aria_label=plot.title).partition(">")[0]
    picture = Markup(svg.replace("<svg", named, 1))
    # Text is of one size in all of them, and on a phone not too small to be read.
    least, most = (f"{rem * plot.inches[0]:g}rem" for rem in _REM_OF_INCH)
    width = f"min-width: {least}; max-width: {most}"
    return element(
        "figure",
        element("div", element("div", picture, style=width), class_="picture"),
        element("figcaption", element("strong", plot.title), ". ", plot.caption),
        id=f"plot-{plot.name}",
    )


_STYLE = Markup("""
:root {
  color-scheme: light dark;
  --ground: #ffffff; --panel: #f4f6f9; --line: #d8dee6; --ink: #1a222c; --soft: #55606d;
  --accent: #1f63a8; --good: #22714a; --bad: #b02f26; --warm: #8a5a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #11151b; --panel: #1a2028; --line: #313b47; --ink: #e3e8ee; --soft: #9caab8;
    --accent: #78b4f2; --good: #67c898; --bad: #f28b80; --warm: #e3b35b;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 64rem; padding: 1.5rem 1.25rem 4rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  overflow-wrap: anywhere;
}
h1, h2, h3 { line-height: 1.25; font-weight: 600; }
h1 { margin: 0; font-size: 1.7rem; font-variant-numeric: tabular-nums; }
h2 { margin: 3rem 0 1rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: 1.3rem; }
h3 { margin: 2rem 0 .6rem; font-size: 1.02rem; }
p { margin: .6rem 0; }
.lead { color: var(--soft); }
.state {
  display: inline-block; padding: .1em .6em; border: 1px solid currentColor; border-radius: 1em;
  font-size: .8rem; font-weight: 500; vertical-align: .3em; color: var(--warm);
}
.state.complete { color: var(--good); }
.state.incomplete, .state.cut-short { color: var(--bad); }
a { color: var(--accent); text-underline-offset: .15em; }
a:focus-visible, [tabindex]:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 1rem 0 0; padding: 0; }
nav li { list-style: none; }
dl { margin: 0; }
dd { margin: 0; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .75rem; }
.tiles > div { padding: .7rem .9rem; background: var(--panel); border-radius: .4rem; }
.tiles dt { color: var(--soft); font-size: .8rem; }
.tiles dd { font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.about {
  display: grid; grid-template-columns: 8rem 1fr; gap: .3rem 1rem; margin-top: 1.4rem;
  font-size: .92rem;
}
.about dt { color: var(--soft); }
code, pre { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre {
  margin: .8rem 0 0; padding: .8rem 1rem; overflow-x: auto; overflow-wrap: normal;
  background: var(--panel); border-radius: .4rem;
}
.scroll { overflow-x: auto; margin: 1.8rem 0; }
table {
  border-collapse: collapse; min-width: 100%; font-size: .88rem; overflow-wrap: normal;
  font-variant-numeric: tabular-nums;
}
caption { padding-bottom: .5rem; font-weight: 600; text-align: left; }
th, td {
  padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; font-weight: 400;
}
th:last-child, td:last-child { padding-right: 0; }
tbody th { white-space: nowrap; }
thead th { color: var(--soft); font-size: .75rem; letter-spacing: .04em; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.number + :not(.number) { padding-left: 1.2rem; }
figure { margin: 1.8rem 0; }
.picture { overflow-x: auto; }
.picture svg { display: block; width: 100%; height: auto; }
summary { cursor: pointer; color: var(--accent); font-size: .92rem; }
figcaption { margin-top: .5rem; color: var(--soft); font-size: .88rem; }
.gallery {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr));
  gap: 0 2rem;
}
.gallery figure { min-width: 0; }
figcaption strong { color: var(--ink); font-weight: 600; }
.failure { margin: 1.2rem 0; padding-left: 1rem; border-left: 3px solid var(--bad); }
.failure h3 { margin-top: 0; }
@media (max-width: 36rem) {
  body { padding: 1rem .9rem 3rem; }
  .about { grid-template-columns: 1fr; gap: 0; }
  .about dd { margin-bottom: .6rem; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  tbody th { white-space: normal; min-width: 7rem; }
  td:not(.number) { min-width: 8rem; }
}
@media print {
  :root {
    color-scheme: light;
    --ground: #ffffff; --panel: #f4f6f9; --line: #cccccc; --ink: #000000; --soft: #444444;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  figure, article, tr, .tiles { break-inside: avoid; }
  .scroll { overflow: visible; }
  pre { white-space: pre-wrap; }
}
""")
