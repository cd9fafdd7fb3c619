"""A running service, as a command reaches it: over HTTP, so that it works beside SQLite's one process too."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Self

import typer

from app.cli.exit_codes import REFUSED, UNREACHABLE, fail, settings_or_fail

if TYPE_CHECKING:
    import httpx2

Url = Annotated[str, typer.Option(envvar="CHASER_CALLBACK_URL", help="Where the service listens.", show_default=True)]
DEFAULT_URL = "http://127.0.0.1:8000"

_TIMEOUT = 30.0  # seconds for an answer
_TRIES = 6
_PAUSE = 1.0  # seconds before another try, where the service names no time
_LONGEST_PAUSE = 300.0


class ApiClient:
    """The service at a URL, asked as its operator over one connection that is kept.

    Ends the command with one line that names the cure when there is no answer, or a refusal.
    """

    def __init__(self, url: str) -> None:
        import httpx2

        from app.edge.operator_key import operator_key

        self._url = url
        self._lost = False  # whether the last request may have arrived, though no answer came
        key = operator_key(settings_or_fail().secret())
        try:
            self._http = httpx2.Client(
                base_url=url.rstrip("/"), headers={"authorization": f"Bearer {key}"}, timeout=_TIMEOUT, trust_env=False
            )
        except httpx2.InvalidURL:
            self._unreachable()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **arguments: Any) -> Any:
        """Send a request and give the JSON of the answer, None where there is none."""
        answer = self._send(method, path, arguments)
        return self._unreachable() if answer is None else self._read(answer)

    def get_with_retry(self, path: str, **arguments: Any) -> Any:
        """GET, as often as it takes: when the service has no time, or is away for a moment.

        Waits as long as Retry-After says, five minutes at the most; six times in a row, then the command ends.
        """
        import httpx2

        busy = (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE)
        answer = self._send("GET", path, arguments)
        for _ in range(_TRIES - 1):
            if answer is not None and answer.status_code not in busy:
                break
            time.sleep(_pause(answer))
            answer = self._send("GET", path, arguments)
        return self._unreachable() if answer is None else self._read(answer)

    def _send(self, method: str, path: str, arguments: dict[str, Any]) -> "httpx2.Response | None":
        import httpx2

        try:
            return self._http.request(method, path, **arguments)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.InvalidURL):
            self._lost = False
        except httpx2.RequestError:
            self._lost = True
        return None

    def _unreachable(self) -> NoReturn:
        if self._lost:
            fail(
                UNREACHABLE,
                f"--url: the answer of {self._url} was lost, and what was asked may have been done: "
                "look with `callbacks list` before you repeat it",
            )
        fail(UNREACHABLE, f"--url: no service answers at {self._url}: start it, or name the address it listens at")

    def _read(self, answer: "httpx2.Response") -> Any:
        import httpx2

        if answer.is_success:
            return answer.json() if answer.content else None
        stranger = f"--url: {self._url} answers {answer.status_code}, and not as this service would: check the address"
        try:
            problem = answer.json()
            told = [f"{error['field']}: {error['detail']}" for error in problem.get("errors", [])]
            told = told or [problem["detail"]]
        except (ValueError, TypeError, KeyError, AttributeError):
            told = [stranger]
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            told = [
                "The service runs with another SECRET_KEY or CHASER__PRIVATE_KEY: "
                "run the command with the same settings"
            ]
        return fail(REFUSED, *told)


def ask(url: str, method: str, path: str, **arguments: Any) -> Any:
    """Send one request as the operator; see ApiClient.ask."""
    with ApiClient(url) as running:
        return running.ask(method, path, **arguments)


def _pause(answer: "httpx2.Response | None") -> float:
    told = "" if answer is None else answer.headers.get("retry-after", "").strip()
    return min(float(told), _LONGEST_PAUSE) if told.isdecimal() else _PAUSE
