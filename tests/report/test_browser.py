"""The pages of a report in a real browser: quiet, whole at any width, readable, nothing fetched."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import browser
from support.cost_cases import DRAWS, a_case, decided
from support.report_facts import COST, OUTCOME, a_stage, an_example, but

from llamaduo.charts import svg
from llamaduo.outcome.runs import Named, known, read
from llamaduo.report import compare, sheets
from llamaduo.report.page import write_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(browser.chromium() is None, reason="no Chromium on this machine"),
]

PAGES = ("rich", "single", "panel", "compared")
WIDTHS = (360, 1400)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with browser.running(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def axe(request: pytest.FixtureRequest) -> str:
    try:
        return browser.axe_core(request.config.cache.mkdir("axe"))
    except OSError as error:
        pytest.skip(f"no axe-core: {error}")


@pytest.fixture(scope="module")
def pages(ended_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind: made up with all that can be shown, of real runs, and compared."""
    folder = tmp_path_factory.mktemp("pages")
    dear = {"value": 10_000_000, "low": 6_000_000, "high": 20_000_000}
    cost = COST.model_copy(update={"decision": decided(a_case(input_tokens=dear), draws=DRAWS)})
    long = "Donaudampfschifffahrtsgesellschaftskapitän" * 4
    rich = but(
        cost=cost,
        name=f"rich {long}"[:90],
        examples=(an_example(prompt=long), an_example(prompt="اتصل بالمستودع قبل الظهر " * 9)),
        stages=(*OUTCOME.stages, a_stage("infer", fingerprint="f" * 16, label=long)),
        config={**OUTCOME.config, "long": {"key": long}},
    )
    folders = known(ended_runs / "reports")
    runs = [Named("ABCD"[n], read(one)) for n, one in enumerate(folders)]
    by_name = {run.outcome.name: run.outcome for run in runs}
    svg.write(sheets.of_run(by_name["panel"]), folder / "figures")
    return {
        "rich": write_page(rich, folder),
        "single": write_page(by_name["first"], folder),
        "panel": write_page(by_name["panel"], folder),
        "compared": compare.write(runs, folder),
        "figures": folder / "figures",
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_whole_and_readable(
    name: str, width: int, dark: bool, address: str, pages: dict[str, Path], axe: str
) -> None:
    seen = browser.look(address, pages[name], width=width, dark=dark, axe=axe)
    assert seen.dark == dark
    assert seen.complaints == []
    assert seen.requests == [pages[name].as_uri()]
    assert seen.scroll_width <= width
    assert seen.cut_off == []
    assert seen.violations == []
    assert {"color-contrast", "document-title", "html-has-lang"} <= set(seen.passes)


@pytest.mark.parametrize("name", ["rounds", "spread", "density", "volume", "cost"])
def test_a_chart_as_a_file_is_quiet_and_whole(
    name: str, address: str, pages: dict[str, Path]
) -> None:
    path = pages["figures"] / f"{name}.svg"
    seen = browser.look(address, path, width=1400, dark=True)
    assert seen.complaints == []
    assert seen.requests == [path.as_uri()]
    assert seen.cut_off == []


def test_what_is_wrong_is_seen(address: str, tmp_path: Path, axe: str) -> None:
    """The eyes that the tests above look with are open."""
    page = tmp_path / "wrong.html"
    page.write_text(
        "<!doctype html><body style='width:900px;color:#aaa;background:#fff'>"
        "<div style='width:90px;overflow:hidden;white-space:nowrap'>more than fits in here</div>"
        "<svg class='chart' width='50' height='20'><text y='15'>longer than it is</text></svg>"
        "<img src='missing.png'><script>console.error('odd'); throw Error('oops')</script>",
        encoding="utf-8",
    )
    seen = browser.look(address, page, width=360, dark=False, axe=axe)
    assert any("oops" in complaint for complaint in seen.complaints)
    assert any("odd" in complaint for complaint in seen.complaints)
    assert len(seen.requests) == 2
    assert seen.scroll_width > 360
    assert seen.cut_off == ["more than fits in here", "in a chart: longer than it is"]
    found = {violation.partition(":")[0] for violation in seen.violations}
    assert {"color-contrast", "image-alt", "html-has-lang", "document-title"} <= found
