"""Charts as SVG files with their looks inside, and for those who ask, as PDF and PNG made of them.

A page draws the same charts with the same template; only its colours come from elsewhere.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from llamaduo.base.errors import ConfigError
from llamaduo.base.files import write_atomically
from llamaduo.charts.shapes import Chart

FOLDER = Path(__file__).parent  # of the template and the looks
COLUMNS, EDGE, GAP = 2, 16, 24
DPI = 200
CSS_DPI = 96  # pixels of SVG in an inch
#: Characters that no XML may have, not even escaped.
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def environment(*folders: Path) -> Environment:
    """Return Jinja's environment for templates in these folders and the drawing of charts."""
    return Environment(
        loader=FileSystemLoader([*folders, FOLDER]),
        # Prompts, answers and names are other people's text: all of it is escaped.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def sheet(charts: Sequence[Chart], columns: int = COLUMNS) -> str:
    """Return charts beside and below one another as one SVG document; same charts, same text."""
    columns = min(columns, len(charts))
    wide = max(chart.width for chart in charts)
    placed, y = [], EDGE
    for start in range(0, len(charts), columns):
        row = charts[start : start + columns]
        placed += [(EDGE + place * (wide + GAP), y, chart) for place, chart in enumerate(row)]
        y += max(chart.whole for chart in row) + GAP
    text = (
        _environment()
        .get_template("sheet.svg.j2")
        .render(
            placed=placed,
            width=2 * EDGE + columns * wide + (columns - 1) * GAP,
            height=y - GAP + EDGE,
            styles=Markup(styles()),  # the project's own text, with quotes
        )
    )
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


@cache
def _environment() -> Environment:
    return environment()


@cache
def styles() -> str:
    """Return the looks of charts with the light colours written in, and one generic font."""
    text = (FOLDER / "chart.css").read_text(encoding="utf-8")
    light, _, rules = text.partition("@media")
    colours = dict(re.findall(r"(--\w+): (#\w+);", light))
    rules = rules[rules.index(".chart") :]
    rules = re.sub(r"font-family: [^;]+;", "font-family: sans-serif;", rules)
    return re.sub(r"var\((--\w+)\)", lambda name: colours[name[1]], rules).strip()


def write(sheets: Mapping[str, Sequence[Chart]], folder: Path, *, also: bool = False) -> list[Path]:
    """Write a file for each sheet that has charts: `<name>.svg`, with `also` PDF and PNG of it too.

    Returns the paths that were written.

    Raises:
        ConfigError: `also`, and the library that makes them is not installed; see `can_convert`.
    """
    if also:
        can_convert()
    written = []
    for name, charts in sheets.items():
        if not charts:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        text = sheet(charts)
        written.append(folder / f"{name}.svg")
        write_atomically(written[-1], text)
        if also:
            import vl_convert

            for end, content in (
                ("pdf", vl_convert.svg_to_pdf(text)),
                ("png", vl_convert.svg_to_png(text, scale=DPI / CSS_DPI)),
            ):
                written.append(folder / f"{name}.{end}")
                written[-1].write_bytes(content)
    return written


def can_convert() -> None:
    """Refuse where the library that makes PDF and PNG of an SVG is not installed."""
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        raise ConfigError(
            "figures=true: PDF and PNG are made by vl-convert-python, which is not installed. "
            "Install it with: pip install 'llamaduo[figures]' (the SVG files need nothing)"
        ) from None
