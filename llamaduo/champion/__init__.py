"""A champion, which is a promoted model: from a folder to answers.

Files that registries keep import `Answerer` and `RequestError` from here, so these names stay.
"""

from llamaduo.champion.answerer import MODEL_CODE, Answerer, Bundle, ChatRequest, RequestError

__all__ = ["MODEL_CODE", "Answerer", "Bundle", "ChatRequest", "RequestError"]
