"""A running service, as a command reaches it: over HTTP, so that it works beside SQLite's one process too."""

from typing import Annotated, Any, NoReturn

import httpx2
import typer

from app.edge.operator import operator_key
from app.settings import SettingsFaults, load_settings

Url = Annotated[str, typer.Option(envvar="CHASER_CALLBACK_URL", help="Where the service listens.", show_default=True)]
DEFAULT_URL = "http://127.0.0.1:8000"
_FAULTY_SETTINGS, _UNREACHABLE, _REFUSED = 2, 3, 1


def ask(url: str, method: str, path: str, **arguments: Any) -> Any:
    """Send a request as the operator and give the JSON of the answer, None where there is none.

    Ends the command with one line that names the cure when there is no answer, or a refusal.
    """
    try:
        key = operator_key(load_settings().secret())
    except SettingsFaults as faults:
        stop(_FAULTY_SETTINGS, *faults.lines)
    try:
        answer = httpx2.request(
            method, url.rstrip("/") + path, headers={"authorization": f"Bearer {key}"}, timeout=10, **arguments
        )
    except httpx2.RequestError:
        stop(_UNREACHABLE, f"--url: no service answers at {url}: start it, or name the address it listens at")
    if answer.is_success:
        return answer.json() if answer.content else None
    try:
        problem = answer.json()
        told = [f"{error['field']}: {error['detail']}" for error in problem.get("errors", [])] or [problem["detail"]]
    except (ValueError, TypeError, KeyError):
        told = [f"--url: {url} answers {answer.status_code}, and not as this service would: check the address"]
    if answer.status_code == httpx2.codes.UNAUTHORIZED:
        told = [
            "The service runs with another SECRET_KEY or CHASER__PRIVATE_KEY: run the command with the same settings"
        ]
    return stop(_REFUSED, *told)


def stop(code: int, *lines: str) -> NoReturn:
    """End the command with a code, and say why on standard error."""
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(code)
