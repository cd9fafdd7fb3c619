"""chaser-callback statistics: the calls of a site, as Chaser tells them."""

import csv
import json
import sys
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.chaser_query import account_of, ask_chaser
from app.cli.completion import complete_site
from app.cli.exit_codes import REFUSED, WRONG, fail, settings_or_fail
from app.cli.output import Column, show_table
from app.cli.spreadsheet import escape_formula
from app.cli.websites_command import shown

if TYPE_CHECKING:
    from app.chaser import StatisticsFilter
    from app.settings import Settings

Items = list[dict[str, Any]]


class Filter(StrEnum):
    """The filters Chaser has."""

    SUCCESS = "success_calls"
    FAILED = "failed_calls"


def statistics(
    site: Annotated[
        str | None,
        typer.Option(help="The site's name in the settings. Not needed with one site.", autocompletion=complete_site),
    ] = None,
    site_id: Annotated[int | None, typer.Option(min=1, help="Its number at Chaser, in place of the name.")] = None,
    from_: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day, as in 2026-11-01.")
    ] = None,
    to: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day.")] = None,
    filter_: Annotated[Filter | None, typer.Option("--filter", help="Only these calls.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the calls of each day, success and failed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write what Chaser sent, as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV; see `callbacks export` on = + - @.")] = False,
) -> None:
    """Show the calls of a site as Chaser tells them: whatever columns it sends.

    Asks Chaser itself; the service needn't run. Behind a pipe: a line of titles, then a line for each call, separated
    by tabs; with --plot: day, success, failed.
    """
    if plot + as_json + as_csv > 1:
        fail(WRONG, "--plot, --json, --csv: choose one of them")
    if from_ and to and from_ > to:
        fail(WRONG, "--from: it must not be later than --to")
    settings = settings_or_fail()
    number, account, zone = _which(settings, site, site_id)
    first, last = from_ and from_.date(), to and to.date()

    def asked(chosen: Filter | None) -> Items:
        name: StatisticsFilter | None = chosen.value if chosen else None
        return ask_chaser(settings, account, lambda chaser: chaser.statistics(number, first, last, name))

    if plot:
        # Which field tells success is not documented, but the filters are: so each kind is asked for.
        by_kind = {kind: asked(kind) for kind in Filter if filter_ in (None, kind)}
        _plot(by_kind, zone, first, last)
        return
    items = asked(filter_)
    fields = list(dict.fromkeys(field for item in items for field in item))
    if as_json:
        typer.echo(json.dumps(items, ensure_ascii=False, indent=2))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(escape_formula(field) for field in fields)
        writer.writerows([escape_formula(shown(item.get(field))) for field in fields] for item in items)
    else:
        columns = [Column(field, status=True) for field in fields]
        show_table(columns, ([shown(item.get(field)) for field in fields] for item in items), head=bool(fields))


def _which(settings: "Settings", site: str | None, site_id: int | None) -> tuple[int, str, Any]:
    """Give the number of the site meant, its account and its time zone."""
    if site is not None and site_id is not None:
        fail(WRONG, "--site, --site-id: choose one of them")
    if site_id is not None:
        site = next((name for name, known in settings.sites.items() if known.site_id == site_id), None)
        if site is None:
            return site_id, settings.chaser.client_id, next(iter(settings.sites.values())).timezone
    if site is None and len(settings.sites) == 1:
        site = next(iter(settings.sites))
    if site not in settings.sites:
        fail(WRONG, f"--site: name one of the settings' sites: {', '.join(settings.sites)}")
    return settings.sites[site].site_id, account_of(settings, site), settings.sites[site].timezone


def _plot(by_kind: dict[Filter, Items], zone: Any, first: date | None, last: date | None) -> None:
    from app.cli.plot import NoDates, days_of, show_plot

    try:
        counted = {kind: days_of(items, zone) for kind, items in by_kind.items()}
    except NoDates as none:
        fail(REFUSED, f"--plot: {none}: look at the calls without --plot")
    show_plot(counted.get(Filter.SUCCESS, {}), counted.get(Filter.FAILED, {}), first, last)
