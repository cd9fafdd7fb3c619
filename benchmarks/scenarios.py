"""The scenarios of a comparison, and one run of a checkout in one of them."""

import itertools
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.checkouts import Checkout
from benchmarks.databases import Databases
from benchmarks.dose import SITES, ComparisonDose
from benchmarks.figures import Load
from benchmarks.load import spread_load
from benchmarks.ours import KEY

DELAY = 1.0
"""Milliseconds that a round trip between service and server takes longer."""
KINDS = ("visitor", "key")
"""Requests of browsers without a challenge, or of another service; the quotas of client addresses skip the latter."""

_QUIET = "SELECT count(*) FROM callbacks WHERE status IN ('held', 'duplicate')"
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of database, and how the service uses it. `delayed`: the service connects through the delaying proxy."""

    title: str
    database: str = "PostgreSQL"
    delayed: bool = False
    replicas: int = 1
    sites: int = SITES


SOCKET = Scenario("PostgreSQL over a socket")
WITH_DELAY = Scenario(f"PostgreSQL, {DELAY:g} ms added", delayed=True)
REPLICAS = replace(WITH_DELAY, title=f"three replicas, {DELAY:g} ms added", replicas=3)
SQLITE = Scenario("SQLite", database="SQLite")
ONE_SITE = replace(SOCKET, title="PostgreSQL over a socket, one site", sites=1)
SCENARIOS = (SOCKET, WITH_DELAY, REPLICAS, SQLITE, ONE_SITE)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all runs share. `databases` and `delayed`: see Scenario. `upstream`: the URL that stands for Chaser."""

    folder: Path
    databases: dict[str, Databases]
    proxy_port: int
    upstream: str

    def url(self, scenario: Scenario, name: str) -> str:
        """Create a database and return the URL by which the service of this scenario connects."""
        url = self.databases[scenario.database].new(name)
        return through_proxy(url, self.proxy_port) if scenario.delayed else url


def through_proxy(url: str, port: int) -> str:
    """Return the URL of a PostgreSQL database with the proxy in place of the server's socket."""
    proxied = make_url(url).difference_update_query(["host", "port"]).set(host="127.0.0.1", port=port)
    return proxied.render_as_string(hide_password=False)


def run_once(scenario: Scenario, checkout: Checkout, dose: ComparisonDose, kind: str, around: Surroundings) -> Load:
    """Start the service on an empty database, load it, and return the load after the warm-up.

    Requests that were held or merged are answered 202 too, although they ring nobody. They count as unexpected.
    Raises RuntimeError if nothing was accepted.
    """
    name = f"run_{next(_numbers)}"
    url = around.url(scenario, name)
    settings = checkout.settings(url, around.upstream, scenario.sites)
    argument = KEY if kind == "key" else "-"
    try:
        with checkout.serve(around.folder, settings, scenario.replicas) as ports:
            warm_up = spread_load(ports, dose.warm_up, kind, argument, sites=scenario.sites)
            load = spread_load(ports, dose.seconds, kind, argument, sites=scenario.sites)
        if load.rate == 0:
            raise RuntimeError(f"{scenario.title}: {checkout.folder} accepted nothing: {load}")
        return replace(load, unexpected=load.unexpected + warm_up.unexpected + count_quiet(url))
    finally:
        around.databases[scenario.database].drop(name)  # otherwise autovacuum would work on it during the next run


def count_quiet(url: str) -> int:
    """Return how many requests in a database were held or merged."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        with sqlite3.connect(str(parsed.database)) as sqlite:
            count = sqlite.execute(_QUIET).fetchone()
        sqlite.close()
    else:
        with psycopg.connect(parsed.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
            count = connection.execute(_QUIET).fetchone()
    return int(count[0]) if count else 0
