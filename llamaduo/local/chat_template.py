"""Conversations to tokens, by the same chat template for training and for sampling."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from llamaduo.base.errors import ConfigError
from llamaduo.records import Message, Pair, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: ChatML for base models without a template. Its markers are plain text to a vocabulary that does
#: not have them: the vocabulary is never resized.
CHATML = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


@dataclass(frozen=True)
class TrainingRow:
    """The tokens of a pair, of which the first `prompt` have no loss."""

    id: str
    tokens: list[int]
    prompt: int

    @property
    def labels(self) -> list[int]:
        """The tokens to learn, and -100 in place of those that have no loss."""
        return [-100] * self.prompt + self.tokens[self.prompt :]


@dataclass(frozen=True)
class Chat:
    """A tokenizer with its chat template.

    `merge` puts the text of system messages before the first user message, for templates that take
    no system role.
    """

    tokenizer: "PreTrainedTokenizerBase"
    merge: bool

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase", template: str, system_role: str) -> "Chat":
        """Return the chat of a tokenizer, with its own template or the one named `chatml`.

        Raises:
            ConfigError: its own template is asked for, and it has none.
        """
        if template == "chatml":
            begins_with_bos = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
            tokenizer.chat_template = ("{{- bos_token -}}" if begins_with_bos else "") + CHATML
        if not tokenizer.chat_template:
            raise ConfigError(
                "local.chat_template=tokenizer: this model's tokenizer has no chat template; use"
                " local.chat_template=chatml"
            )
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(tokenizer, system_role == "merge")

    def prompt_text(self, prompt: Prompt) -> str:
        """Return the prompt as the model reads it, up to the beginning of the answer."""
        messages = [m.model_dump() for m in self._messages(prompt)]
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def prompt_tokens(self, prompt: Prompt) -> list[int]:
        """Return the tokens of `prompt_text`."""
        return self._encode(self.prompt_text(prompt))

    def row(self, pair: Pair) -> TrainingRow:
        """Return a pair as a training row: the prompt as in sampling, the answer, the end."""
        text = self.prompt_text(pair.prompt)
        prompt, answer = self._encode(text), pair.response.strip()
        whole = self._encode(text + answer)
        # Encoded apart, sentencepiece models would put a false space between the two. Where the
        # border was merged into one token, the prompt's own tokens are those that sampling sees.
        if whole[: len(prompt)] != prompt:
            whole = prompt + self._encode(answer)
        return TrainingRow(pair.id, [*whole, *self.end], len(prompt))

    @cached_property
    def end(self) -> tuple[int, ...]:
        """The tokens that close an answer: what the template puts there, or the EOS token."""
        example = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "answer-here"},
        ]
        text = str(self.tokenizer.apply_chat_template(example, tokenize=False))
        marker = text.rpartition("answer-here")[2].strip()
        return tuple(self._encode(marker)) or (self.tokenizer.eos_token_id,)

    def stops(self, model_eos: int | list[int] | None) -> list[int]:
        """Return the single tokens that end an answer."""
        eos = model_eos if isinstance(model_eos, list) else [model_eos]
        end = self.end if len(self.end) == 1 else ()
        return sorted({t for t in (*eos, *end, self.tokenizer.eos_token_id) if t is not None})

    def text(self, tokens: list[int]) -> str:
        """Return the text of an answer's tokens."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def _encode(self, text: str) -> list[int]:
        # Templates write their own BOS.
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _messages(self, prompt: Prompt) -> list[Message]:
        if not self.merge:
            return list(prompt.messages)
        system = [m.content for m in prompt.messages if m.role == "system"]
        rest = [m for m in prompt.messages if m.role != "system"]
        first = next((i for i, m in enumerate(rest) if m.role == "user"), 0)
        merged = Message(role="user", content="\n\n".join([*system, rest[first].content]))
        return [*rest[:first], merged, *rest[first + 1 :]]
