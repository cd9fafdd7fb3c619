"""Single requests, one after another: how long until Chaser has the call, and until a started service accepts one."""

import contextlib
import http.client
import itertools
import json
import re
import time
from pathlib import Path

from benchmarks.dose import SITES, Dose
from benchmarks.figures import Times, times
from benchmarks.ours import KEY, SITE_NAMES, ours
from benchmarks.upstreams import Upstreams

_GAP = 0.06  # seconds: below CALLS_PER_SECOND, so that no call waits for its turn
_START = 30.0
_phones = itertools.count(79_150_000_000)
_HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
_PHONE = re.compile(r"7915\d{7}")


def accept_to_received(dose: Dose, port: int, upstreams: Upstreams) -> Times:
    """Measure from before a POST is sent until the upstream has read the call, in ms, while nothing else is asked.

    Raises RuntimeError when a call doesn't arrive.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent: dict[str, float] = {}
    for number in range(dose.idle + 1):
        phone = str(next(_phones))
        sent[phone] = time.monotonic()
        if (status := _ask(connection, phone, SITE_NAMES[number % SITES])) != 202:
            raise RuntimeError(f"a request was not accepted, but answered {status}")
        time.sleep(_GAP)
    time.sleep(1)
    connection.close()
    del sent[next(iter(sent))]  # the first opens connections to the database
    arrived = {found[0]: when for when, text in upstreams.received(0) if (found := _PHONE.search(text))}
    if missing := sent.keys() - arrived.keys():
        raise RuntimeError(f"{len(missing)} of {len(sent)} calls did not arrive")
    return times([(arrived[phone] - begun) * 1000 for phone, begun in sent.items()])


def first_202(dose: Dose, folder: Path, database: str, upstreams: Upstreams) -> Times:
    """Measure from the start of the process until it has answered a request with 202, in ms."""
    samples = []
    for _ in range(dose.starts):
        began = time.monotonic()
        with ours(folder, database, upstreams.url(0), sites=1, wait=False) as service:
            while not _accepts(service.port):
                if time.monotonic() > began + _START or service.process.poll() is not None:
                    raise RuntimeError(f"the service does not start: {folder / 'ours.log'}")
                time.sleep(0.005)
            samples.append((time.monotonic() - began) * 1000)
    return times(samples)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            return _ask(connection, str(next(_phones)), SITE_NAMES[0]) == 202
        finally:
            connection.close()
    return False


def _ask(connection: http.client.HTTPConnection, phone: str, site: str) -> int:
    body = json.dumps({"site": site, "client_phone": f"+{phone}", "request_id": phone})
    # An address of its own, or the flood limit of 60 a minute would answer.
    number = int(phone[-7:])
    address = f"59.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    connection.request("POST", "/v1/callbacks", body, _HEADERS | {"X-Forwarded-For": address})
    answer = connection.getresponse()
    answer.read()
    return answer.status
