"""Single requests, one after another: the time until Chaser has the call, and from start to the first 202."""

import contextlib
import http.client
import itertools
import json
import re
import time
from pathlib import Path

from benchmarks.dose import SITES, Dose
from benchmarks.figures import Times, times
from benchmarks.ours import KEY, SITE_NAMES, run_service
from benchmarks.upstreams import Upstreams

_INTERVAL = 0.06  # seconds: below CALLS_PER_SECOND, so that no call waits for the rate limit
_START_TIMEOUT = 30.0  # seconds
_phones = itertools.count(79_150_000_000)
_HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
_PHONE = re.compile(r"7915\d{7}")


def accept_to_received(dose: Dose, port: int, upstreams: Upstreams) -> Times:
    """Measure the time in ms from sending a POST until the upstream has read the call, without other load.

    Raises RuntimeError if a request is not accepted or a call doesn't arrive.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent: dict[str, float] = {}
    for number in range(dose.idle + 1):
        phone = str(next(_phones))
        sent[phone] = time.monotonic()
        if (status := _post(connection, phone, SITE_NAMES[number % SITES])) != 202:
            raise RuntimeError(f"a request was answered {status}, not 202")
        time.sleep(_INTERVAL)
    time.sleep(1)
    connection.close()
    del sent[next(iter(sent))]  # the first request also opens the database connections
    arrived = {match[0]: when for when, text in upstreams.received(0) if (match := _PHONE.search(text))}
    if missing := sent.keys() - arrived.keys():
        raise RuntimeError(f"{len(missing)} of {len(sent)} calls did not arrive")
    return times([(arrived[phone] - started) * 1000 for phone, started in sent.items()])


def first_202(dose: Dose, folder: Path, database: str, upstreams: Upstreams) -> Times:
    """Measure the time in ms from the start of the process to its first 202. Raises RuntimeError if it never comes."""
    samples = []
    for _ in range(dose.starts):
        started = time.monotonic()
        with run_service(folder, database, upstreams.url(0), sites=1, wait=False) as service:
            while not _accepts(service.port):
                if time.monotonic() > started + _START_TIMEOUT or service.process.poll() is not None:
                    raise RuntimeError(f"the service does not start: {folder / 'run_service.log'}")
                time.sleep(0.005)
            samples.append((time.monotonic() - started) * 1000)
    return times(samples)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            return _post(connection, str(next(_phones)), SITE_NAMES[0]) == 202
        finally:
            connection.close()
    return False


def _post(connection: http.client.HTTPConnection, phone: str, site: str) -> int:
    body = json.dumps({"site": site, "client_phone": f"+{phone}", "request_id": phone})
    # Another client address for each request: otherwise the flood limit would refuse the 61st in a minute.
    number = int(phone[-7:])
    address = f"59.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    connection.request("POST", "/v1/callbacks", body, _HEADERS | {"X-Forwarded-For": address})
    response = connection.getresponse()
    response.read()
    return response.status
