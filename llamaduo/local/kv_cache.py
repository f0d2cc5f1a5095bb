"""A key-value cache for a batch that is being sampled, in memory that is allocated once."""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


def cache_for(config: Any, room: int) -> DynamicCache:
    """Return the model's own kind of cache, whose plain layers have `room` for so many more tokens.

    Layers of another kind (sliding windows, states) stay as transformers makes them.
    """
    cache = DynamicCache(config=config)
    cache.layers = [
        RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


class RoomyLayer(DynamicLayer):
    """A cache layer that writes a new token in place; its parent copies all others each time.

    `keys` and `values`, (rows, heads, tokens, width), are views of larger buffers.
    """

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room = room
        self._buffers: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the states of new tokens, and return those of all tokens."""
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        added = (key_states, value_states)
        if not self._buffers or after > self._buffers[0].shape[-2]:
            former = self._buffers
            self._buffers = [
                new.new_empty(*new.shape[:-2], after + self._room, new.shape[-1]) for new in added
            ]
            for buffer, old in zip(self._buffers, former, strict=False):
                buffer[..., :before, :] = old[..., :before, :]
        for buffer, new in zip(self._buffers, added, strict=True):
            buffer[..., before:after, :] = new
        self.is_initialized = True
        return self._show(after)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows of the batch, in this order; a row that keeps its place is not copied."""
        tokens, rows = self.get_seq_length(), self._buffers[0].shape[0]
        wanted = indices.tolist()
        moves = {to: source for to, source in enumerate(wanted) if to != source}
        if len(wanted) > rows or not moves.keys().isdisjoint(moves.values()):
            for i, buffer in enumerate(self._buffers):
                shape = (len(wanted), *buffer.shape[1:])
                self._buffers[i] = buffer.new_empty(shape)
                self._buffers[i][..., :tokens, :] = buffer[indices, ..., :tokens, :]
        else:
            for to, source in moves.items():
                for buffer in self._buffers:
                    buffer[to, :, :tokens] = buffer[source, :, :tokens]
            self._buffers = [buffer[: len(wanted)] for buffer in self._buffers]
        self._show(tokens)

    def _show(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = (buffer[..., :tokens, :] for buffer in self._buffers)
        self.keys, self.values = keys, values
        return keys, values
