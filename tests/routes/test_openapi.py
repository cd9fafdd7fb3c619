"""GET /docs and /openapi.json: the document says what the service does."""

from typing import Any

import pytest

from app.version import VERSION
from tests.routes.refusal import assert_protected
from tests.running import Service

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(here: Service) -> dict[str, Any]:
    answer = here.http.get("/openapi.json")
    assert answer.status_code == 200
    assert_protected(answer)
    body: dict[str, Any] = answer.json()
    return body


def test_the_documentation_is_a_page(here: Service) -> None:
    answer = here.http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "/openapi.json" in answer.text


def test_the_document_names_every_address_and_no_other(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == VERSION
    addresses = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert addresses == {
        ("/v1/callbacks", "post"),
        ("/v1/callbacks/{callback_id}", "get"),
        ("/v1/sites/{site}", "get"),
        ("/livez", "get"),
        ("/readyz", "get"),
    }


@pytest.mark.parametrize(
    ("path", "method", "done", "refusals"),
    [
        ("/v1/callbacks", "post", "202", {"400", "401", "403", "413", "415", "422", "429", "503"}),
        ("/v1/callbacks/{callback_id}", "get", "200", {"404", "429", "503"}),
        ("/v1/sites/{site}", "get", "200", {"404", "429"}),
    ],
)
def test_the_document_lists_what_is_done_and_every_refusal(
    document: dict[str, Any], path: str, method: str, done: str, refusals: set[str]
) -> None:
    answers = document["paths"][path][method]["responses"]
    assert answers.keys() == {done, "default"} | refusals
    for status in (*refusals, "default"):
        assert answers[status]["content"].keys() == {PROBLEM}
        needed = {"type", "title", "status", "code", "detail", "request_id"}
        assert set(answers[status]["content"][PROBLEM]["schema"]["required"]) == needed


def test_no_other_shape_of_an_error_is_promised(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_fields_of_a_request_are_those_of_the_contract(document: dict[str, Any]) -> None:
    request = document["components"]["schemas"]["CallbackRequest"]
    assert set(request["properties"]) == {
        *("site", "client_phone", "active_page", "referrer", "planned_time", "department", "consent", "challenge"),
        *("request_id", "client_ip", "manager_phone", "message_on_ring", "nwt_action"),
        *("call_stack_start_hour", "call_stack_interval"),
    }
    assert request["required"] == ["site", "client_phone"]
    assert request["additionalProperties"] is False


def test_the_example_in_the_document_is_accepted(here: Service, document: dict[str, Any]) -> None:
    (example,) = document["components"]["schemas"]["CallbackRequest"]["examples"]
    assert here.ask(**example).status_code == 202
