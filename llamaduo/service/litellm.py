"""Calls to any provider that litellm knows."""

import asyncio
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import litellm

from llamaduo.base.errors import ServiceError
from llamaduo.config import ApiServiceConfig
from llamaduo.intake import answers
from llamaduo.intake.answers import Rejection, Reply
from llamaduo.service import chat, rejections
from llamaduo.service.keys import keys_of
from llamaduo.service.protocol import Form, Request

try:
    from litellm import _internal_context as _context
except ImportError:  # another version of litellm, which then reports to nobody
    _context = None  # type: ignore[assignment]

# litellm's argument for a variable, by the variable's name or its end. Any other is the key.
_HANDED_AS = {
    "_API_BASE": "api_base",
    "_API_VERSION": "api_version",
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
    "AWS_REGION": "aws_region_name",
    "AWS_DEFAULT_REGION": "aws_region_name",
    "AWS_REGION_NAME": "aws_region_name",
    "GOOGLE_APPLICATION_CREDENTIALS": "vertex_credentials",
    "VERTEXAI_PROJECT": "vertex_project",
    "VERTEXAI_LOCATION": "vertex_location",
}

# Names of error classes which say that no whole answer arrived.
_LATE = {"TimeoutError", "TimeoutException", "APITimeoutError"}
_UNSENT = {"ConnectError", "ConnectTimeout", "ClientConnectorError"}
_BROKEN = {"TransportError", "ClientError", "ConnectionError"}
_UNREADABLE = {"JSONDecodeError", "UnicodeError"}
_KEYLESS = re.compile(r"missing credentials|(missing|set).{0,20}api.?key|api.?key.{0,40}set", re.I)


class LitellmTransport:
    """Sends calls by `litellm.acompletion`, which neither retries nor reports anything.

    Keys are read at the first call. A parameter that is set and that the model does not have is an
    error; only the form of the answer is left out where the provider has none.
    """

    def __init__(self, config: ApiServiceConfig) -> None:
        _silence()
        self._config = config
        self._constant = chat.constant(config)
        self._ready: dict[str, Any] | None = None
        self._formed = False
        self._form: tuple[Form, dict[str, Any] | None] | None = None

    async def send(self, request: Request) -> Reply:
        """Make one call, without any retry, and return its reply.

        Raises:
            Rejection: there is no usable answer.
            ServiceError: the service needs a key and it is not set, or litellm does not know the
                model.
        """
        arguments = self._ready or self._prepare()
        arguments = arguments | {
            "messages": chat.messages(request),
            "max_tokens": request.max_tokens,
        }
        response_format = self._format(request)
        if response_format is not None:
            arguments["response_format"] = response_format
        _unreported()
        try:
            # litellm's own limit is for each read: an answer that trickles in would take forever.
            async with asyncio.timeout(self._config.runtime.timeout):
                answer = _plain(await litellm.acompletion(**arguments))
        except TimeoutError:
            raise rejections.timed_out(self._config) from None
        except Exception as error:  # of any class, as each provider's code raises its own
            raise self._rejection(error) from None
        return answers.reply(answer, self._config.model)

    async def close(self) -> None:
        """Close the connections that this loop has opened; a later call opens new ones."""
        cache = litellm.in_memory_llm_clients_cache
        # litellm tells the clients of one loop from those of another by the end of their key.
        ending = f"-{id(asyncio.get_running_loop())}"
        for key in [key for key in cache.cache_dict if str(key).endswith(ending)]:
            client = cache.cache_dict.pop(key)
            cache.ttl_dict.pop(key, None)
            close = getattr(client, "aclose", None) or getattr(client, "close", None)
            if close is not None and asyncio.iscoroutine(closing := close()):
                await closing

    def _prepare(self) -> dict[str, Any]:
        config = self._config
        handed = {_handed_as(name): value for name, value in keys_of(config).items()}
        if config.api_base is not None:
            handed["api_base"] = config.api_base
        try:
            model, provider, _, _ = litellm.get_llm_provider(
                model=config.model, api_base=handed.get("api_base"), api_key=handed.get("api_key")
            )
        except Exception as error:
            raise ServiceError(
                f"service.model={config.model}: litellm knows no provider by that name; write it "
                f"as provider/model ({rejections.shown(str(error))})"
            ) from None
        known = litellm.get_supported_openai_params(model=model, custom_llm_provider=provider)
        self._formed = "response_format" in (known or ())
        self._ready = (
            self._constant
            | handed
            | {"timeout": config.runtime.timeout, "num_retries": 0, "max_retries": 0}
        )
        return self._ready

    def _format(self, request: Request) -> dict[str, Any] | None:
        form = request.form
        if form is None or not self._formed:
            return None
        if self._form is None or self._form[0] is not form:
            self._form = form, chat.response_format(form, self._config.form)
        return self._form[1]

    def _rejection(self, error: BaseException) -> Rejection:
        """Return the rejection for an error, by the service's own response where there is one.

        litellm chooses its class and status for an error by words in the text, and sometimes calls
        a bad request a rate limit.
        """
        chain = list(_chain(error))
        names = {kind.__name__ for link in chain for kind in type(link).__mro__}
        cause = f"{type(chain[-1]).__name__}: {chain[-1]}"
        if "HTTPStatusError" not in names and names & _UNREADABLE:
            return rejections.broken(cause)
        response = next(filter(None, map(_response, reversed(chain))), None)
        if response is not None:
            return rejections.from_response(self._config, *response)
        if names & _LATE:
            return rejections.timed_out(self._config)
        if names & _BROKEN:
            return rejections.broken(cause, sent=not names & _UNSENT)
        status = getattr(chain[-1], "status_code", None) or getattr(error, "status_code", None)
        # litellm gives 500 to an error without a status, such as an answer that it cannot read, and
        # 400 to a call that it refuses itself.
        if isinstance(status, int) and status not in {400, 500}:
            return rejections.from_response(self._config, status, {}, str(error))
        if _KEYLESS.search(cause):
            return rejections.missing_key(self._config, cause)
        if "UnsupportedParamsError" in names:
            act = "set it to null under service, or take it out of service.extra"
            return Rejection(
                f"{rejections.shown(cause.partition(' To drop')[0])} ({act})", fatal=True
            )
        return Rejection(rejections.shown(f"litellm: {cause}"), fatal="ImportError" in names)


