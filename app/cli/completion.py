"""What the shell proposes when somebody presses Tab. It never complains: without settings or service, nothing."""

from collections.abc import Iterator

import typer

from app.cli.api_client import DEFAULT_URL

STATUSES = ("held", "queued", "sending", "placed", "failed", "unknown", "cancelled")


def complete_site(incomplete: str) -> Iterator[str]:
    """Propose the sites of the settings."""
    from app.settings import SettingsError, load_settings

    try:
        yield from (name for name in load_settings().sites if name.startswith(incomplete))
    except SettingsError:
        return


def complete_id(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Propose the newest callbacks of the running service, with their status; one short question."""
    import httpx2

    from app.edge.operator_key import operator_key
    from app.settings import SettingsError, load_settings

    try:
        key = operator_key(load_settings().secret())
        answer = httpx2.get(
            f"{ctx.params.get('url') or DEFAULT_URL}/v1/callbacks",
            params={"limit": 100},
            headers={"authorization": f"Bearer {key}"},
            timeout=1,
            trust_env=False,
        )
        for each in answer.json()["callbacks"]:
            if each["id"].startswith(incomplete):
                yield each["id"], f"{each['status']}, {each['site']}"
    except (SettingsError, httpx2.RequestError, httpx2.InvalidURL, ValueError, LookupError, TypeError):
        return


def complete_status(incomplete: str) -> list[str]:
    """Propose what a callback can be."""
    return [status for status in STATUSES if status.startswith(incomplete)]
