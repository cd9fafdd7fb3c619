"""Logs: one JSON line per event, with the request id and without personal data or secrets."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from app.logs import REFUSALS_PER_SECOND
from app.simulator.options import DEMO_PRIVATE_KEY
from tests.routes.refusal import CANARY, CANARY_HEADERS
from tests.running import API_KEY, AUTHORIZED, ORIGIN, Chaser, Process, chaser, phone, process, until, values

PRELUDE = """
import logging
from app.logs import configure_logging, event, request_id
configure_logging()
log = logging.getLogger("app.test")
"""


def lines_of(output: str) -> list[dict[str, Any]]:
    """Parse log output. Fails unless every line of it is JSON."""
    assert output.endswith("\n")
    return [json.loads(line) for line in output.splitlines()]


def logged(code: str) -> tuple[str, list[dict[str, Any]]]:
    """Run code in a new process, because logging is configured for the whole process. Returns output and lines."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout, lines_of(done.stdout)


def test_events_are_lines_with_a_time_a_level_a_logger_and_their_fields() -> None:
    code = """
event(log, "shop.opened", site="shop", calls=3, at=None)
event(log, "shop.broken", logging.ERROR)
log.debug("too fine")
logging.getLogger("somebody.else").info("not ours")
logging.getLogger("somebody.else").warning("a warning of %s", "theirs")
"""
    _, lines = logged(code)
    assert [(line["level"], line["logger"], line["event"]) for line in lines] == [
        ("INFO", "app.test", "shop.opened"),
        ("ERROR", "app.test", "shop.broken"),
        ("WARNING", "somebody.else", "a warning of theirs"),
    ]
    assert (lines[0]["site"], lines[0]["calls"], lines[0]["at"]) == ("shop", 3, None)
    assert datetime.fromisoformat(lines[0]["time"]).utcoffset() is not None
    assert "request_id" not in lines[0]


def test_events_within_a_request_have_its_id() -> None:
    _, lines = logged('request_id.set("abc")\nevent(log, "a")\nevent(log, "b", request_id="own")')
    assert [line["request_id"] for line in lines] == ["abc", "own"]


def test_fields_may_have_names_that_logging_reserves() -> None:
    _, lines = logged('event(log, "a", name="shop", module="m", created=1, message="hello")')
    assert (lines[0]["name"], lines[0]["module"], lines[0]["created"]) == ("shop", "m", 1)
    assert (lines[0]["logger"], lines[0]["event"]) == ("app.test", "a")
    assert lines[0]["message"] == "hello"


def test_text_can_neither_start_a_line_nor_contain_a_terminal_escape() -> None:
    output, lines = logged(
        r"""event(log, "a\r\nb", field="x\n{}\x1b[31m\x00\x7f\x85\u2028\u202e\ud800", **{"k\n": 1})"""
    )
    assert len(lines) == 1
    assert lines[0]["field"] == "x\n{}\x1b[31m\x00\x7f\x85\u2028\u202e\ud800"
    assert re.fullmatch(r"[\x20-\x7f]*\n", output)
    assert "\x1b" not in output


def test_an_exception_is_logged_with_its_type_and_location_and_without_its_text() -> None:
    code = """
def inner():
    raise ValueError("the number is 79161234567")
try:
    try:
        inner()
    except ValueError as error:
        raise RuntimeError("and again 79161234567") from error
except RuntimeError:
    log.exception("it.broke")
try:
    raise ExceptionGroup("79161234567", [ValueError("79161234567")])
except ExceptionGroup as group:
    log.error("group.broke", exc_info=group)
log.error("nothing.broke", exc_info=True)
"""
    output, lines = logged(code)
    assert "79161234567" not in output
    assert re.fullmatch(r"RuntimeError at <string>:\d+ <module>", lines[0]["exception"])
    assert lines[0]["event"] == "it.broke"
    assert lines[1]["exception"].startswith("ExceptionGroup at <string>:")
    assert lines[2]["event"] == "nothing.broke"


