"""Shell completion of sites, statuses and ids. Errors are ignored: without settings or service nothing is proposed."""

from collections.abc import Iterator

import typer

from app.cli.api_client import connect

STATUSES = ("held", "queued", "sending", "placed", "failed", "unknown", "cancelled", "duplicate")


def complete_site(incomplete: str) -> Iterator[str]:
    """Propose the sites of the settings."""
    from app.settings import SettingsError, load_settings

    try:
        yield from (name for name in load_settings().sites if name.startswith(incomplete))
    except SettingsError:
        return


def complete_id(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Propose the ids of the newest 100 callbacks of the running service, with their status. Waits at most 1 s."""
    import httpx2

    from app.settings import SettingsError, load_settings

    try:
        with connect(ctx.params.get("url") or load_settings().control_path(), timeout=1) as http:
            response = http.get("/v1/callbacks", params={"limit": 100})
        for callback in response.json()["callbacks"]:
            if callback["id"].startswith(incomplete):
                yield callback["id"], f"{callback['status']}, {callback['site']}"
    except (SettingsError, httpx2.RequestError, httpx2.InvalidURL, ValueError, LookupError, TypeError):
        return


def complete_status(incomplete: str) -> list[str]:
    """Propose the statuses of a callback."""
    return [status for status in STATUSES if status.startswith(incomplete)]
