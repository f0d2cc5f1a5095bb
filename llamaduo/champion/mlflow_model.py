"""The model that MLflow loads: a copy of this file is kept with each registered version and run.

Nothing else imports it. The installed llamaduo does the work, so that a version that was promoted
long ago is answered by today's code, or refused by it with a message.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from llamaduo.champion.answerer import Answerer, RequestError


class Refused(MlflowException, RequestError):
    """A `RequestError` that MLflow's server answers with status 400 and the message."""

    def __init__(self, error: RequestError) -> None:
        super().__init__(str(error), error_code=INVALID_PARAMETER_VALUE)


with warnings.catch_warnings(record=True):
    # MLflow recommends type hints for `predict` in a warning that no filter stops. With type hints
    # it would refuse a plain chat request, so the warning is caught here.

    class Champion(PythonModel):
        """Answers a chat request, a list of them, or the DataFrame that `/invocations` makes."""

        def load_context(self, context: PythonModelContext) -> None:
            """Load the bundle, once."""
            self.answerer = Answerer(Path(context.artifacts["bundle"]))

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            """Return a chat completion for one request, a list of them for several."""
            try:
                if isinstance(model_input, Mapping):
                    return self.answerer(model_input)
                return self.answerer.answer(_several(model_input))
            except RequestError as error:
                raise Refused(error) from error


def _several(requests: Any) -> list[object]:
    if hasattr(requests, "to_json"):  # a DataFrame, with NaN for what a row leaves out
        requests = json.loads(requests.to_json(orient="records"))
    if not isinstance(requests, list):
        raise RequestError(f"{type(requests).__name__}: send an object with `messages`")
    return requests


set_model(Champion())
