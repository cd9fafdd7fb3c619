"""The rate limit: the requests it counts, the addresses that are one client, and its refusals."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.edge.short_deadlines import connect, read_until_closed
from tests.routes.conftest import digest
from tests.routes.refusal import assert_refused
from tests.running import ORIGIN, Service, client, operator, phone, service, settings, until

LIMIT = 5


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a tight limit and a trusted proxy: the tests, which set each client's address."""
    folder = tmp_path_factory.mktemp("limits")
    keys = {name: {"sha256": digest(f"ccb_{name}"), "scopes": ["callbacks:write"]} for name in ("bot", "till")}
    wide = {"flood": f"{LIMIT}/hour"}
    with service(settings(folder, limits=wide, trusted_proxies=["127.0.0.1"], api_keys=keys)) as running:
        yield running


def read(here: Service, address: str) -> httpx2.Response:
    return here.http.get("/v1/sites/shop", headers={"x-forwarded-for": address})


def write(here: Service, address: str) -> httpx2.Response:
    return here.ask({"origin": ORIGIN, "x-forwarded-for": address}, client_phone=phone())


def assert_flood(answer: httpx2.Response) -> None:
    assert_refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["retry-after"]) <= 3600


GOOD = b'{"site":"shop","client_phone":"89161234567"}'
EMPTY = b"POST /v1/callbacks HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
POST: dict[str, Any] = {"method": "POST", "url": "/v1/callbacks", "content": GOOD}
PAGE = {"origin": ORIGIN, "content-type": "application/json"}
REFUSED: dict[int, dict[str, Any]] = {
    400: POST | {"content": b"{", "headers": PAGE},
    401: POST | {"headers": PAGE | {"authorization": "Bearer guess"}},
    403: POST | {"headers": PAGE | {"origin": "https://evil.example"}},
    404: {"method": "DELETE", "url": "/v1/nothing"},
    405: {"method": "DELETE", "url": "/v1/callbacks"},
    413: POST | {"content": b" " * 20_000, "headers": PAGE},
    415: POST | {"headers": PAGE | {"content-type": "text/plain"}},
    422: POST | {"content": b"{}", "headers": PAGE},
}


@pytest.mark.parametrize("status", REFUSED)
def test_refused_requests_are_counted(here: Service, status: int) -> None:
    request = REFUSED[status]
    headers = request.get("headers", {}) | {"x-forwarded-for": f"192.0.2.{status - 390}"}
    answers = [here.http.request(**request | {"headers": headers}).status_code for _ in range(LIMIT)]
    assert answers == [status] * LIMIT
    assert_flood(here.http.request(**request | {"headers": headers}))


def test_all_kinds_of_requests_are_counted_together(here: Service) -> None:
    address = {"x-forwarded-for": "198.51.100.1"}
    assert write(here, "198.51.100.1").status_code == 202
    for status in (400, 403, 415, 422):
        request = REFUSED[status]
        answer = here.http.request(**request | {"headers": request["headers"] | address})
        assert answer.status_code == status
    assert_flood(write(here, "198.51.100.1"))


def test_a_request_over_the_limit_is_refused_before_its_body_is_read(here: Service) -> None:
    for _ in range(LIMIT):
        write(here, "198.51.100.2")
    answer = here.http.request(**REFUSED[413] | {"headers": PAGE | {"x-forwarded-for": "198.51.100.2"}})
    assert_flood(answer)


def test_reads_are_counted_apart_with_ten_times_the_limit(here: Service) -> None:
    for _ in range(10 * LIMIT):
        assert read(here, "198.51.100.3").status_code == 200
    assert_flood(read(here, "198.51.100.3"))
    for _ in range(LIMIT):
        assert write(here, "198.51.100.3").status_code == 202
    assert_flood(write(here, "198.51.100.3"))


def test_other_clients_are_not_limited(here: Service) -> None:
    for _ in range(LIMIT + 1):
        write(here, "198.51.100.4")
    assert write(here, "198.51.100.5").status_code == 202


def test_a_client_cannot_pass_for_many_by_forging_the_header(here: Service) -> None:
    with client(here.url, from_address="127.0.0.5") as http:
        forger = Service(here.url, http)
        for host in range(LIMIT):
            assert write(forger, f"203.0.113.{host}").status_code == 202
        assert_flood(write(forger, "203.0.113.99"))


def test_an_ipv6_64_is_one_client(here: Service) -> None:
    for host in range(1, LIMIT + 1):
        assert write(here, f"2001:db8:1:1::{host:x}:1").status_code == 202
    assert_flood(write(here, "2001:db8:1:1:ffff::1"))
    assert write(here, "2001:db8:1:2::1").status_code == 202


def test_many_networks_within_a_56_share_four_times_the_limit(here: Service) -> None:
    for network in range(5):
        for host in range(1, 5):
            assert write(here, f"2001:db8:2:{network:x}::{host}").status_code == 202
    assert_flood(write(here, "2001:db8:2:5::1"))
    assert write(here, "2001:db8:2:100::1").status_code == 202


def test_many_networks_within_a_48_share_sixteen_times_the_limit(here: Service) -> None:
    for network in range(20):
        for host in range(1, 5):
            assert write(here, f"2001:db8:3:{network:x}00::{host}").status_code == 202
    assert_flood(write(here, "2001:db8:3:ff00::1"))
    assert write(here, "2001:db8:4::1").status_code == 202


def test_ipv4_written_as_ipv6_is_the_same_client(here: Service) -> None:
    for _ in range(LIMIT):
        assert write(here, "198.51.100.6").status_code == 202
    assert_flood(write(here, "::ffff:198.51.100.6"))


