"""A recognisable number and three keys, sent through every success and every failure of one service."""

import hashlib
import sqlite3
from base64 import b64encode
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from app.simulator.options import DEMO_SITE_ID
from tests.running import ORIGIN, Chaser, Process, client, until, values

PHONE = "79165550147"
PRIVATE_KEY = "canary-of-the-private-key-3f9d"
API_KEY = "ccb_canary-of-the-api-key-8e21"
SECRET_KEY = "canary-of-the-signing-key-0123456789-77ab"
KEYS = (PRIVATE_KEY, API_KEY, SECRET_KEY)
NUMBERS = (PHONE[1:], "555-01-47", "555 01 47", "5550147")
SECRET_TEXT = f"{PHONE} {API_KEY}"
"""Sent in every place that a client can write to."""
SITES = [f"site-{number}" for number in range(40)]
JSON = {"content-type": "application/json"}
KEYED = {"authorization": f"Bearer {API_KEY}"}
PAGE = {"origin": ORIGIN}


def secrets_in(text: str, secrets: tuple[str, ...] = (*KEYS, *NUMBERS)) -> list[str]:
    """Return the secrets that a text contains, in plain, percent-encoded or base64."""
    forms = {
        form: secret for secret in secrets for form in (secret, quote(secret), b64encode(secret.encode()).decode())
    }
    return sorted({secret for form, secret in forms.items() if form.lower() in text.lower()})


def secret_values(folder: Path, chaser_url: str, **overrides: Any) -> dict[str, Any]:
    key = {"sha256": hashlib.sha256(API_KEY.encode()).hexdigest(), "scopes": ["callbacks:write", "callbacks:read"]}
    chosen: dict[str, Any] = {
        "chaser": {"private_key": PRIVATE_KEY, "timeout": "1s"},
        "secret_key": SECRET_KEY,
        "sites": {name: {"site_id": int(DEMO_SITE_ID), "origins": [ORIGIN]} for name in SITES},
        "api_keys": {"crm": key, "reader": key | {"sha256": hashlib.sha256(b"another").hexdigest()}},
        "retry_schedule": "100ms",
        "resend_after": "1s",
    }
    return values(folder, chaser_url, **(chosen | overrides))


