"""The errors that a user can cause.

::

    LlamaduoError             one message: the thing, its value, the next act; exit code 2
    ├── ConfigError           a choice or a value in the configuration
    ├── DataError             a coverage file or a recording
    ├── WeightsError          model weights: not to be had, or not the expected bytes
    ├── ServiceError          the service LLM as a whole; one bad row is a `Failure`, not this
    │   └── BudgetReached     the next call might exceed what may be spent
    ├── JudgeError            a judge that cannot be used, such as one that fails its anchors
    ├── LabError              the folder that holds stages and runs
    ├── SweepFailed           too many trials of a sweep failed
    └── RegistryError         no champion, or a registry that cannot be written

Anything else that escapes is a fault of llamaduo and keeps its traceback.
"""


class LlamaduoError(Exception):
    """Base of every error that a user can cause; the message is printed as it is."""


class ConfigError(LlamaduoError):
    """A choice or a value in the configuration cannot be used."""


class DataError(LlamaduoError):
    """A coverage file or a recording cannot be used."""


class WeightsError(LlamaduoError):
    """Model weights cannot be had, or are not the bytes that were expected."""


class ServiceError(LlamaduoError):
    """The service LLM cannot be used at all."""


class BudgetReached(ServiceError):
    """The next call might exceed `budget.usd`; what was under way has been kept."""


class JudgeError(LlamaduoError):
    """The judge cannot be used."""


class LabError(LlamaduoError):
    """The folder of stages and runs cannot be used."""


class SweepFailed(LlamaduoError):
    """More trials of a sweep failed than may."""


class RegistryError(LlamaduoError):
    """The model registry has not, or cannot take, what was asked of it."""


class TrialPruned(Exception):
    """The trial is worse than its peers were at the same point; end it at once.

    It is no error: whoever has something open closes it, and passes this on. `tokens` are those it
    was trained on until then; None: not known.
    """

    tokens: int | None = None