def test_an_exception_of_a_task_that_was_not_awaited_is_logged_without_its_text_too() -> None:
    code = """
import asyncio, gc
async def lost():
    raise ValueError("the number is 79161234567")
async def main():
    asyncio.create_task(lost())
    await asyncio.sleep(0.01)
asyncio.run(main())
gc.collect()
"""
    output, lines = logged(code)
    assert "79161234567" not in output
    assert lines[0]["event"] == "Task exception was never retrieved"
    assert re.fullmatch(r"ValueError at <string>:\d+ lost", lines[0]["exception"])


def test_of_a_flood_of_refusals_a_few_lines_a_second_are_logged_with_the_number_of_the_others() -> None:
    code = """
import time
for _ in range(500):
    event(log, "http.request", status=429)
    event(log, "http.refused", status=429)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
event(log, "http.request", status=202)
event(log, "it.broke", logging.ERROR, status=500)
time.sleep(1)
event(log, "http.request", status=404)
"""
    _, lines = logged(code)
    *refused, accepted, broken, last = lines
    assert (accepted["status"], broken["status"], last["status"]) == (202, 500, 404)
    assert len(refused) <= 3 * REFUSALS_PER_SECOND, "the loop lasts for two seconds at most"
    assert sum(line.get("suppressed", 0) for line in lines) == 1500 - len(refused)


def test_verbose_libraries_log_no_addresses() -> None:
    code = """
for name in ("httpx2", "httpcore2.connection", "sqlalchemy.engine.Engine", "uvicorn.access", "alembic.runtime"):
    logging.getLogger(name).info("GET https://api.chaser.ru/v1/call?client_phone=79161234567")
logging.getLogger("slowapi").warning("ratelimit 5 per 1 hour (write 192.0.2.1) exceeded")
"""
    assert logged(code + 'event(log, "end")')[1][0]["event"] == "end"


@dataclass
class Busy:
    """A service that has handled many requests: its output, and two of its responses."""

    output: str
    lines: list[dict[str, Any]]
    accepted: httpx2.Response
    refused: httpx2.Response

    def events(self, name: str, **fields: object) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name and line.items() >= fields.items()]


NUMBER, SECOND = phone(), phone()
SECRETS = [
    CANARY,
    API_KEY,
    DEMO_PRIVATE_KEY,
    "127.0.0.1:0",
    "203.0.113.77",
    "Consent-words",
    NUMBER,
    SECOND,
    "SecurityKey",
]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Busy:
    """Run a service through successes and failures, with secrets in every place that a caller can write to."""
    folder = tmp_path_factory.mktemp("logs")
    chosen = values(folder, trusted_proxies=["127.0.0.1"], limits={"flood": "40/hour"})
    with chaser() as far_side:
        chosen["chaser"]["api_url"] = far_side.api_url
        with process(folder, chosen) as here:
            here.http.headers.update(CANARY_HEADERS | {"x-forwarded-for": "203.0.113.77"})
            accepted, refused = _send_everything(here, far_side)
            here.terminate()
            output = here.output()
    return Busy(output, lines_of(output), accepted, refused)