READABLE = (
    "/readyz",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/widget.js",
    "/widget.json",
    "/widget/000000000000/dialog.js",
    "/widget-000000000000.js",
    "/v1/sites/nowhere",
    "/nowhere",
    "/livez/",
    "//livez",
)


@pytest.mark.parametrize("path", READABLE)
def test_reads_of_every_path_are_counted_as_reads(here: Service, path: str) -> None:
    address = {"x-forwarded-for": f"203.0.113.{200 + READABLE.index(path)}"}
    statuses = {here.http.get(path, headers=address).status_code for _ in range(10 * LIMIT)}
    assert statuses <= {200, 401, 404}
    assert_flood(here.http.get(path, headers=address))
    assert_flood(here.http.get("/v1/sites/shop", headers=address))
    assert here.http.post(path, headers=address).status_code in (404, 405)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_liveness_alone_is_not_counted(here: Service, method: str) -> None:
    address = {"x-forwarded-for": "198.51.100.7"}
    statuses = {here.http.request(method, "/livez", headers=address).status_code for _ in range(10 * LIMIT + 1)}
    assert statuses == {405 if method == "POST" else 200}


TAKE_KEYS = ("/metrics", "/readyz", "/v1/callbacks", "/v1/statistics")


@pytest.mark.parametrize("path", TAKE_KEYS)
def test_guesses_of_keys_are_counted_at_every_path_that_takes_one(here: Service, path: str) -> None:
    address = {"x-forwarded-for": f"192.0.2.{200 + TAKE_KEYS.index(path)}"}
    for guess in range(10 * LIMIT):
        headers = address | {"authorization": f"Bearer ccb_guess-{guess}"}
        assert here.http.get(path, headers=headers).status_code == 401
    assert_flood(here.http.get(path, headers=address | {"authorization": "Bearer ccb_another"}))
    assert here.http.get("/livez", headers=address).status_code == 200


def test_a_preflight_does_not_use_up_the_limit_of_its_page(here: Service) -> None:
    preflight = {"origin": ORIGIN, "access-control-request-method": "POST", "x-forwarded-for": "198.51.100.8"}
    for _ in range(LIMIT + 1):
        assert here.http.options("/v1/callbacks", headers=preflight).status_code == 200
    assert write(here, "198.51.100.8").status_code == 202


def keyed(here: Service, key: str, address: str) -> httpx2.Response:
    return here.ask({"authorization": f"Bearer {key}", "x-forwarded-for": address}, client_phone=phone())


def test_a_request_with_an_api_key_is_counted_by_its_key_from_any_address(here: Service) -> None:
    for host in range(LIMIT):
        assert keyed(here, "ccb_bot", f"198.51.100.{100 + host}").status_code == 202
    assert_flood(keyed(here, "ccb_bot", "198.51.100.200"))
    assert write(here, "198.51.100.200").status_code == 202  # a visitor at that address is not counted with it


def test_another_key_at_the_same_address_is_counted_apart(here: Service) -> None:
    for _ in range(LIMIT + 1):
        write(here, "198.51.100.9")
    assert keyed(here, "ccb_till", "198.51.100.9").status_code == 202


def test_guesses_of_keys_are_counted_by_the_clients_address(here: Service) -> None:
    for guess in range(LIMIT):
        assert keyed(here, f"ccb_guess-{guess}", "198.51.100.10").status_code == 401
    assert_flood(keyed(here, "ccb_another-guess", "198.51.100.10"))
    assert_flood(write(here, "198.51.100.10"))


def test_requests_of_the_control_socket_are_not_counted(here: Service) -> None:
    with operator(here) as http:
        for _ in range(10 * LIMIT + 1):
            assert http.get("/v1/callbacks", params={"limit": "1"}).status_code == 200
    assert write(here, "127.0.0.1").status_code == 202


def test_each_of_several_limits_applies_and_retry_after_is_that_of_the_one_reached(tmp_path: Path) -> None:
    with service(settings(tmp_path, limits={"flood": "3/2 seconds;7/hour"})) as here:

        def post() -> httpx2.Response:
            return here.ask({"origin": ORIGIN}, client_phone=phone())

        # Pipelined, so that they arrive within the two seconds even on a busy machine.
        last = EMPTY.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        answers = read_until_closed(connect(int(here.url.rpartition(":")[2]), EMPTY * 3 + last))
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"422", b"422", b"422", b"429"]
        assert re.findall(rb"retry-after: (\d+)", answers) in ([b"1"], [b"2"])
        until(lambda: post().status_code == 202)  # the two seconds are over
        until(lambda: int(post().headers.get("retry-after", "0")) > 60)


@pytest.mark.parametrize(
    "dotenv",
    [
        b"RATELIMIT_ENABLED=false\n",
        b"RATELIMIT_STORAGE_URL=redis://192.0.2.1\nRATELIMIT_STRATEGY=moving-window\n",
        b"RATELIMIT_STORAGE_OPTIONS=1\nRATELIMIT_IN_MEMORY_FALLBACK_ENABLED=perhaps\n",
        "# ключ магазина=1".encode("cp1251"),
        b"\xff\xfe\x00=",
    ],
    ids=["off", "another storage", "nonsense", "cp1251", "binary"],
)
def test_a_dotenv_file_in_the_working_directory_is_not_the_limits_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dotenv: bytes
) -> None:
    (tmp_path / ".env").write_bytes(dotenv)
    monkeypatch.chdir(tmp_path)
    with service(settings(tmp_path, limits={"flood": "1/hour"})) as strict:
        assert strict.ask({"origin": ORIGIN}, client_phone=phone()).status_code == 202
        assert_flood(strict.ask({"origin": ORIGIN}, client_phone=phone()))
