"""The measurements, one after another: beside the measured program only the load and the upstream run."""

import os
import time
from pathlib import Path

from app.routes.widget_files import read_release
from benchmarks.challenges import write_solved_challenges
from benchmarks.databases import Databases
from benchmarks.dose import Dose
from benchmarks.filling import fill, postpone
from benchmarks.load import load
from benchmarks.ours import DEFAULT_FLOOD_LIMIT, KEY, run_service
from benchmarks.peers.running import BARE, PROXIES, peer, title
from benchmarks.processes import resident
from benchmarks.results import STATES, Measurement, Results
from benchmarks.single import accept_to_received, first_202
from benchmarks.upstreams import DELAYS, Upstreams

_BROWSER_DIVISOR = 2  # shorter rounds, because their challenges have to be solved first
_SPARE = 1.3  # challenges for each request that is expected


def log_progress(text: str) -> None:
    """Print a line of progress with the time of day."""
    print(f"  {time.strftime('%H:%M:%S')}  {text}", flush=True)


def _measure_refusals(
    dose: Dose, folder: Path, database: str, state: str, upstreams: Upstreams, results: Results
) -> None:
    """Measure the answers to a flood from one address (429), and to pages of foreign origins (403)."""
    log_progress(f"ours on SQLite, {state}: refusals")
    with run_service(folder, database, upstreams.url(0), flood=DEFAULT_FLOOD_LIMIT) as service:
        results.flood[state] = load(dose, service.port, "crowd", KEY, refusals=True)
    with run_service(folder, database, upstreams.url(0)) as service:
        results.foreign[state] = load(dose, service.port, "foreign", "-", refusals=True)


def measure_peers(dose: Dose, folder: Path, upstreams: Upstreams, results: Results) -> None:
    """Measure the alternatives to this service, and FastAPI alone."""
    for name in PROXIES:
        results.titles[name] = title(name)
        for delay in DELAYS:
            log_progress(f"{results.titles[name]}, Chaser takes {delay} ms")
            with peer(name, upstreams.url(delay), folder) as port:
                results.peers[name, delay] = load(dose, port, "key", KEY)
    results.titles[BARE] = title(BARE)
    for quiet in (False, True):
        log_progress(results.titles[BARE] + (", without its line in the log" if quiet else ""))
        with peer(BARE, upstreams.url(0), folder, quiet=quiet) as port:
            measured = load(dose, port, "key", KEY)
        if quiet:
            results.bare_quiet = measured
        else:
            results.bare = measured


def measure_ours(dose: Dose, folder: Path, kind: Databases, upstreams: Upstreams, results: Results) -> None:
    """Measure the service on one kind of database, in each of its states."""
    for state in STATES:
        measured = results.service[kind.title, state] = Measurement()
        name = f"{kind.title.split()[0].lower()}_{state}"
        database = kind.new(name)
        if state != "empty":
            log_progress(f"{kind.title}: filling a database ({state})")
        fill(
            database,
            placed=dose.stored if state == "stored" else 0,
            waiting=dose.waiting if state == "waiting" else 0,
        )
        os.sync()  # otherwise the kernel would write the new rows to the disk during the measurement
        for delay in DELAYS:
            log_progress(f"ours on {kind.title}, {state}, Chaser takes {delay} ms")
            with run_service(folder, database, upstreams.url(delay)) as service:
                measured.loads[delay] = load(dose, service.port, "key", KEY)
                measured.memory = max(measured.memory, resident(service.process, "VmHWM"))
        # Callbacks that were accepted under load are still queued. The single requests must not wait behind them.
        postpone(database)
        log_progress(f"ours on {kind.title}, {state}: single requests")
        with run_service(folder, database, upstreams.url(0)) as service:
            measured.accept_to_received = accept_to_received(dose, service.port, upstreams)
        measured.first_202 = first_202(dose, folder, database, upstreams)
        if kind.title == "SQLite":
            _measure_refusals(dose, folder, database, state, upstreams, results)


def measure_browsers(dose: Dose, folder: Path, kind: Databases, upstreams: Upstreams, results: Results) -> None:
    """Measure requests as browsers send them: an allowed Origin, and a new solved challenge for each."""
    log_progress(f"ours on {kind.title}: with challenges, which are solved first")
    # An upper limit: with a challenge each request costs more.
    max_rate = results.service[kind.title, "empty"].loads[DELAYS[-1]].rate

    def challenges(seconds: int) -> str:
        file = folder / "challenges.txt"
        write_solved_challenges(max(100, round(max_rate * seconds * _SPARE)), file)
        return str(file)

    with run_service(folder, kind.new("browsers"), upstreams.url(300), flood=DEFAULT_FLOOD_LIMIT) as service:
        results.browser = load(dose, service.port, "browser", challenges, divisor=_BROWSER_DIVISOR)


def measure_widget(results: Results) -> None:
    """Measure the compressed size of the widget's files in bytes."""
    files = read_release().files
    parts = ("widget.js", "dialog.js", "callbacks.js", "styles.js", "messages.ru.js")
    for coding in ("br", "gzip"):
        results.widget[f"loader, {coding}"] = len(files["widget.js"].coded[coding].body)
        results.widget[f"everything, {coding}"] = sum(len(files[part].coded[coding].body) for part in parts)
