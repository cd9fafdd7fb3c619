"""GET /metrics: access, counting of events, and a number of series that clients can't increase."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import psycopg
import pytest
from sqlalchemy import event

from app.routes import metrics_routes
from app.simulator.options import DEMO_CLIENT_ID, DEMO_PRIVATE_KEY
from tests.databases import PostgreSQL
from tests.outbox.factories import InspectableOutbox
from tests.routes.conftest import digest
from tests.routes.refusal import CANARY, CANARY_HEADERS, OTHER_ORIGIN, assert_protected, assert_refused
from tests.running import API_KEY, AUTHORIZED, ORIGIN, Chaser, Service, phone, service, settings, until
from tests.scraping import grown, read, scrape

WRITER_KEY, BOUND_KEY = "ccb_may-only-write", "ccb_bound-to-a-site"
JSON = {"content-type": "application/json", "origin": ORIGIN}
SendRequest = Callable[[Service], httpx2.Response]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory, far_side: Chaser) -> Iterator[Service]:
    """A service of its own: requests of other tests would be counted too."""
    chosen = settings(
        tmp_path_factory.mktemp("metrics"),
        far_side.api_url,
        sites={"other": {"site_id": 12345, "origins": [OTHER_ORIGIN]}},
        quotas={"per_phone": "3/hour"},
        duplicate_window="10m",
        api_keys={
            "writer": {"sha256": digest(WRITER_KEY), "scopes": ["callbacks:write", "chaser:read"]},
            "bound": {"sha256": digest(BOUND_KEY), "scopes": ["callbacks:read"], "sites": ["shop"]},
        },
    )
    with service(chosen) as running:
        yield running


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        (None, 401, "missing_api_key"),
        ("wrong", 401, "invalid_api_key"),
        (WRITER_KEY, 403, "scope_missing"),
        (BOUND_KEY, 403, "site_not_allowed"),
    ],
)
def test_metrics_need_an_unbound_key_with_the_read_scope(
    counted: Service, key: str | None, status: int, code: str
) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    assert_refused(counted.http.get("/metrics", headers=headers), status, code)


def test_metrics_have_both_formats_of_prometheus(counted: Service) -> None:
    plain = counted.http.get("/metrics", headers=AUTHORIZED)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert plain.headers["cache-control"] == "no-store"
    assert_protected(plain)
    metrics = read(plain)
    assert metrics['chaser_callback_build_info{version="0.2.0"}'] == 1
    assert metrics["process_resident_memory_bytes"] > 0
    accept = {"accept": "application/openmetrics-text;version=1.0.0"}
    openmetrics = counted.http.get("/metrics", headers=AUTHORIZED | accept)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def test_a_scrape_is_not_logged_as_a_request(counted: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="app")
    scrape(counted)
    assert not [record for record in caplog.records if record.message == "http.request"]


def test_every_series_is_zero_before_its_first_event(tmp_path_factory: pytest.TempPathFactory) -> None:
    with service(settings(tmp_path_factory.mktemp("new"))) as here:
        metrics = scrape(here)
    for series in (
        *(f'accepted_total{{result="{result}",site="shop"}}' for result in ("new", "held", "duplicate", "replayed")),
        'attempts_total{outcome="unknown",site="shop"}',
        'placed_total{site="shop"}',
        'delivery_latency_seconds_count{site="shop"}',
        'refused_total{code="quota_site"}',
        'queue_depth{status="held"}',
        'queue_oldest_seconds{status="queued"}',
        'circuit_open{scope="site",site="shop"}',
    ):
        assert f"chaser_callback_{series}" in metrics
        assert metrics[f"chaser_callback_{series}"] == 0


def test_accepted_requests_are_counted_by_site_and_result(counted: Service) -> None:
    before = scrape(counted)
    number, key = phone(), {"request_id": "the-same-request"}
    assert counted.ask(client_phone=number, **key).status_code == 202
    assert counted.ask(client_phone=number, **key).headers["idempotency-replayed"] == "true"
    assert counted.status(counted.accepted(client_phone=number)) == "duplicate"
    assert counted.ask(client_phone=phone(), website="filled in").status_code == 202
    other = {"site": "other", "client_phone": phone()}
    assert counted.http.post("/v1/callbacks", json=other, headers={"origin": OTHER_ORIGIN}).status_code == 202
    accepted = {series: value for series, value in grown(counted, before).items() if series.startswith("accepted")}
    assert accepted == {
        'accepted_total{result="new",site="shop"}': 1,
        'accepted_total{result="replayed",site="shop"}': 1,
        'accepted_total{result="duplicate",site="shop"}': 1,
        'accepted_total{result="held",site="shop"}': 1,
        'accepted_total{result="new",site="other"}': 1,
    }
    # Wait for their delivery. Otherwise the next test would count it.
    for site in ("shop", "other"):
        until(lambda of=site: grown(counted, before).get(f'placed_total{{site="{of}"}}') == 1)


def raw(here: Service, sent: bytes) -> httpx2.Response:
    """Send raw bytes that no HTTP client would send, and return the response."""
    url = httpx2.URL(here.url)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        connection.sendall(sent)
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return httpx2.Response(int(head.split()[1]), content=body)


ERRORS: list[tuple[str, int, SendRequest]] = [
    ("origin_missing", 403, lambda here: here.ask(headers={}, client_phone=phone())),
    ("origin_not_allowed", 403, lambda here: here.ask(headers={"origin": OTHER_ORIGIN}, client_phone=phone())),
    ("invalid_api_key", 401, lambda here: here.ask(headers={"authorization": "Bearer no"}, client_phone=phone())),
    ("malformed", 400, lambda here: here.http.post("/v1/callbacks", content=b"{", headers=JSON)),
    ("not_json", 415, lambda here: here.http.post("/v1/callbacks", content=b"{}", headers={"origin": ORIGIN})),
    ("too_large", 413, lambda here: here.http.post("/v1/callbacks", content=b" " * 20_000, headers=JSON)),
    ("not_found", 404, lambda here: here.http.get("/nothing")),
    ("method_not_allowed", 405, lambda here: here.http.delete("/v1/callbacks")),
    (
        "preflight_refused",
        403,
        lambda here: here.http.options(
            "/v1/callbacks", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
        ),
    ),
    ("bad_request", 400, lambda here: raw(here, b"\x16\x03\x01\x02\x00\r\n\r\n")),
]


@pytest.mark.parametrize(("code", "status", "send"), ERRORS, ids=[code for code, _, _ in ERRORS])
def test_an_error_response_is_counted_once_by_its_code(
    counted: Service, code: str, status: int, send: SendRequest
) -> None:
    before = scrape(counted)
    answer = send(counted)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    until(lambda: grown(counted, before) == {f'refused_total{{code="{code}"}}': 1})


def test_invalid_fields_are_counted_by_field_and_code(counted: Service) -> None:
    before = scrape(counted)
    assert counted.ask(client_phone="112", active_page=1, **{CANARY: CANARY}).status_code == 422
    assert counted.ask(client_phone="112").status_code == 422
    assert grown(counted, before) == {
        'refused_total{code="invalid"}': 2,
        'field_errors_total{code="phone_short_number",field="client_phone"}': 1,
        'field_errors_total{code="unknown_field",field="body"}': 1,
        'field_errors_total{code="string_type",field="active_page"}': 1,
    }


def test_rate_limits_and_quotas_are_counted(tmp_path_factory: pytest.TempPathFactory) -> None:
    chosen = settings(
        tmp_path_factory.mktemp("rate_limited"), limits={"flood": "3/minute"}, quotas={"per_site": "1/day"}
    )
    with service(chosen) as here:
        answers = [here.ask(AUTHORIZED, client_phone=phone()) for _ in range(5)]
        metrics = scrape(here)
    assert [answer.status_code for answer in answers] == [202, 429, 429, 429, 429]
    assert metrics['chaser_callback_refused_total{code="quota_site"}'] == 2
    assert metrics['chaser_callback_refused_total{code="rate_limited"}'] == 2


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        ("placed", None),
        ("refused", {"kind": "status", "status": 404}),
        ("not_sent", {"kind": "status", "status": 503, "headers": {"Retry-After": "600"}}),
        ("unknown", {"kind": "reset_after"}),
    ],
)
def test_attempts_are_counted_by_their_outcome(
    counted: Service, far_side: Chaser, outcome: str, fault: dict[str, Any] | None
) -> None:
    until(lambda: scrape(counted)['chaser_callback_queue_depth{status="sending"}'] == 0)
    before = scrape(counted)
    if fault:
        far_side.fault(**fault)
    counted.accepted()
    expected = {'accepted_total{result="new",site="shop"}': 1, f'attempts_total{{outcome="{outcome}",site="shop"}}': 1}
    if outcome == "placed":
        expected |= {'placed_total{site="shop"}': 1}
    until(lambda: grown(counted, before) == expected)


def test_an_open_circuit_and_the_queue_behind_it_are_shown(
    tmp_path_factory: pytest.TempPathFactory, far_side: Chaser
) -> None:
    """The private key is not the one the simulator knows."""
    wrong = {"chaser": {"private_key": "another-key-than-chasers"}}
    agency = {
        "client_id": DEMO_CLIENT_ID + "9",
        "private_key": DEMO_PRIVATE_KEY,
        "site_id": 9,
        "origins": [OTHER_ORIGIN],
    }
    chosen = settings(tmp_path_factory.mktemp("paused"), far_side.api_url, sites={"other": agency}, **wrong)
    with service(chosen) as here:
        here.accepted()
        until(lambda: scrape(here)['chaser_callback_circuit_open{scope="site",site="shop"}'] == 1)
        # The attempt is counted once it is written, which is after the circuit opened.
        until(lambda: scrape(here)['chaser_callback_attempts_total{outcome="unauthorized",site="shop"}'] == 1)
        until(lambda: scrape(here)['chaser_callback_queue_depth{status="queued"}'] == 1)
        metrics = scrape(here)
    assert metrics['chaser_callback_circuit_open{scope="site",site="other"}'] == 0
    assert metrics['chaser_callback_circuit_open{scope="account",site=""}'] == 1
    assert metrics['chaser_callback_attempts_total{outcome="unauthorized",site="shop"}'] == 1
    assert metrics['chaser_callback_queue_oldest_seconds{status="queued"}'] > 0
    assert metrics["chaser_callback_worker_up"] == metrics["chaser_callback_database_up"] == 1


def test_metrics_contain_no_personal_data_and_no_account(counted: Service) -> None:
    number = phone()
    callback_id = counted.accepted(client_phone=number, active_page=f"{ORIGIN}/{CANARY}", request_id=CANARY)
    counted.wait_for(callback_id, "placed")
    counted.ask(client_phone=f"+1{number}", department=CANARY)
    text = counted.http.get("/metrics", headers=AUTHORIZED | CANARY_HEADERS).text
    for secret in (
        number,
        number[1:],
        callback_id,
        CANARY,
        "127.0.0.1",
        DEMO_CLIENT_ID,
        DEMO_PRIVATE_KEY,
        API_KEY,
        "crm",
    ):
        assert secret.lower() not in text.lower().replace("chaser_callback", "")


def test_varied_requests_of_clients_add_no_series(counted: Service) -> None:
    """Send two thousand requests, each with words that were never sent before."""

    def vary(number: int) -> None:
        word = f"{CANARY}{number}"
        counted.http.get(f"/{word}/{number}?{word}={word}")
        counted.ask(client_phone=word, site=word, **{word: word}, consent={word: 1, "text": 1}, department=word)
        counted.http.request(f"X{number}", "/metrics", headers={f"x-{word}": word, "authorization": f"{word} {word}"})
        counted.http.post(
            "/v1/callbacks", content=json.dumps({word: number}), headers=JSON | {"origin": f"http://{word}.x"}
        )

    vary(0)
    vary(1)
    before = scrape(counted)
    for number in range(2, 502):
        vary(number)
    now = scrape(counted)
    assert now.keys() == before.keys()
    assert sum(grown(counted, before).values()) >= 2000
    assert len(now) < 300


def test_frequent_scrapes_share_one_query_a_second(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    chosen = settings(tmp_path_factory.mktemp("queries"))
    outbox = InspectableOutbox.open(chosen.database_url)
    queries: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "UNION ALL" in statement:
            queries.append(statement)

    event.listen(outbox.database.reading, "before_cursor_execute", note)
    with service(chosen, outbox=outbox) as here, ThreadPoolExecutor(10) as threads:
        began = time.monotonic()
        assert len(list(threads.map(lambda _: scrape(here), range(30)))) == 30
        took = time.monotonic() - began
    assert 1 <= len(queries) <= 1 + int(took), "one query, and another for each second that has passed"


def test_a_database_that_does_not_answer_is_reported_without_waiting_for_it(
    postgresql: PostgreSQL, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_routes, "QUERY_TIMEOUT", 0.2)
    url = postgresql.new_database()
    with (
        service(settings(tmp_path_factory.mktemp("hangs"), database_url=url)) as here,
        psycopg.connect(url.replace("+psycopg", "")) as other,
    ):
        other.execute("LOCK TABLE callbacks IN ACCESS EXCLUSIVE MODE")
        metrics = scrape(here)
        assert metrics["chaser_callback_database_up"] == 0
        assert not metrics.labels("chaser_callback_queue_depth")
        assert not metrics.labels("chaser_callback_queue_oldest_seconds")
        other.rollback()
        until(lambda: scrape(here)["chaser_callback_database_up"] == 1)
        assert scrape(here).labels("chaser_callback_queue_depth")
