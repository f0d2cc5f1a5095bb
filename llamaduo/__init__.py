"""Move one task from a hosted service LLM to a small local LLM, and say whether it worked."""

import logging
import os

from llamaduo.base.cache import cache_folder

# Read at import by the libraries that would otherwise report home or, litellm, ask the network for
# its prices; so set before any of them.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
# What llamaduo has to report it reports itself: no schema steps, addresses of runs, or bars for
# copying. Children inherit these, as a process with a model that MLflow loads.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# Launchers of Hydra report each job with all its words; a sweep reports each trial with its end.
for _name in ("hydra._internal.core_plugins.basic_launcher", "hydra_plugins"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# Importing transformers makes torch's folder for compiled code, of itself in the temporary folder.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder().absolute() / "torch"))
