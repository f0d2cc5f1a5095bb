"""`conf/task`: the task that is migrated, and the recorded pairs that show it."""

from typing import Annotated

from pydantic import Field, model_validator

from llamaduo.config.base import Config, Count, Share


class Split(Config):
    """Shares of the coverage rows that are held out; the rest is for training.

    Attributes:
        dev: the share that rounds are compared on.
        test: the share that is read once, for the gate.
    """

    dev: Share
    test: Share

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> "Split":
        if self.dev + self.test >= 1:
            raise ValueError(f"dev {self.dev} + test {self.test} leave no rows to train on")
        return self


class TaskConfig(Config):
    """`task`: the task that is migrated, and the recorded pairs that show it.

    Attributes:
        name: the name of the task, and of its champion.
        topic: the task in a few words, for synthesis and judges.
        coverage: the file of recorded pairs: a path, or `shipped:<name>/<file>` for one that comes
            with llamaduo.
        prompt_column: the column of prompts, in a file that has no chat `messages`.
        response_column: the column of answers, in such a file.
        max_new_tokens: the most tokens of one answer.
        split: the shares for dev and test.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    topic: str
    coverage: str
    prompt_column: str
    response_column: str
    max_new_tokens: Count
    split: Split
