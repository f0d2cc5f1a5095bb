"""Runs that were reported on, found again: by id, by name or by the folder of the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llamaduo.base.errors import DataError
from llamaduo.outcome.outcome import Outcome

KEPT = "outcome.json"
NAMED = 20  # runs that a message lists
SHORTEST = 4  # characters of an id: fewer would name a run by accident


@dataclass(frozen=True)
class Named:
    """An outcome and what it is called among those that it is shown with, "" where alone."""

    label: str
    outcome: Outcome


def known(reports: Path) -> list[Path]:
    """List the folders of reports that have an outcome, newest first."""
    folders = [path.parent for path in reports.glob(f"*/{KEPT}")]
    return sorted(folders, key=lambda folder: (-(folder / KEPT).stat().st_mtime, folder.name))


def load(asked: Sequence[str], reports: Path) -> list[Named]:
    """Load the outcomes of the runs that were asked for, called A, B, C … where they are several.

    Each is asked for by a path (the folder of a report, or its outcome.json), by the name of such a
    folder under `reports`, by the start of the run's id, or by the run's name where one run has it.

    Raises:
        DataError: no such run, several runs by that name, or an outcome that cannot be read.
    """
    if not asked:
        folders = known(reports)
        listed = f"known: {_listed(folders)}" if folders else f"there is none under {reports} yet"
        raise DataError(f"runs=[]: name one run or more, or ask for paper=table1; {listed}")
    folders = [_find(word, reports) for word in asked]
    twice = next((word for n, word in enumerate(asked) if folders[n] in folders[:n]), None)
    if twice is not None:
        raise DataError(f"runs: {twice} is named twice; name each run once")
    outcomes = [read(folder) for folder in folders]
    labels = [""] if len(outcomes) == 1 else [letters(n) for n in range(len(outcomes))]
    return [Named(label, outcome) for label, outcome in zip(labels, outcomes, strict=True)]


def letters(number: int) -> str:
    """Return the letters of a number: A, B … Z, AA, AB …"""
    more, last = divmod(number, 26)
    return (letters(more - 1) if more else "") + chr(ord("A") + last)


def read(folder: Path) -> Outcome:
    """Read the outcome that a report's folder holds.

    Raises:
        DataError: it cannot be read.
    """
    path = folder / KEPT
    try:
        return Outcome.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: this version of llamaduo cannot read that outcome ({type(error).__name__}); "
            "the command that made it writes it again"
        ) from error


def _find(word: str, reports: Path) -> Path:
    path = Path(word)
    for folder in (path, path.parent, reports / word):
        if word and (folder / KEPT).is_file() and (folder != path.parent or path.name == KEPT):
            return folder.resolve()
    folders = known(reports)
    matching = [folder for folder in folders if _matches(word, folder)]
    if len(matching) == 1:
        return matching[0].resolve()
    if matching:
        raise DataError(
            f"runs: {len(matching)} runs are called {word!r}; name one of them: {_listed(matching)}"
        )
    if not folders:
        raise DataError(
            f"runs: there is no run {word!r}, as no report lies under {reports}; a migration "
            "writes one at its end, and tracking.home=… says where to look"
        )
    raise DataError(f"runs: no run {word!r} under {reports}; known: {_listed(folders)}")


def _matches(word: str, folder: Path) -> bool:
    name, _, short = folder.name.rpartition("-")
    if word == name:
        return True
    if len(word) < SHORTEST or not (word.startswith(short) or short.startswith(word)):
        return False
    return len(word) <= len(short) or read(folder).run_id.startswith(word)


def _listed(folders: Sequence[Path]) -> str:
    names = ", ".join(folder.name for folder in folders[:NAMED])
    more = len(folders) - NAMED
    return f"{names} and {more} older" if more > 0 else names