def _silence() -> None:
    # Pydantic warns of litellm's own types at the first call.
    warnings.filterwarnings("ignore", r"Item '\w+' on TypedDict class", UserWarning)
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.redact_messages_in_exceptions = True
    for name in ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router"):
        logging.getLogger(name).disabled = True


def _unreported() -> None:
    """Keep litellm from reporting the next call of this task.

    It would report it in tasks of its own, which nobody reads here and which outlive the call.
    """
    if _context is not None:
        _context.is_internal_call.set(True)


def _handed_as(variable: str) -> str:
    for ending, name in _HANDED_AS.items():
        if variable.endswith(ending):
            return name
    return "api_key"


def _plain(answer: Any) -> dict[str, Any]:
    """Return the needed part of litellm's answer, in the form of OpenAI's API."""
    choices = []
    for choice in answer.choices[:1]:
        message = choice.message
        more = getattr(message, "provider_specific_fields", None) or {}
        content = {"content": message.content, "refusal": more.get("refusal")}
        choices.append({"message": content, "finish_reason": choice.finish_reason})
    usage = getattr(answer, "usage", None)
    details = getattr(usage, "prompt_tokens_details", None)
    counted = {
        "prompt_tokens": getattr(usage, "prompt_tokens", None),
        "completion_tokens": getattr(usage, "completion_tokens", None),
        "prompt_tokens_details": {"cached_tokens": getattr(details, "cached_tokens", None)},
    }
    return {"model": answer.model, "choices": choices, "usage": counted}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, down to the first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _response(error: BaseException) -> tuple[int, Mapping[str, str], str] | None:
    """Return status, headers and body of the service's response, where the error has a real one.

    litellm also makes up responses; those have no headers.
    """
    response: Any = getattr(error, "response", None)
    headers: Any = getattr(response, "headers", None)
    if headers:
        try:
            body = str(response.text)
        except Exception:  # it was not read, or is closed
            body = str(error)
        return response.status_code, _lower(headers), body
    status, headers = getattr(error, "status_code", None), getattr(error, "headers", None)
    if isinstance(status, int) and headers:
        return status, _lower(headers), str(getattr(error, "message", error))
    return None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}