def _send_everything(here: Process, far_side: Chaser) -> tuple[httpx2.Response, httpx2.Response]:
    accepted = here.ask(
        client_phone=NUMBER,
        active_page=f"{ORIGIN}/{CANARY}?phone={NUMBER}",
        referrer=f"https://a.example/{CANARY}",
        request_id=CANARY,
        consent={"accepted": True, "text": f"Consent-words {CANARY}"},
    )
    assert accepted.status_code == 202
    here.wait_for(accepted.json()["id"], "placed")
    here.ask(client_phone=NUMBER)
    far_side.fault("status", status=500, body=f"{CANARY} {SECOND}", times=1)
    second = here.ask(
        AUTHORIZED, client_phone=SECOND, message_on_ring=CANARY, manager_phone="74951234567", client_ip="203.0.113.77"
    )
    until(lambda: here.status(second.json()["id"]) == "unknown")
    refused = here.ask(client_phone=CANARY, department=CANARY, **{CANARY: CANARY})
    here.ask({"origin": f"https://{CANARY}.example"}, client_phone=NUMBER)
    here.ask({"authorization": f"Bearer {API_KEY}{CANARY}"}, client_phone=NUMBER)
    here.http.get(f"/{CANARY}/{NUMBER}?phone={NUMBER}")
    here.http.get(f"/v1/callbacks/{CANARY}?phone={NUMBER}")
    here.http.get(f"/v1/sites/{quote(CANARY + chr(13) + chr(10) + '{}' + chr(27) + '[31m')}")
    here.http.post("/v1/callbacks", content=f'{{"{CANARY}', headers={"content-type": "application/json"})
    here.http.post("/v1/callbacks", content=CANARY * 10_000, headers={"content-type": CANARY})
    preflight = {"origin": f"https://{CANARY}.example", "access-control-request-method": "POST"}
    here.http.options("/v1/callbacks", headers=preflight)
    here.http.request("GET", "/v1/sites/shop", headers={"upgrade": "websocket", "connection": "upgrade"})
    while here.http.get(f"/v1/sites/shop?{CANARY}").status_code != 429:
        pass
    return accepted, refused


def test_every_line_of_a_busy_service_is_an_event(busy: Busy) -> None:
    assert len(busy.lines) > 30
    for line in busy.lines:
        assert line.keys() >= {"time", "level", "logger", "event"}
        datetime.fromisoformat(line["time"])


@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
def test_no_secret_phone_number_or_text_of_a_caller_is_in_the_log_of_a_busy_service(busy: Busy, secret: str) -> None:
    for form in (secret, secret.lower(), quote(secret), secret.removeprefix("7")):
        assert form not in busy.output


def test_no_output_of_a_busy_service_contains_a_control_character(busy: Busy) -> None:
    assert re.fullmatch(r"[\x20-\x7e\n]*", busy.output)


def test_the_log_line_of_an_accepted_request_is_found_by_the_id_in_its_response(busy: Busy) -> None:
    request_id = busy.accepted.headers["x-request-id"]
    (accepted,) = busy.events("callback.accepted", request_id=request_id)
    assert not busy.events("http.request", request_id=request_id)
    assert accepted["callback"] == busy.accepted.json()["id"]
    assert accepted["logger"] == "app.admission.conductor"
    assert accepted["client_phone"] == f"***{NUMBER[-2:]}"


def test_the_log_lines_of_an_error_are_found_by_the_id_in_its_response(busy: Busy) -> None:
    request_id = busy.refused.json()["request_id"]
    (refused,) = busy.events("http.refused", request_id=request_id)
    assert (refused["status"], refused["code"]) == (422, "invalid")
    assert busy.events("http.request", request_id=request_id, status=422)


def test_an_attempt_is_logged_with_its_outcome_and_without_a_request_id(busy: Busy) -> None:
    (placed,) = busy.events("delivery.attempt", outcome="placed")
    (unknown,) = busy.events("delivery.attempt", outcome="unknown")
    assert placed["callback"] == busy.accepted.json()["id"]
    assert placed["client_phone"] == f"***{NUMBER[-2:]}"
    assert unknown["http_status"] == 500
    assert "request_id" not in placed


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 422, 429])
def test_every_kind_of_response_has_its_log_line(busy: Busy, status: int) -> None:
    assert busy.events("http.request", status=status)


def test_a_healthy_service_logs_no_errors(busy: Busy) -> None:
    assert not [line for line in busy.lines if line["level"] in ("ERROR", "CRITICAL")]


def test_invalid_settings_are_reported_on_standard_error_without_their_values(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.entrypoint", "serve"],
        env={"PATH": "/usr/bin:/bin", "CHASER__PRIVATE_KEY": CANARY, "SITES__SHOP__SITE_ID": CANARY},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "CHASER__CLIENT_ID" in done.stderr
    assert CANARY not in done.stderr + done.stdout