class Everything:
    """Drives one service through every success and failure, and records each response in `answers`."""

    def __init__(self, here: Process, far_side: Chaser, folder: Path) -> None:
        self.here, self.far_side, self.folder = here, far_side, folder
        self.answers: list[str] = []
        self._sites = iter(SITES)
        here.http.event_hooks["response"] = [self._record]
        here.http.headers.update({"user-agent": SECRET_TEXT, "cookie": f"a={SECRET_TEXT}", "x-api-key": API_KEY})

    def _record(self, answer: httpx2.Response) -> None:
        answer.read()
        self.answers.append(f"{answer.status_code} {answer.headers} {answer.text}")

    def succeed(self) -> None:
        """Place a callback, and repeat its request in every way."""
        fields = {
            "client_phone": "8 (916) 555-01-47",
            "active_page": f"{ORIGIN}/catalog",
            "request_id": "request-1",
        }
        answer = self.here.ask(KEYED, **fields)
        # Without a key: a response with all fields has the number in it.
        until(lambda: self.here.public_status(answer.json()["id"]) == "placed")
        self.here.ask(KEYED, **fields)
        self.here.ask(KEYED, **fields | {"department": PHONE})
        self.here.ask(KEYED, **fields | {"active_page": f"{ORIGIN}/another"})
        self.here.ask(PAGE, client_phone=PHONE, challenge=PHONE)
        for path in ("/livez", "/readyz", "/openapi.json", "/docs", "/metrics", "/v1/sites/shop", "/widget.js"):
            self.here.http.get(path)
        for path in (f"/v1/challenge?site=shop&tel={PHONE}", f"/v1/callbacks?client_phone={PHONE}"):
            self.here.http.get(path)

    def send_refused_requests(self) -> None:
        """Send the number and the key in every place that a client can write to."""
        for changed in ({"client_phone": f"{PHONE}x"}, {PHONE: 1}, {"site": PHONE}, {"consent": {PHONE: API_KEY}}):
            for headers in (PAGE, KEYED, {}):
                self.here.ask(headers, **({"client_phone": PHONE} | changed))
        for authorization in (API_KEY, f"Basic {API_KEY}", f"Bearer {API_KEY}x", f"bearer  {API_KEY} {PHONE}"):
            self.here.ask({"authorization": authorization}, client_phone=PHONE)
        self.here.ask({"authorization": "Bearer another"}, client_phone=PHONE)
        self.here.ask({"origin": f"https://{PHONE}.example"}, client_phone=PHONE)
        self.here.ask(KEYED | {"idempotency-key": PHONE}, client_phone=PHONE, request_id=API_KEY)
        for body in (f'{{"client_phone": "{PHONE}', f"[{PHONE}]", f"client_phone={PHONE}&key={API_KEY}", PHONE * 2000):
            self.here.http.post("/v1/callbacks", content=body, headers=JSON | PAGE)
        for path in (f"/{PHONE}", f"/v1/callbacks/{PHONE}", f"/v1/sites/{API_KEY}?{PHONE}", f"/v1/{PHONE}/retry"):
            for method in ("GET", "POST", "OPTIONS", "PROPFIND"):
                self.here.http.request(method, path, headers=PAGE | {"access-control-request-method": PHONE})

    def fail_at_chaser(self) -> None:
        """Send a callback into each failure of Chaser, most of which echo the number."""
        echo = {"body": f"client_phone={PHONE}", "headers": {"Location": f"/{PHONE}", "Retry-After": PHONE}}
        faults: list[dict[str, Any]] = [
            *({"kind": "status", "status": status, **echo} for status in (301, 400, 403, 404, 429, 500, 503)),
            *({"kind": kind} for kind in ("reset_before", "reset_unread", "close_before", "garbage", "cut_body")),
            {"kind": "hang_before", "seconds": 2},
            {"kind": "status", "status": 401, **echo},
        ]
        for fault in faults:
            self.far_side.fault(**fault)
            site = self._request_on_next_site()
            # Wait for this site's attempt, as other callbacks are resent meanwhile.
            until(lambda of=site: self._is_attempted(of))
        self.far_side.clear_faults()

    def fail_in_the_database(self) -> None:
        """Send requests while statements of the API and the worker fail, and while a table is missing."""
        with closing(sqlite3.connect(self.folder / "callbacks.db", isolation_level=None)) as database:
            for table, event in (("callbacks", "INSERT"), ("attempts", "INSERT"), ("attempts", "UPDATE")):
                database.execute(f"CREATE TRIGGER broken BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, 'b'); END")
                self._request_on_next_site()
                database.execute("DROP TRIGGER broken")
            database.execute("ALTER TABLE callbacks RENAME TO lost")
            self._request_on_next_site()
            self.here.http.get("/readyz")
            database.execute("ALTER TABLE lost RENAME TO callbacks")

    def raise_unexpected_errors(self) -> None:
        """Raise an exception with all secrets in its text, in a request and in the worker."""
        broken = self.folder / "broken"
        broken.write_text(" ".join((*KEYS, PHONE)), encoding="utf-8")
        answer = self.here.ask(KEYED, client_phone=PHONE)
        assert answer.status_code == 500, answer.text
        until(lambda: "delivery.unexpected_error" in self.here.output())
        broken.unlink()

    def block_the_number(self) -> None:
        """Block the number, request it, and unblock it. An operator may see the entry, so they use another client."""
        with client(self.here.url) as operator:
            operator.headers.update(KEYED)
            assert (
                operator.post("/v1/blocklist", json={"entry": f"+{PHONE}", "note": f"asked by {PHONE}"}).status_code
                == 201
            )
            assert self.here.ask(KEYED, client_phone=PHONE).is_client_error
            assert operator.delete("/v1/blocklist", params={"entry": PHONE}).status_code == 204

    def stop(self) -> None:
        """Stop the service during a call."""
        self.far_side.fault("hang_after", seconds=5)
        self._request_on_next_site()
        with suppress(httpx2.TransportError):
            self.here.http.get(f"/livez?{PHONE}")
        self.here.terminate()

    def _request_on_next_site(self) -> str:
        """Request a callback on the next site, where it is no duplicate. Return the site."""
        site = next(self._sites)
        self.here.ask(KEYED, client_phone=PHONE, site=site)
        return site

    def _is_attempted(self, site: str) -> bool:
        query = "SELECT 1 FROM attempts JOIN callbacks ON id = callback_id WHERE site = ? AND outcome IS NOT NULL"
        with closing(sqlite3.connect(self.folder / "callbacks.db")) as database:
            return database.execute(query, (site,)).fetchone() is not None
