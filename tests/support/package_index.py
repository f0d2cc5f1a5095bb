"""A package index on the loopback interface, asked by pip and uv like any other; its wheels."""

import contextlib
import http.server
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit


def wheel_file(folder: Path, name: str, files: dict[str, bytes], info: str = "") -> Path:
    """A wheel that pip and uv accept, of `name` such as toy-1; `info` is more of its METADATA."""
    folder.mkdir(parents=True, exist_ok=True)
    project, version = name.split("-")
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        for file, content in files.items():
            out.writestr(file, content)
        at = f"{name}.dist-info"
        head = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
        out.writestr(f"{at}/METADATA", head + info)
        out.writestr(
            f"{at}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        out.writestr(f"{at}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{at}/RECORD"]))
    return path


@dataclass(frozen=True)
class Index:
    """An index: the folder `<project>/` of its `folder` holds a project's wheels."""

    url: str
    folder: Path
    asked: list[str] = field(default_factory=list)

    def add(self, name: str, files: dict[str, bytes], info: str = "") -> Path:
        project = name.partition("-")[0].replace("_", "-")
        return wheel_file(self.folder / project, name, files, info)


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Index]:
    """The simple API (PEP 503) over a folder: a list of links is all that it asks of a server.

    It is a proxy for addresses of other hosts, too, and answers for them itself.
    """
    folder.mkdir()
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return super().translate_path(urlsplit(path).path)

        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Index(f"http://127.0.0.1:{server.server_port}/", folder, asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def environment(path: Path, *tools: str, rest: bool = False) -> Path:
    """The Python of an environment with these of pip and uv; `rest`: and all else that is here."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    [there] = path.glob("lib/python*/site-packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        package = entry.name.partition("-")[0]
        if package in tools or (rest and package not in ("pip", "uv")):
            (there / entry.name).symlink_to(entry)
    for tool in tools:
        (path / "bin" / tool).symlink_to(Path(sys.executable).with_name(tool))
    return path / "bin" / "python"
