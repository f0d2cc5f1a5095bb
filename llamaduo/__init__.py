"""Move one task from a hosted service LLM to a small local LLM, and say whether it worked."""

import os

# Read at import by the libraries that would otherwise report home; so set before any of them.
for _name in ("MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ[_name] = "true" if _name.startswith("MLFLOW") else "1"
