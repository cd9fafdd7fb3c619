"""chaser-callback callbacks: what people decide about one callback."""

from typing import Annotated

import typer

from app.terminal.service import DEFAULT_URL, Url, ask

callbacks = typer.Typer(help="Release, retry or cancel a callback.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the callback, as the log and the answers give it.")]


@callbacks.command()
def release(callback_id: Id, url: Url = DEFAULT_URL) -> None:
    """Let a held callback be sent."""
    _steer(url, callback_id, "release")


@callbacks.command()
def retry(callback_id: Id, url: Url = DEFAULT_URL) -> None:
    """Send a failed or unknown callback again; for an unknown one this may be a second call."""
    _steer(url, callback_id, "retry")


@callbacks.command()
def cancel(callback_id: Id, url: Url = DEFAULT_URL) -> None:
    """End a callback that waits."""
    _steer(url, callback_id, "cancel")


def _steer(url: str, callback_id: str, decision: str) -> None:
    now = ask(url, "POST", f"/v1/callbacks/{callback_id}/{decision}")
    typer.echo(f"{now['id']}: {now['status']}")
