"""HTTP client of a running service. Over HTTP a command also works on SQLite, where one process owns the file."""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

import typer

from app.cli.exit_codes import REFUSED, UNREACHABLE, fail, settings_or_fail

if TYPE_CHECKING:
    import httpx2

Url = Annotated[
    str | None,
    typer.Option(
        envvar="CHASER_CALLBACK_URL",
        help="Connect to this address with the API key in CHASER_CALLBACK_API_KEY, and not to the control socket.",
    ),
]

_TIMEOUT = 30.0  # seconds for a response
_MAX_ATTEMPTS = 6
_DEFAULT_RETRY_DELAY = 1.0  # seconds, for responses without Retry-After
_MAX_RETRY_DELAY = 300.0  # seconds


def connect(place: str | Path, timeout: float) -> "httpx2.Client":
    """Return an HTTP client for a control socket, or for a URL with the API key of the environment, if there is one.

    `timeout` in seconds. Raises httpx2.InvalidURL.
    """
    import httpx2

    if isinstance(place, Path):
        transport = httpx2.HTTPTransport(uds=str(place), trust_env=False)
        return httpx2.Client(base_url="http://localhost", transport=transport, timeout=timeout)
    key = os.environ.get("CHASER_CALLBACK_API_KEY", "").strip()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx2.Client(base_url=place.rstrip("/"), headers=headers, timeout=timeout, trust_env=False)


class ApiClient:
    """Requests to the service over its control socket, or at a URL, over one keep-alive connection.

    An error response, or none, ends the command with one line that says how to fix it.
    """

    def __init__(self, url: str | None) -> None:
        import httpx2

        self._may_be_executed = False  # the last request got no response, but may have reached the service
        self._place = url or settings_or_fail().control_path()
        self._setting = "--url" if url else "CONTROL_SOCKET"
        try:
            self._http = connect(self._place, _TIMEOUT)
        except httpx2.InvalidURL:
            self._fail_unreachable()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Send a request once and return the decoded JSON of the response, None for an empty body.

        `arguments` go to httpx2, for example `json` or `params`.
        """
        response = self._send(method, path, arguments)
        return self._fail_unreachable() if response is None else self._decode(response)

    def get_with_retry(self, path: str, **arguments: Any) -> Any:
        """Send a GET and return the decoded JSON; retry on 429, on 503 and when no response comes.

        Waits for Retry-After, at most five minutes; 1 s without that header. Ends the command after six attempts.
        """
        import httpx2

        retryable = (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE)
        response = self._send("GET", path, arguments)
        for _ in range(_MAX_ATTEMPTS - 1):
            if response is not None and response.status_code not in retryable:
                break
            time.sleep(_retry_delay(response))
            response = self._send("GET", path, arguments)
        return self._fail_unreachable() if response is None else self._decode(response)

    def _send(self, method: str, path: str, arguments: dict[str, Any]) -> "httpx2.Response | None":
        import httpx2

        try:
            return self._http.request(method, path, **arguments)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.InvalidURL):
            self._may_be_executed = False
        except httpx2.RequestError:
            self._may_be_executed = True
        return None

    def _fail_unreachable(self) -> NoReturn:
        if self._may_be_executed:
            fail(
                UNREACHABLE,
                f"{self._setting}: the response of {self._place} was lost, and the request may have been executed: "
                "check with `callbacks list` before you repeat it",
            )
        fix = (
            "name the address it listens at"
            if self._setting == "--url"
            else "run the command as its user, in its folder and with its settings"
        )
        fail(UNREACHABLE, f"{self._setting}: no service answers at {self._place}: start it, or {fix}")

    def _decode(self, response: "httpx2.Response") -> Any:
        import httpx2

        if response.is_success:
            return response.json() if response.content else None
        status = response.status_code
        try:
            problem = response.json()
            messages = [f"{error['field']}: {error['detail']}" for error in problem.get("errors", [])]
            messages = messages or [problem["detail"]]
        except (ValueError, TypeError, KeyError, AttributeError):
            messages = [
                f"{self._setting}: {self._place} answers {status}, but it is not this service: check the address"
            ]
        if status == httpx2.codes.UNAUTHORIZED:
            messages = [f"CHASER_CALLBACK_API_KEY: set it to an API key of the service at {self._place}"]
        return fail(REFUSED, *messages)


def request(url: str | None, method: str, path: str, **arguments: Any) -> Any:
    """Send one request; see `ApiClient.request`."""
    with ApiClient(url) as client:
        return client.request(method, path, **arguments)


def _retry_delay(response: "httpx2.Response | None") -> float:
    retry_after = "" if response is None else response.headers.get("retry-after", "").strip()
    return min(float(retry_after), _MAX_RETRY_DELAY) if retry_after.isdecimal() else _DEFAULT_RETRY_DELAY
