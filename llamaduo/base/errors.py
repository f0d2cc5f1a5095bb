"""The errors that a user can cause.

::

    LlamaduoError             one message: the thing, its value, the next act; exit code 2
    ├── ConfigError           a choice or a value in the configuration
    ├── DataError             a coverage file or a recording
    ├── WeightsError          model weights that cannot be had, or are not the expected bytes
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
    """A choice or a value in the configuration that cannot be used."""


class DataError(LlamaduoError):
    """A coverage file or a recording that cannot be used."""


class WeightsError(LlamaduoError):
    """Model weights that cannot be had, or are not the expected bytes."""


class ServiceError(LlamaduoError):
    """A service LLM that cannot be used at all."""


class BudgetReached(ServiceError):
    """A next call that might exceed `budget.usd`; the answers of calls in flight are kept."""


class JudgeError(LlamaduoError):
    """A judge that cannot be used."""


class LabError(LlamaduoError):
    """A folder of stages and runs that cannot be used."""


class SweepFailed(LlamaduoError):
    """More failed trials in a sweep than are allowed."""


class RegistryError(LlamaduoError):
    """A model registry without the champion, or one that cannot be written."""


class TrialPruned(Exception):
    """The end of a trial that is worse than its peers were at the same point.

    It is no error: code with something open closes it and re-raises this. `tokens` are those that
    it was trained on until then; None: not known.
    """

    tokens: int | None = None
