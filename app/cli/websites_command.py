"""chaser-callback websites: the sites that Chaser has for the accounts of the settings."""

import json
from typing import Any

from app.cli.chaser_query import account_of, ask_chaser
from app.cli.exit_codes import settings_or_fail
from app.cli.output import Column, show_table


def websites() -> None:
    """List the sites that Chaser has for your accounts: account, id, the site's name here, name, title, and the rest.

    Asks Chaser itself; the service needn't run. Behind a pipe: a line of titles, then a line for each site, separated
    by tabs.
    """
    settings = settings_or_fail()
    known = {(account_of(settings, name), site.site_id): name for name, site in settings.sites.items()}
    found = [
        (account, site)
        for account, _ in settings.accounts()
        for site in ask_chaser(settings, account, lambda chaser: chaser.websites())
    ]
    more = list(dict.fromkeys(field for _, site in found for field in site.extra))
    columns = [
        Column("account"),
        Column("id", whole=True, justify="right"),
        Column("here"),
        Column("name"),
        Column("title"),
        *map(Column, more),
    ]
    rows = (
        (
            account,
            site.id,
            known.get((account, site.id)),
            site.name,
            site.title,
            *(shown(site.extra.get(field)) for field in more),
        )
        for account, site in found
    )
    show_table(columns, rows, head=True)


def shown(value: Any) -> Any:
    """Give a value of Chaser's as it came; what is no plain text or number as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value
