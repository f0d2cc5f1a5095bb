"""How a conversation becomes tokens, the same for training and for sampling."""

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
    """A training row: its tokens, of which the first `prompt` carry no loss."""

    id: str
    tokens: list[int]
    prompt: int

    @property
    def labels(self) -> list[int]:
        """The tokens to learn, -100 where there is nothing to learn."""
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
        """The chat of a tokenizer, with its own template or the one named `chatml`.

        Raises:
            ConfigError: the tokenizer has no template of its own.
        """
        if template == "chatml":
            starts = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
            tokenizer.chat_template = ("{{- bos_token -}}" if starts else "") + CHATML
        if not tokenizer.chat_template:
            raise ConfigError(
                "local.chat_template=tokenizer: this model's tokenizer has no chat template; use"
                " local.chat_template=chatml"
            )
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(tokenizer, system_role == "merge")

    def prompt_text(self, prompt: Prompt) -> str:
        """The prompt as the model reads it, up to where its answer begins."""
        messages = [m.model_dump() for m in self._messages(prompt)]
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def prompt_tokens(self, prompt: Prompt) -> list[int]:
        """The tokens of `prompt_text`."""
        return self._encode(self.prompt_text(prompt))

    def row(self, pair: Pair) -> TrainingRow:
        """A pair as a training row: the prompt exactly as in sampling, the answer, the end."""
        text = self.prompt_text(pair.prompt)
        prompt, answer = self._encode(text), pair.response.strip()
        whole = self._encode(text + answer)
        # Encoding both at once spares sentencepiece models a false space at the seam; where the
        # seam itself was merged into one token, the prompt's own tokens are what sampling will see.
        if whole[: len(prompt)] != prompt:
            whole = prompt + self._encode(answer)
        return TrainingRow(pair.id, [*whole, *self.end], len(prompt))

    @cached_property
    def end(self) -> tuple[int, ...]:
        """The tokens that close an answer: what the template puts there, or the EOS token."""
        asked = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "answer-here"}]
        text = str(self.tokenizer.apply_chat_template(asked, tokenize=False))
        marker = text.rpartition("answer-here")[2].strip()
        return tuple(self._encode(marker)) or (self.tokenizer.eos_token_id,)

    def stops(self, model_eos: int | list[int] | None) -> list[int]:
        """The single tokens at which an answer is over."""
        eos = model_eos if isinstance(model_eos, list) else [model_eos]
        one = self.end if len(self.end) == 1 else ()
        return sorted({t for t in (*eos, *one, self.tokenizer.eos_token_id) if t is not None})

    def text(self, tokens: list[int]) -> str:
        """The text of an answer's tokens."""
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
