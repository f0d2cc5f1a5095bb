"""Move one task from a hosted service LLM to a small local LLM, and say whether it worked."""

import os

from llamaduo.base.cache import cache_folder

# Read at import by the libraries that would otherwise report home or, litellm, ask the network for
# its prices; so set before any of them.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
# Importing transformers makes torch's folder for compiled code, of itself in the temporary folder.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder().absolute() / "torch"))
