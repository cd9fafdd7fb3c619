"""GET /v1/websites and /v1/statistics: responses and errors of Chaser as the caller gets them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest

from tests.routes.refusal import assert_refused
from tests.running import AUTHORIZED, NOBODY, Chaser, Service, chaser, phone, service, settings

SHOP = 12345
AGENCY = {"site_id": 777, "origins": ["https://a.example"], "client_id": "9999", "private_key": "another private key"}


@pytest.fixture(scope="module")
def far_side() -> Iterator[Chaser]:
    with chaser() as simulator:
        yield simulator


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, far_side: Chaser) -> Iterator[Service]:
    chosen = settings(
        tmp_path_factory.mktemp("chaser"), far_side.api_url, sites={"agency": AGENCY}, chaser={"timeout": "1s"}
    )
    with service(chosen) as running:
        yield running


@pytest.fixture(autouse=True)
def _end_faults(far_side: Chaser) -> Iterator[None]:
    yield
    far_side.clear_faults()


def query(here: Service, path: str, **parameters: Any) -> httpx2.Response:
    return here.http.get(path, params=parameters, headers=AUTHORIZED)


def test_the_sites_of_the_account_are_listed(here: Service) -> None:
    answer = query(here, "/v1/websites")
    assert answer.status_code == 200
    assert SHOP in [site["id"] for site in answer.json()["websites"]]
    assert answer.headers["cache-control"] == "no-store"


def test_calls_are_passed_on_unchanged_and_dates_are_sent_in_chasers_format(here: Service, far_side: Chaser) -> None:
    number = phone()
    here.wait_for(here.accepted(client_phone=number), "placed")
    parameters = {"site_id": SHOP, "date_from": "2020-02-01", "date_to": "2038-03-09", "filter": "success_calls"}
    answer = query(here, "/v1/statistics", **parameters)
    assert answer.status_code == 200
    assert isinstance(answer.json()["statistics"], list)
    sent = parse_qs(far_side.requests(path="/v1/statistics")[-1]["query"]) or parse_qs(
        far_side.requests(path="/v1/statistics")[-1]["body"]
    )
    received = {name.split("[")[-1].rstrip("]"): value for name, (value,) in sent.items()}
    assert (
        received.items()
        >= {
            "site_id": str(SHOP),
            "date_from": "01-02-2020",
            "date_to": "09-03-2038",
            "filter": "success_calls",
        }.items()
    )


def test_unknown_fields_are_passed_on(here: Service, far_side: Chaser) -> None:
    body = '[{"id": "5", "name": "n", "title": null, "plan": {"minutes": [1, 2.5]}}]'
    far_side.fault("status", status=200, body=body, path="/v1/websites")
    found = query(here, "/v1/websites").json()
    assert found == {"websites": [{"id": 5, "name": "n", "title": "", "plan": {"minutes": [1, 2.5]}}]}
    far_side.fault("status", status=200, body='[{"when": "01-02-2026", "_x": null}]', path="/v1/statistics")
    assert query(here, "/v1/statistics", site_id=SHOP).json() == {"statistics": [{"when": "01-02-2026", "_x": None}]}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "status", "status": 401}, 502, "account_refused"),
        ({"kind": "status", "status": 403}, 502, "account_forbidden"),
        ({"kind": "status", "status": 404}, 404, "unknown_site_id"),
        ({"kind": "status", "status": 400}, 502, "chaser_rejected"),
        ({"kind": "status", "status": 429}, 503, "chaser_busy"),
        ({"kind": "status", "status": 503, "headers": {"Retry-After": "30"}}, 503, "chaser_busy"),
        ({"kind": "status", "status": 500}, 502, "chaser_failed"),
        ({"kind": "status", "status": 200, "body": "{"}, 502, "chaser_unreadable"),
        ({"kind": "status", "status": 200, "body": '[{"a":' + "[" * 500 + "]" * 500 + "}]"}, 502, "chaser_unreadable"),
        ({"kind": "hang_before"}, 504, "upstream_timeout"),
    ],
    ids=lambda value: str(value.get("status", value["kind"])) if isinstance(value, dict) else None,
)
def test_each_error_of_chaser_has_a_code_of_its_own(
    here: Service, far_side: Chaser, fault: dict[str, Any], status: int, code: str
) -> None:
    far_side.fault(**fault, path="/v1/statistics")
    answer = query(here, "/v1/statistics", site_id=SHOP)
    assert_refused(answer, status, code)
    if "headers" in fault:
        assert answer.headers["retry-after"] == "30"


def test_an_unreachable_chaser_has_a_code_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    with service(settings(tmp_path_factory.mktemp("nobody"), NOBODY)) as alone:
        assert_refused(query(alone, "/v1/websites"), 503, "chaser_unreachable")


def test_each_site_is_queried_with_its_own_account(here: Service, far_side: Chaser) -> None:
    assert_refused(
        query(here, "/v1/websites", site="agency"), 502, "account_refused"
    )  # the simulator has no such account
    assert_refused(query(here, "/v1/statistics", site_id=777), 502, "account_refused")
    assert query(here, "/v1/websites", site="shop").status_code == 200
    assert_refused(query(here, "/v1/websites", site="nowhere"), 404, "unknown_site")


@pytest.mark.parametrize(
    ("parameters", "field", "code"),
    [
        ({}, "site_id", "required"),
        ({"site_id": 0}, "site_id", "greater_than_equal"),
        ({"site_id": SHOP, "date_from": "01-02-2026"}, "date_from", "not_a_date"),
        ({"site_id": SHOP, "date_from": "2026-02-30"}, "date_from", "not_a_date"),
        ({"site_id": SHOP, "date_from": "2026-02-02", "date_to": "2026-02-01"}, "date_to", "before_date_from"),
        ({"site_id": SHOP, "filter": "all"}, "filter", "literal_error"),
    ],
)
def test_an_invalid_query_is_refused_before_chaser_is_called(
    here: Service, parameters: dict[str, Any], field: str, code: str
) -> None:
    assert_refused(query(here, "/v1/statistics", **parameters), 422, "invalid", {field: code})
