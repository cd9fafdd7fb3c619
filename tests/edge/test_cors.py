"""CORS: the pages that may read responses, and their preflights. For the refusals see tests/routes."""

import pytest

from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import ORIGIN, Service, phone

ALLOWED = [
    ORIGIN,
    OTHER_ORIGIN,
    "http://127.0.0.1:8001",
    "https://shop.wild.example",
    "https://a.b-c.xn--80ak6aa92e.wild.example",
]
NOT_ALLOWED = [
    "",
    "null",
    "*",
    "https://evil.example",
    "http://shop.example",
    "https://shop.example:8443",
    "https://shop.example.evil.example",
    "https://evilshop.example",
    "https://shopxexample",
    "https://wild.example",
    "https://evil-wild.example",
    "https://.wild.example",
    "https://a/.wild.example",
    "https://evil.example/.wild.example",
    "https://evil.example#.wild.example",
    "https://user@a.wild.example",
    "http://a.wild.example",
    "https://A.WILD.EXAMPLE",
    "http://127.0.0.1:80011",
]


def preflight(here: Service, origin: str, headers: str = "content-type") -> dict[str, str]:
    answer = here.http.options(
        "/v1/callbacks",
        headers={
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": headers,
        },
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.headers)


@pytest.mark.parametrize("origin", ALLOWED)
def test_the_page_of_any_site_may_send_requests(here: Service, origin: str) -> None:
    headers = preflight(here, origin)
    assert headers["access-control-allow-origin"] == origin
    assert headers["access-control-allow-methods"] == "GET, POST"
    assert headers["access-control-max-age"] == "86400"
    assert "Origin" in headers["vary"]
    assert "access-control-allow-credentials" not in headers


def test_the_response_to_a_preflight_has_the_security_headers(here: Service) -> None:
    headers = preflight(here, ORIGIN)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_the_request_headers_of_the_api_are_allowed(here: Service) -> None:
    headers = preflight(here, ORIGIN, "authorization,content-type,idempotency-key")
    assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(
        headers["access-control-allow-headers"].split(", ")
    )


@pytest.mark.parametrize("origin", NOT_ALLOWED)
def test_no_other_page_may_ask_or_read_and_nothing_is_done_for_it(here: Service, origin: str) -> None:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    assert_refused(here.http.options("/v1/callbacks", headers=headers), 403, "preflight_refused")
    number = phone()
    assert_refused(here.ask({"origin": origin}, client_phone=number), 403, "origin_not_allowed")
    assert not here.ask(client_phone=number).json()["duplicate"]


@pytest.mark.parametrize("origin", ALLOWED)
def test_a_page_of_one_site_can_read_its_refusal_for_another_site(here: Service, origin: str) -> None:
    site = "wild" if origin in (ORIGIN, OTHER_ORIGIN) else "shop"
    answer = here.ask({"origin": origin}, site=site, client_phone=phone())
    assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
    assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("path", ["/livez", "/openapi.json", "/nowhere", "/v1/callbacks/unknown"])
def test_responses_vary_by_origin_for_shared_caches(here: Service, path: str) -> None:
    for headers in ({}, {"origin": ORIGIN}, {"origin": "https://evil.example"}):
        assert "Origin" in here.http.get(path, headers=headers).headers["vary"]


def test_private_network_access_is_refused(here: Service) -> None:
    headers = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-private-network": "true",
    }
    assert_refused(here.http.options("/v1/callbacks", headers=headers), 403, "preflight_refused")
