"""A service that answers, but for the requests of which a table says what comes in place of it."""

from llamaduo.service import Failure


class OddService:
    """Of each request that `odd` names, by id: a failure, an exception that ends it, or a text.

    Subclasses say what an answer is: `answer(request, text)`, where text is None but for the last.
    """

    name, price, replays, identity = "live", None, False, {"kind": "live"}

    def __init__(self, odd=()):
        self.odd = dict(odd)
        self.asked = []

    def complete(self, requests):
        for request in requests:
            self.asked.append(request.id)
            odd = self.odd.get(request.id)
            if isinstance(odd, Exception):
                raise odd
            if isinstance(odd, Failure):
                yield odd.model_copy(update={"request_id": request.id})
            else:
                yield self.answer(request, odd)

    def answer(self, request, text):
        raise NotImplementedError
