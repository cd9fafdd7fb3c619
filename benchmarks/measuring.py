"""What is measured, one thing after another: nothing else runs beside it but the load and the upstream."""

import os
import time
from pathlib import Path

from app.routes.widget_files import read_release
from benchmarks.challenges import solve_some
from benchmarks.databases import Databases
from benchmarks.dose import Dose
from benchmarks.filling import fill, put_off
from benchmarks.load import load
from benchmarks.ours import DEFAULT, KEY, ours
from benchmarks.peers.running import BARE, PROXIES, peer, title
from benchmarks.processes import resident
from benchmarks.results import STATES, Kept, Results
from benchmarks.single import accept_to_received, first_202
from benchmarks.upstreams import DELAYS, Upstreams

_BROWSER_SHORTER = 2  # its challenges have to be made before
_ROOM = 1.3  # more challenges than will be used


def say(text: str) -> None:
    """Tell whoever waits what is being done."""
    print(f"  {time.strftime('%H:%M:%S')}  {text}", flush=True)


def _measure_refusals(
    dose: Dose, folder: Path, database: str, state: str, upstreams: Upstreams, results: Results
) -> None:
    """Measure what a flood from one address gets, and what pages get that may not ask."""
    say(f"ours on SQLite, {state}: refusals")
    with ours(folder, database, upstreams.url(0), flood=DEFAULT) as service:
        results.flood[state] = load(dose, service.port, "crowd", KEY, refusals=True)
    with ours(folder, database, upstreams.url(0)) as service:
        results.foreign[state] = load(dose, service.port, "foreign", "-", refusals=True)


def measure_peers(dose: Dose, folder: Path, upstreams: Upstreams, results: Results) -> None:
    """Measure everything that people would use instead, and FastAPI alone."""
    for name in PROXIES:
        results.titles[name] = title(name)
        for delay in DELAYS:
            say(f"{results.titles[name]}, Chaser takes {delay} ms")
            with peer(name, upstreams.url(delay), folder) as port:
                results.peers[name, delay] = load(dose, port, "key", KEY)
    results.titles[BARE] = title(BARE)
    for quiet in (False, True):
        say(results.titles[BARE] + (", without its line in the log" if quiet else ""))
        with peer(BARE, upstreams.url(0), folder, quiet=quiet) as port:
            found = load(dose, port, "key", KEY)
        if quiet:
            results.bare_quiet = found
        else:
            results.bare = found


def measure_ours(dose: Dose, folder: Path, kind: Databases, upstreams: Upstreams, results: Results) -> None:
    """Measure ours on one kind of database, in every state of it."""
    for state in STATES:
        kept = results.ours[kind.title, state] = Kept()
        name = f"{kind.title.split()[0].lower()}_{state}"
        database = kind.new(name)
        if state != "empty":
            say(f"{kind.title}: filling a database ({state})")
        fill(
            database,
            delivered=dose.stored if state == "stored" else 0,
            waiting=dose.waiting if state == "waiting" else 0,
        )
        os.sync()  # a gigabyte that was just filled in is written to the disk meanwhile, else
        for delay in DELAYS:
            say(f"ours on {kind.title}, {state}, Chaser takes {delay} ms")
            with ours(folder, database, upstreams.url(delay)) as service:
                kept.loads[delay] = load(dose, service.port, "key", KEY)
                kept.memory = max(kept.memory, resident(service.process, "VmHWM"))
        # What was accepted under load still waits: it, and what waited before, must not stand before the single ones.
        put_off(database)
        say(f"ours on {kind.title}, {state}: single requests")
        with ours(folder, database, upstreams.url(0)) as service:
            kept.accept_to_received = accept_to_received(dose, service.port, upstreams)
        kept.first_202 = first_202(dose, folder, database, upstreams)
        if kind.title == "SQLite":
            _measure_refusals(dose, folder, database, state, upstreams, results)


def measure_browsers(dose: Dose, folder: Path, kind: Databases, upstreams: Upstreams, results: Results) -> None:
    """Measure what browsers send: an allowed Origin and a solved challenge, new for each request."""
    say(f"ours on {kind.title}: with challenges, which are made first")
    # With one to check there is more to do for each request than without.
    most_in_a_second = results.ours[kind.title, "empty"].loads[DELAYS[-1]].rate

    def challenges(seconds: int) -> str:
        file = folder / "challenges.txt"
        solve_some(max(100, round(most_in_a_second * seconds * _ROOM)), file)
        return str(file)

    with ours(folder, kind.new("browsers"), upstreams.url(300), flood=DEFAULT) as service:
        results.browser = load(dose, service.port, "browser", challenges, shorter=_BROWSER_SHORTER)


def measure_widget(results: Results) -> None:
    """Weigh what a page loads, as it goes over the wire."""
    files = read_release().files
    parts = ("widget.js", "dialog.js", "callbacks.js", "styles.js", "messages.ru.js")
    for coding in ("br", "gzip"):
        results.widget[f"loader, {coding}"] = len(files["widget.js"].coded[coding].body)
        results.widget[f"everything, {coding}"] = sum(len(files[part].coded[coding].body) for part in parts)
