"""The load client: visitors who ask, ask again with the same request_id when no answer comes, and keep a ledger."""

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
from tests.faults.oracle import Answer, Wish
from tests.running import AUTHORIZED, ORIGIN, phone

_NONCE = re.compile(r"nonce=([0-9a-f]{32})")
_numbers = itertools.count()


def nonce_of(active_page: str | None) -> str | None:
    """Find the nonce in the address of a page."""
    found = _NONCE.search(active_page or "")
    return found[1] if found else None


@dataclass(slots=True)
class Asking:
    """A wish while it is being asked: what is posted each time, and the answers so far."""

    nonce: str
    body: dict[str, Any]
    headers: dict[str, str]
    asked: dict[str, str]
    answers: list[Answer] = field(default_factory=list)

    @property
    def wish(self) -> Wish:
        """The ledger's entry."""
        return Wish(self.nonce, self.asked, tuple(self.answers))


def new_wish(number: str | None = None, site: str = "shop", request_id: str | None = None) -> Asking:
    """Make a wish nobody had before; every third comes from a service with an API key, which may set more.

    The texts hold what is easily damaged on the way: Cyrillic, escapes, `+`, `~`, the names of Chaser's own keys.
    """
    nonce = uuid.uuid4().hex
    number = number or phone()
    page = f"{ORIGIN}/~каталог/?nonce={nonce}&q=я+ты%20[1]#отзывы"
    referrer = f"https://поиск.рф/?{nonce}&PrivateSecurityKey=x&client_id=1"
    body = {"site": site, "client_phone": number, "active_page": page, "referrer": referrer}
    parameters = {"client_phone": number, "active_page": page, "referrer": referrer, "client_ip": "127.0.0.1"}
    headers = {"origin": ORIGIN}
    if next(_numbers) % 3 == 0:
        privileged = {"client_ip": "2001:db8::7", "message_on_ring": f"Звонок «~{nonce}» 📞", "manager_phone": "74951"}
        privileged["manager_phone"] += f"{random.randrange(10**6):06}"
        body, parameters, headers = body | privileged, parameters | privileged, dict(AUTHORIZED)
    body["request_id"] = request_id or str(uuid.uuid4())
    return Asking(nonce, body, headers, parameters | {"site_id": DEMO_SITE_ID})


def ask_once(asking: Asking, url: str, timeout: float = 8.0) -> Answer:
    """Post a wish on a connection of its own and enter the answer in the ledger."""
    began = time.monotonic()
    status = callback_id = code = None
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        headers = asking.headers | {"content-type": "application/json", "connection": "close"}
        connection.request("POST", "/v1/callbacks", json.dumps(asking.body).encode(), headers)
        response = connection.getresponse()
        said = json.loads(response.read())
        status, callback_id, code = response.status, said.get("id"), said.get("code")
    except (OSError, http.client.HTTPException, ValueError):
        pass  # nobody knows what became of it
    finally:
        connection.close()
    answer = Answer(status, callback_id if status == 202 else None, time.monotonic() - began, code)
    asking.answers.append(answer)
    return answer


def insist(asking: Asking, urls: Sequence[str], patience: float = 60.0, timeout: float = 8.0) -> None:
    """Ask until there is an answer that is one: 202, or a refusal; at any of the addresses."""
    until = time.monotonic() + patience
    while True:
        answer = ask_once(asking, random.choice(urls), timeout)
        if (answer.status is not None and answer.status < 500) or time.monotonic() > until:
            return
        time.sleep(random.uniform(0.05, 0.2))


class Crowd:
    """Visitors who ask one after another, each in a thread, until they are told to stop."""

    def __init__(
        self,
        urls: Sequence[str],
        visitors: int = 6,
        pause: float = 0.04,
        patience: float = 60.0,
        timeout: float = 8.0,
    ) -> None:
        """``pause``: seconds a visitor waits between wishes; ``patience``: seconds it goes on asking for one.

        ``timeout``: seconds after which it takes a try for lost.
        """
        self._urls = urls
        self._pause = pause
        self._patience = patience
        self._timeout = timeout
        self._stopping = threading.Event()
        self._askings: list[Asking] = []
        self._threads = [threading.Thread(target=self._visit, name=f"visitor-{n}") for n in range(visitors)]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every visitor end the wish it has begun; returns when all have."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def wishes(self) -> list[Wish]:
        """The ledger so far."""
        return [asking.wish for asking in list(self._askings)]

    def _visit(self) -> None:
        while not self._stopping.is_set():
            asking = new_wish()
            self._askings.append(asking)
            insist(asking, self._urls, self._patience, self._timeout)
            self._stopping.wait(self._pause * random.uniform(0.5, 1.5))


def all_at_once(askings: Sequence[Asking], urls: Sequence[str], timeout: float = 60.0) -> None:
    """Ask for all of them at the same moment, spread over the addresses."""
    gate = threading.Barrier(len(askings))

    def one(asking: Asking, url: str) -> None:
        gate.wait(timeout)
        ask_once(asking, url, timeout)

    pairs = zip(askings, itertools.cycle(urls), strict=False)
    threads = [threading.Thread(target=one, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
