"""Direct calls to any OpenAI-compatible URL: vLLM, llama.cpp, LM Studio, TGI and others.

A call writes one JSON text and reads one: at a thousand calls per second each step counts.
"""

import json
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from llamaduo.base.errors import ConfigError, ServiceError
from llamaduo.config import ApiServiceConfig
from llamaduo.intake import answers
from llamaduo.intake.answers import Rejection, Reply
from llamaduo.service import chat, rejections
from llamaduo.service.keys import key_of, names_of
from llamaduo.service.protocol import Form, Request

# Seconds. Some servers close an idle connection after five: none is used that is just being closed.
IDLE = 4.0

_compact = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class HttpTransport:
    """Sends calls to `{api_base}/chat/completions`, on connections that stay open.

    The key is read at the first call. A proxy is taken from the environment.

    Raises:
        ConfigError: `api_base` is missing, or is not a URL.
    """

    def __init__(self, config: ApiServiceConfig) -> None:
        self._config = config
        self._url = _url(config.api_base)
        self._opening = _compact(chat.constant(config))[:-1]
        self._session: aiohttp.ClientSession | None = None
        self._form: tuple[Form, str] | None = None

    async def send(self, request: Request) -> Reply:
        """Make one call, without any retry, and return its reply.

        Raises:
            Rejection: there is no usable answer.
            ServiceError: the service needs a key, and it is not set.
        """
        session = self._session or self._open()
        try:
            async with session.post(
                self._url, data=self._body(request), allow_redirects=False
            ) as answer:
                text = await _read(answer)
        except TimeoutError:
            raise rejections.timed_out(self._config) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise Rejection(rejections.shown(str(error)), fatal=True) from None
        except aiohttp.ClientError as error:
            sent = not isinstance(error, aiohttp.ClientConnectorError)
            raise rejections.broken(f"{type(error).__name__}: {error}", sent=sent) from None
        if answer.status < 300:
            return self._reply(text, answer)
        raise self._refused(answer.status, answer, text)

    async def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        runtime = self._config.runtime
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=runtime.limits.concurrency, keepalive_timeout=IDLE
            ),
            timeout=aiohttp.ClientTimeout(total=runtime.timeout),
            headers=_headers(self._config),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy(self._url),
            max_field_size=2**16,  # some services send long headers
        )
        return self._session

    def _body(self, request: Request) -> bytes:
        messages = _compact(chat.messages(request))
        limit = f'"max_tokens":{request.max_tokens}'
        return f'{self._opening},{limit},"messages":{messages}{self._format(request)}}}'.encode()

    def _format(self, request: Request) -> str:
        form = request.form
        if form is None:
            return ""
        if self._form is None or self._form[0] is not form:
            content = chat.response_format(form, self._config.form)
            text = "" if content is None else f',"response_format":{_compact(content)}'
            self._form = form, text
        return self._form[1]

    def _reply(self, text: bytes, answer: aiohttp.ClientResponse) -> Reply:
        try:
            content: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise rejections.broken("the answer is not JSON, or is cut off") from None
        error = None
        if isinstance(content, dict) and "choices" not in content:
            error = content.get("error")
        if isinstance(error, dict) and _is_status(error.get("code")):
            raise self._refused(error["code"], answer, text)
        return answers.reply(content, self._config.model)

    def _refused(self, status: int, answer: aiohttp.ClientResponse, text: bytes) -> Rejection:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return rejections.from_response(
            self._config, status, headers, text.decode(errors="replace")
        )


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Read the whole body, up to `answers.LARGEST` bytes."""
    content = answer.content
    first = await content.readany()
    if content.at_eof():
        return first
    parts, size = [first], len(first)
    while part := await content.readany():
        parts.append(part)
        size += len(part)
        if size > answers.LARGEST:
            answer.close()
            raise Rejection(answers.TOO_LARGE)
    return b"".join(parts)


def _url(api_base: str | None) -> URL:
    if api_base is None:
        raise ConfigError("service.api_base is not set: give the URL up to and including /v1")
    try:
        url = URL(api_base.rstrip("/") + "/chat/completions")
    except ValueError:
        url = URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise ConfigError(f"service.api_base={api_base}: give a URL such as http://host:8000/v1")
    return url


def _headers(config: ApiServiceConfig) -> dict[str, str]:
    # Answers are small: unpacking compressed ones would take longer than plain ones.
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    key = key_of(config)
    if key is not None:
        if not key.isascii() or not key.isprintable():
            names = " and ".join(names_of(config))
            raise ServiceError(
                f"service={config.name}: {names} has characters that no key can have"
            )
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _proxy(url: URL) -> str | None:
    if url.host is None or proxy_bypass(url.host):
        return None
    return getproxies().get(url.scheme)


def _is_status(code: Any) -> bool:
    return isinstance(code, int) and 400 <= code < 600
