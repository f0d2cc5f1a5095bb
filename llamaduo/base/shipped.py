"""Files that come with llamaduo, and the word that names one: `shipped:<folder>/<file>`."""

from pathlib import Path

PREFIX = "shipped:"
DATA = Path(__file__).parent.parent / "data"


def path_of(name: str) -> Path:
    """Return the path that a name stands for: that of a shipped file, or the user's own."""
    return DATA / name.removeprefix(PREFIX) if name.startswith(PREFIX) else Path(name)


def named(pattern: str) -> list[str]:
    """List the names of shipped files whose own name fits a glob pattern."""
    return sorted(f"{PREFIX}{path.parent.name}/{path.name}" for path in DATA.glob(f"*/{pattern}"))
