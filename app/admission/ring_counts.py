"""The read that counts what rings for the sites of a batch: one number for each budget, times only near its end."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Final, NamedTuple

from sqlalchemy import Column, Connection, Integer, String, text
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
    Column("before", Integer),
    Column("rings", Integer),
    Column("times", String),
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
    counts = {one.window: RingCount(0, 0, ()) for one in wanted}
    found = connection.execute(_counts(connection.dialect.name), {"windows": bulk.encode(connection, rows)})
    for number, before, rings, times in found:
        counts[wanted[number].window] = RingCount(before, rings - before, None if times is None else _parse(times))
    return counts


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
    windows = bulk.rows_of(dialect, "windows", _WINDOW, "w")
    on_postgresql = dialect == "postgresql"
    # Instants as the integers of SQLite, so that both databases return the times as one list of numbers.
    time = "(EXTRACT(EPOCH FROM c.rings_at) * 1000000)::bigint" if on_postgresql else "c.rings_at"
    times = f"json_agg({time})::text" if on_postgresql else f"json_group_array({time})"
    statuses = ", ".join(f"'{status}'" for status in ACTIVE_STATUSES)
    branches = (
        "SELECT w.number, sum(CASE WHEN c.rings_at <= w.moment THEN 1 ELSE 0 END) AS before, count(*) AS rings, "
        f"CASE WHEN count(*) >= w.enough THEN {times} END AS times "
        f"FROM {windows} CROSS JOIN callbacks AS c WHERE {condition} "
        f"AND c.rings_at > w.since AND c.rings_at < w.until AND c.status IN ({statuses}) GROUP BY w.number, w.enough"
        for condition in (
            "w.network IS NULL AND c.site = w.site",
            # COALESCE leaves the index of the network as the only one that fits: a site may have many more rings.
            "c.client_network = w.network AND COALESCE(c.site, '') = w.site",
        )
    )
    return text(" UNION ALL ".join(branches)).columns(*_RESULT)


def _parse(times: str) -> tuple[datetime, ...]:
    return tuple(EPOCH + timedelta(microseconds=value) for value in sorted(json.loads(times)))
