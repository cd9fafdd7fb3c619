"""The command `chaser-callback websites`: the sites at Chaser of the accounts in the settings."""

import asyncio

from app.cli.exit_codes import fail, settings_or_fail
from app.cli.output import Column, show_table, to_text


def websites() -> None:
    """List the sites of your accounts at Chaser: account, id, the name in the settings, name, title, other columns.

    Queries Chaser directly; the service needn't run, and no site has to be set yet. An account that Chaser refuses is
    reported after the sites of the others. Behind a pipe: a line of titles, then a line for each site, separated by
    tabs.
    """
    from app.cli.chaser_query import exit_code, explain
    from app.cli.probe import probe

    settings = settings_or_fail(draft=True)
    names = {(settings.account_of(name), site.site_id): name for name, site in settings.sites.items()}
    results = asyncio.run(probe(settings))
    listed = [(result.account, site) for result in results for site in result.sites]
    extra = list(dict.fromkeys(field for _, site in listed for field in site.extra))
    titles = ("name", "title", *extra)
    columns = [Column("account"), Column("id", whole=True, justify="right"), Column("here"), *map(Column, titles)]
    rows = [
        (
            account,
            site.id,
            names.get((account, site.id)),
            site.name,
            site.title,
            *map(to_text, map(site.extra.get, extra)),
        )
        for account, site in listed
    ]
    errors = [(result.error, result.account) for result in results if result.error is not None]
    if len(errors) < len(results):
        show_table(columns, rows, header=True)
    if errors:
        code = max(exit_code(error) for error, _ in errors)
        fail(code, *(explain(error, settings, account) for error, account in errors))
