"""The read that counts what rings for the sites of a batch: one number for each budget, times only near its end."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Final, NamedTuple

from sqlalchemy import JSON, Column, Connection, Integer, String, text
from sqlalchemy.sql.expression import TextualSelect

from app.admission.admission_request import Quotas
from app.admission.site_budget import share_of_network
from app.admission.snapshot import RingCount, RingSpot, RingWindow
from app.outbox import bulk
from app.outbox.callback import ACTIVE_STATUSES
from app.outbox.schema import EPOCH, Instant

_WINDOW: Final = (
    Column("number", Integer),
    Column("site", String),
    Column("network", String),
    Column("since", Instant),
    Column("moment", Instant),
    Column("until", Instant),
    Column("enough", Integer),
)
_RESULT: Final = (
    Column("number", Integer),
    Column("counts", JSON),
)


class _Wanted(NamedTuple):
    """Read the times of a window if it has `enough` rings, so that the batch may reach the limit."""

    window: RingWindow
    since: datetime
    until: datetime
    enough: int


def read_ring_counts(
    connection: Connection,
    spots: Sequence[RingSpot],
    earliest: datetime,
    latest: datetime,
    quotas: Mapping[str, Quotas],
) -> dict[RingWindow, RingCount]:
    """Count the rings around spots, on both sides, by site and by network.

    `earliest` and `latest` are the moments of the first and the last request of the batch.
    """
    wanted = list(_windows(spots, earliest, latest, quotas))
    rows = (
        {
            "number": number,
            "site": one.window.site,
            "network": one.window.network,
            "since": one.since,
            "moment": one.window.moment,
            "until": one.until,
            "enough": one.enough,
        }
        for number, one in enumerate(wanted)
    )
    found = connection.execute(_counts(connection.dialect.name), {"windows": bulk.encode(connection, rows)})
    return {
        wanted[number].window: RingCount(before, rings - before, None if times is None else _instants(times))
        for number, (before, rings, times) in found
    }


def _windows(
    spots: Sequence[RingSpot], earliest: datetime, latest: datetime, quotas: Mapping[str, Quotas]
) -> Iterator[_Wanted]:
    in_batch = Counter(spot.site for spot in spots)
    seen = set()
    for spot in spots:
        moment = max(spot.at, latest)
        first = earliest if moment == latest else moment
        for limit in quotas[spot.site].per_site:
            for network in {None, spot.network}:
                window = RingWindow(spot.site, network, limit.window, moment)
                if window in seen:
                    continue
                seen.add(window)
                amount = limit.amount if network is None else share_of_network(limit)
                yield _Wanted(window, first - limit.window, moment + limit.window, amount - in_batch[spot.site])


@cache
def _counts(dialect: str) -> TextualSelect:
    """Return the query for the number of rings up to the moment, of all in the window, and perhaps their times.

    One correlated subquery for each window: no plan can then join all windows with all callbacks.
    """
    on_postgresql = dialect == "postgresql"
    # Instants as the integers of SQLite, so that both databases return the times as one list of numbers.
    array, times = (
        ("json_build_array", "COALESCE(json_agg((EXTRACT(EPOCH FROM c.rings_at) * 1000000)::bigint), '[]')")
        if on_postgresql
        else ("json_array", "json_group_array(c.rings_at)")
    )
    statuses = ", ".join(f"'{status}'" for status in ACTIVE_STATUSES)
    of_site, of_network = (
        f"(SELECT {array}(count(CASE WHEN c.rings_at <= w.moment THEN 1 END), count(*), "
        f"CASE WHEN count(*) >= w.enough THEN {times} END) FROM callbacks AS c "
        f"WHERE {condition} AND c.status IN ({statuses}))"
        for condition in (
            "c.site = w.site AND c.rings_at > w.since AND c.rings_at < w.until",
            # As rows, because then only the network's index fits: a site may have many more rings.
            "c.client_network IS NOT NULL "
            "AND (c.client_network, c.site, c.rings_at) > (w.network, w.site, w.since) "
            "AND (c.client_network, c.site, c.rings_at) < (w.network, w.site, w.until)",
        )
    )
    windows = bulk.rows_of(dialect, "windows", _WINDOW, "w")
    query = (
        f"SELECT w.number, CASE WHEN w.network IS NULL THEN {of_site} ELSE {of_network} END AS counts FROM {windows}"
    )
    return text(query).columns(*_RESULT)


def _instants(times: list[int]) -> tuple[datetime, ...]:
    return tuple(EPOCH + timedelta(microseconds=value) for value in sorted(times))
