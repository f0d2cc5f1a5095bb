"""A headless Chromium that opens pages, by its DevTools protocol, with axe-core to check them."""

import asyncio
import base64
import hashlib
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
AXE = "axe-core@4.14.1"  # MPL-2.0, fetched when it is used and not kept with this project
AXE_SHA512 = (
    "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b73"
    "4f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5"
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

CUT_OFF = Path(__file__).with_name("cut_off.js").read_text(encoding="utf-8")
LOADED = """
new Promise((done) => document.readyState === "complete" ? done() : addEventListener("load", done))
"""
LOOK = """
axe.run(document, {runOnly: %s, resultTypes: ["violations", "passes"]}).then((found) => ({
  violations: found.violations.map((one) => one.id + ": " + one.help + ": " +
    one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + node.failureSummary).join(" | ")),
  passes: found.passes.map((one) => one.id),
}))
"""


@dataclass
class Seen:
    """What came up while a page was open."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    scroll_width: int = 0
    dark: bool = False
    cut_off: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    passes: list[str] = field(default_factory=list)


def chromium() -> str | None:
    """The path of a Chromium on this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def axe_core(folder: Path) -> str:
    """The text of axe-core, of the one version, kept in a folder once it is fetched by npm.

    Raises:
        OSError: npm is not there or cannot fetch it.
    """
    packed = folder / f"{AXE.replace('@', '-')}.tgz"
    if not packed.exists():
        done = subprocess.run(
            ["npm", "pack", AXE, "--pack-destination", str(folder)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise OSError(f"npm pack {AXE}: {done.stderr.strip()[-300:]}")
    assert hashlib.sha512(packed.read_bytes()).hexdigest() == AXE_SHA512
    with tarfile.open(packed) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


@contextmanager
def running(profile: Path) -> Iterator[str]:
    """The address of a browser's DevTools, for as long as it runs."""
    path = chromium()
    assert path is not None
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    words += ["--no-first-run", "--disable-extensions", f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [path, *words, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("DevTools listening on "):
                yield line.split()[-1].split("/")[2]
                break
        else:
            raise OSError(f"{path} did not start")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def look(
    address: str, page: Path, *, width: int, dark: bool, axe: str = "", shot: Path | None = None
) -> Seen:
    """Open a file, all of its details unfolded, and say what is seen; with `axe`, what it finds."""
    return asyncio.run(_look(address, page, width, dark, axe, shot))


async def _look(
    address: str, page: Path, width: int, dark: bool, axe: str, shot: Path | None
) -> Seen:
    seen = Seen()
    async with aiohttp.ClientSession() as session:
        async with session.put(f"http://{address}/json/new?about:blank") as answer:
            target = await answer.json()
        socket = await session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
        count = 0

        async def call(method: str, **params: Any) -> Any:
            nonlocal count
            count += 1
            await socket.send_json({"id": count, "method": method, "params": params})
            while (message := await socket.receive_json(timeout=60)).get("id") != count:
                _note(message, seen)
            assert "error" not in message, message
            return message["result"]

        async def value(expression: str) -> Any:
            result = await call(
                "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
            )
            assert "exceptionDetails" not in result, result["exceptionDetails"]
            return result["result"].get("value")

        for domain in ("Page", "Runtime", "Log", "Network"):
            await call(f"{domain}.enable")
        await call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await call("Emulation.setEmulatedMedia", features=[scheme])
        await call("Page.navigate", url=page.as_uri())
        await value(LOADED)
        await value("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        seen.dark = await value("matchMedia('(prefers-color-scheme: dark)').matches")
        seen.scroll_width = await value("document.documentElement.scrollWidth")
        seen.cut_off = await value(CUT_OFF)
        if shot is not None:
            taken = await call("Page.captureScreenshot", captureBeyondViewport=True)
            shot.write_bytes(base64.b64decode(taken["data"]))
        if axe:
            await value(axe + "; 0")
            found = await value(LOOK % RULES)
            seen.violations, seen.passes = found["violations"], found["passes"]
        await call("Page.close")
        await socket.close()
    return seen


def _note(event: dict[str, Any], seen: Seen) -> None:
    params = event.get("params", {})
    match event.get("method"):
        case "Network.requestWillBeSent":
            seen.requests.append(params["request"]["url"])
        case "Runtime.exceptionThrown":
            seen.complaints.append(str(params["exceptionDetails"]))
        case "Runtime.consoleAPICalled":
            seen.complaints.append(f"{params['type']}: {params['args']}")
        case "Log.entryAdded":
            seen.complaints.append(params["entry"]["text"])
