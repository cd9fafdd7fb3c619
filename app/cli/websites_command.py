"""The command `chaser-callback websites`: the sites at Chaser of the accounts in the settings."""

from app.cli.chaser_query import fail_on, query_accounts
from app.cli.exit_codes import settings_or_fail
from app.cli.output import Column, show_table, to_text


def websites() -> None:
    """List the sites of your accounts at Chaser: account, id, the name in the settings, name, title, other columns.

    Queries Chaser directly; the service needn't run, and no site has to be set yet. An account that Chaser refuses is
    reported after the sites of the others. Behind a pipe: a line of titles, then a line for each site,
    separated by tabs.
    """
    settings = settings_or_fail(draft=True)
    local_names = {(settings.account_of(name), site.site_id): name for name, site in settings.sites.items()}
    accounts = [account for account, _ in settings.accounts()]
    by_account, failures = query_accounts(settings, accounts, lambda chaser: chaser.websites())
    listed = [(account, site) for account, sites in by_account.items() for site in sites]
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
    if by_account or not failures:
        show_table(columns, rows, header=True)
    fail_on(failures)
