"""`conf/task`: what is migrated, and the recorded pairs that show it."""

from typing import Annotated

from pydantic import Field, model_validator

from llamaduo.config.base import Config, Count, Share


class Split(Config):
    """Shares of the coverage rows that are held out; the rest is for training."""

    dev: Share
    test: Share

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> "Split":
        if self.dev + self.test >= 1:
            raise ValueError(f"dev {self.dev} + test {self.test} leave no rows to train on")
        return self


class TaskConfig(Config):
    """`task`: what is migrated, and the recorded pairs that show it.

    `coverage` is a path, or `shipped:<name>/<file>` for one that comes with llamaduo.
    `prompt_column` and `response_column` name the columns of a file that has no chat `messages`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    topic: str
    coverage: str
    prompt_column: str
    response_column: str
    max_new_tokens: Count
    split: Split
