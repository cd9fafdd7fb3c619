"""The load client: visitors send requests, retry with the same request_id, and record every answer for the oracle."""

import http.client
import itertools
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from app.simulator.options import DEMO_SITE_ID
from tests.faults.oracle import Answer, RequestRecord
from tests.running import AUTHORIZED, ORIGIN, phone

_NONCE = re.compile(r"nonce=([0-9a-f]{32})")
_numbers = itertools.count()


def nonce_of(active_page: str | None) -> str | None:
    """Return the nonce in the URL of a page, or None."""
    match = _NONCE.search(active_page or "")
    return match[1] if match else None


@dataclass(slots=True)
class VisitorRequest:
    """A request and its retries: body and headers of each attempt, the parameters Chaser should get, the answers.

    `address`: from which it is sent.
    """

    nonce: str
    body: dict[str, Any]
    headers: dict[str, str]
    expected: dict[str, str]
    address: str
    answers: list[Answer] = field(default_factory=list)

    @property
    def record(self) -> RequestRecord:
        """The request as the oracle needs it."""
        return RequestRecord(self.nonce, self.expected, tuple(self.answers))


def new_request(number: str | None = None, site: str = "shop", address: str | None = None) -> VisitorRequest:
    """Create a request with a new nonce; every third is sent with an API key and sets more fields.

    By default each has an address of its own: many phones asked for from one address would be held as a burst. With an
    `address` it is a visitor's. The texts contain everything that an encoding could damage: Cyrillic, escapes, `+`,
    `~`, names of Chaser's keys.
    """
    nonce = uuid.uuid4().hex
    number = number or phone()
    page = f"{ORIGIN}/~каталог/?nonce={nonce}&q=я+ты%20[1]#отзывы"
    referrer = f"https://поиск.рф/?{nonce}&PrivateSecurityKey=x&client_id=1"
    body = {"site": site, "client_phone": number, "active_page": page, "referrer": referrer}
    n = next(_numbers)
    by_key = address is None and n % 3 == 0
    address = address or f"127.{2 + n // 50_000 % 200}.{n // 250 % 200}.{1 + n % 250}"
    parameters = {"client_phone": number, "active_page": page, "referrer": referrer, "client_ip": address}
    headers = {"origin": ORIGIN}
    if by_key:
        privileged = {"client_ip": "2001:db8::7", "message_on_ring": f"Звонок «~{nonce}» 📞", "manager_phone": "74951"}
        privileged["manager_phone"] += f"{random.randrange(10**6):06}"
        body, parameters, headers = body | privileged, parameters | privileged, dict(AUTHORIZED)
    body["request_id"] = str(uuid.uuid4())
    return VisitorRequest(nonce, body, headers, parameters | {"site_id": DEMO_SITE_ID}, address)


def send_once(request: VisitorRequest, url: str, timeout: float = 8.0) -> Answer:
    """Send a request once on a new connection, record its answer and return it. `timeout` is in seconds."""
    started = time.monotonic()
    status = callback_id = code = None
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout, source_address=(request.address, 0))
    try:
        headers = request.headers | {"content-type": "application/json", "connection": "close"}
        connection.request("POST", "/v1/callbacks", json.dumps(request.body).encode(), headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        status, callback_id, code = response.status, body.get("id"), body.get("code")
    except (OSError, http.client.HTTPException, ValueError):
        pass  # no answer: whether the request was accepted is unknown
    finally:
        connection.close()
    answer = Answer(status, callback_id if status == 202 else None, time.monotonic() - started, code)
    request.answers.append(answer)
    return answer


def send_with_retries(
    request: VisitorRequest, urls: Sequence[str], retry_for: float = 60.0, timeout: float = 8.0
) -> None:
    """Send a request to random URLs until an answer is below 500, for at most `retry_for` seconds."""
    deadline = time.monotonic() + retry_for
    while True:
        answer = send_once(request, random.choice(urls), timeout)
        if (answer.status is not None and answer.status < 500) or time.monotonic() > deadline:
            return
        time.sleep(random.uniform(0.05, 0.2))


class Crowd:
    """Visitors that send one request after another, each in a thread, until `stop`."""

    def __init__(
        self,
        urls: Sequence[str],
        visitors: int = 6,
        pause: float = 0.04,
        retry_for: float = 60.0,
        timeout: float = 8.0,
    ) -> None:
        """All times in seconds. `pause`: between two requests of a visitor. `retry_for`, `timeout`: of one request."""
        self._urls = urls
        self._pause = pause
        self._retry_for = retry_for
        self._timeout = timeout
        self._stopping = threading.Event()
        self._requests: list[VisitorRequest] = []
        self._threads = [threading.Thread(target=self._visit, name=f"visitor-{n}") for n in range(visitors)]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the visitors; return when the current request of each has ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def records(self) -> list[RequestRecord]:
        """All requests so far, for the oracle."""
        return [request.record for request in list(self._requests)]

    def _visit(self) -> None:
        while not self._stopping.is_set():
            request = new_request()
            self._requests.append(request)
            send_with_retries(request, self._urls, self._retry_for, self._timeout)
            self._stopping.wait(self._pause * random.uniform(0.5, 1.5))


def send_concurrently(requests: Sequence[VisitorRequest], urls: Sequence[str], timeout: float = 60.0) -> None:
    """Send all requests once at the same moment, spread over the URLs."""
    barrier = threading.Barrier(len(requests))

    def send(request: VisitorRequest, url: str) -> None:
        barrier.wait(timeout)
        send_once(request, url, timeout)

    pairs = zip(requests, itertools.cycle(urls), strict=False)
    threads = [threading.Thread(target=send, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
