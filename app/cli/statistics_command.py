"""The command `chaser-callback statistics`: the calls of a site, from Chaser's statistics."""

import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from app.cli.chaser_query import query_chaser
from app.cli.completion import complete_site
from app.cli.exit_codes import REFUSED, USAGE_ERROR, fail, settings_or_fail, site_or_fail
from app.cli.output import Column, show_table, to_json, to_text
from app.cli.spreadsheet import write_csv

if TYPE_CHECKING:
    from app.settings import Settings

Items = list[dict[str, Any]]


Filter = Literal["success_calls", "failed_calls"]
"""The values of Chaser's `filter` parameter."""


def statistics(
    site: Annotated[
        str | None,
        typer.Option(help="The site's name in the settings. Not needed with one site.", autocompletion=complete_site),
    ] = None,
    site_id: Annotated[int | None, typer.Option(min=1, help="Its number at Chaser, instead of the name.")] = None,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day, as in 2026-11-01.")
    ] = None,
    to: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day.")] = None,
    filter_: Annotated[Filter | None, typer.Option("--filter", help="Only these calls.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the successful and failed calls of each day.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write Chaser's answer as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV; see `callbacks export` on = + - @.")] = False,
) -> None:
    """Show the calls of a site from Chaser's statistics, with all columns that Chaser sends.

    Queries Chaser directly; the service needn't run. Behind a pipe: a line of titles, then a line for each call,
    separated by tabs; with --plot: day, success, failed.
    """
    if plot + as_json + as_csv > 1:
        fail(USAGE_ERROR, "--plot, --json, --csv: choose one of them")
    if from_ and to and from_ > to:
        fail(USAGE_ERROR, "--from: it must not be later than --to")
    settings = settings_or_fail()
    number, account, zone = _resolve_site(settings, site, site_id)
    first, last = from_ and from_.date(), to and to.date()

    def fetch(kind: Filter | None) -> Items:
        return query_chaser(settings, account, lambda chaser: chaser.statistics(number, first, last, kind))

    if plot:
        # Chaser doesn't document which field marks a success, but it documents the filters: one query for each.
        by_kind = {kind: fetch(kind) for kind in get_args(Filter) if filter_ in (None, kind)}
        _plot(by_kind, zone, first, last)
        return
    items = fetch(filter_)
    fields = list(dict.fromkeys(field for item in items for field in item))
    if as_json:
        typer.echo(to_json(items, indent=2))
    elif as_csv:
        write_csv(sys.stdout, fields, ([item.get(field) for field in fields] for item in items))
    else:
        columns = [Column(field, status=True) for field in fields]
        show_table(columns, ([to_text(item.get(field)) for field in fields] for item in items), header=bool(fields))


def _resolve_site(settings: "Settings", site: str | None, site_id: int | None) -> tuple[int, str, Any]:
    """Return the site's number at Chaser, its account and its time zone."""
    if site is not None and site_id is not None:
        fail(USAGE_ERROR, "--site, --site-id: choose one of them")
    if site_id is not None:
        site = next((name for name, known in settings.sites.items() if known.site_id == site_id), None)
        if site is None:
            return site_id, settings.chaser.client_id, next(iter(settings.sites.values())).timezone
    site = site_or_fail(settings, site)
    return settings.sites[site].site_id, settings.account_of(site), settings.sites[site].timezone


def _plot(by_kind: dict[Filter, Items], zone: Any, first: date | None, last: date | None) -> None:
    from app.cli.plot import NoDateField, count_by_day, show_plot

    try:
        counted = {kind: count_by_day(items, zone) for kind, items in by_kind.items()}
    except NoDateField as error:
        fail(REFUSED, f"--plot: {error}: list the calls without --plot")
    show_plot(counted.get("success_calls", {}), counted.get("failed_calls", {}), first, last)
