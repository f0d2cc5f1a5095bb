"""The clock of a stage that may be stopped and started again."""

import json
import time
from contextlib import suppress
from pathlib import Path


class Clock:
    """Seconds that a stage takes, with those of starts that were stopped in it.

    A stopped start cannot say how long it went on; the last file that it wrote can.
    """

    def __init__(self, part: Path) -> None:
        kept = part / "clock.json"
        self._before = 0.0
        with suppress(OSError, ValueError):  # the first start, or one stopped in the next line
            last = json.loads(kept.read_text(encoding="utf-8"))
            wrote = max(path.lstat().st_mtime for path in part.rglob("*"))
            self._before = last["before"] + max(0.0, wrote - last["began"])
        kept.write_text(json.dumps({"before": self._before, "began": time.time()}))
        self._began = time.monotonic()

    @property
    def before(self) -> float:
        """Seconds of starts that were stopped."""
        return self._before

    def seconds(self) -> float:
        """Return the seconds until now."""
        return self._before + time.monotonic() - self._began
