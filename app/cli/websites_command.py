"""The command `chaser-callback websites`: the sites at Chaser of the accounts in the settings."""

import json
from typing import Any

from app.cli.chaser_query import query_chaser
from app.cli.exit_codes import settings_or_fail
from app.cli.output import Column, show_table


def websites() -> None:
    """List the sites of your accounts at Chaser: account, id, the name in the settings, name, title, other columns.

    Queries Chaser directly; the service needn't run. Behind a pipe: a line of titles, then a line for each site,
    separated by tabs.
    """
    settings = settings_or_fail()
    local_names = {(settings.account_of(name), site.site_id): name for name, site in settings.sites.items()}
    listed = [
        (account, site)
        for account, _ in settings.accounts()
        for site in query_chaser(settings, account, lambda chaser: chaser.websites())
    ]
    extra = list(dict.fromkeys(field for _, site in listed for field in site.extra))
    columns = [
        Column("account"),
        Column("id", whole=True, justify="right"),
        Column("here"),
        Column("name"),
        Column("title"),
        *map(Column, extra),
    ]
    rows = (
        (
            account,
            site.id,
            local_names.get((account, site.id)),
            site.name,
            site.title,
            *(to_text(site.extra.get(field)) for field in extra),
        )
        for account, site in listed
    )
    show_table(columns, rows, header=True)


def to_text(value: Any) -> Any:
    """Return an object, array or boolean as JSON text, and a plain text or number unchanged."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value
