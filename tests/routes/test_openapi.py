"""GET /docs and /openapi.json: the document says what the service does."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, get_args

import pytest

from app.routes.blocklist_routes import Blocklist
from app.routes.callback_action_routes import CallbackActionResponse
from app.routes.callback_query_routes import CallbacksPage, PublicCallbackResponse
from app.routes.callback_routes import CallbackAccepted
from app.routes.openapi import Problem
from app.routes.schemas import CallbackResponse
from app.routes.site_routes import SiteResponse
from app.settings import Scope
from app.version import VERSION
from tests.routes.refusal import assert_protected, assert_refused
from tests.running import AUTHORIZED, Service, service, settings

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(here: Service) -> dict[str, Any]:
    answer = here.http.get("/openapi.json")
    assert answer.status_code == 200
    assert_protected(answer)
    body: dict[str, Any] = answer.json()
    return body


@pytest.fixture(scope="module")
def undocumented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(settings(tmp_path_factory.mktemp("undocumented"), docs="off")) as running:
        yield running


def test_the_documentation_is_a_page(here: Service) -> None:
    answer = here.http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "url: 'openapi.json'" in answer.text


def test_the_page_may_run_its_own_script_and_swagger_ui_and_ask_nobody_but_us(here: Service) -> None:
    answer = here.http.get("/docs")
    policy = dict(rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; "))
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy["script-src"] == f"'sha256-{digest}' https://cdn.jsdelivr.net"
    assert all(
        source.startswith("https://cdn.jsdelivr.net/") for source in re.findall(r'<script src="(.*?)"', answer.text)
    )
    assert policy["connect-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/oauth2-redirect", "/redoc"])
def test_the_documentation_can_be_turned_off(undocumented: Service, path: str) -> None:
    assert_refused(undocumented.http.get(path), 404, "not_found")


def test_the_document_names_every_address_and_no_other(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == VERSION
    addresses = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert addresses == {
        ("/v1/callbacks", "post"),
        ("/v1/callbacks", "get"),
        ("/v1/callbacks/{callback_id}", "get"),
        ("/v1/sites/{site}", "get"),
        ("/v1/challenge", "get"),
        ("/v1/callbacks/{callback_id}/{decision}", "post"),
        ("/v1/blocklist", "get"),
        ("/v1/blocklist", "post"),
        ("/v1/blocklist", "delete"),
        ("/v1/websites", "get"),
        ("/v1/statistics", "get"),
        ("/livez", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }


ANYWHERE = {"400", "405", "408", "413", "431", "500"}
"""Refusals that don't depend on the endpoint: of the connection, the body's size, the method, and our own faults."""


@pytest.mark.parametrize(
    ("path", "method", "done", "refusals"),
    [
        ("/v1/callbacks", "post", "202", {"401", "403", "415", "422", "429", "503"}),
        ("/v1/callbacks", "get", "200", {"401", "403", "422", "429", "503"}),
        ("/v1/callbacks/{callback_id}", "get", "200", {"404", "429", "503"}),
        ("/v1/statistics", "get", "200", {"401", "403", "404", "422", "429", "502", "503", "504"}),
        ("/v1/sites/{site}", "get", "200", {"404", "429"}),
        ("/livez", "get", "200", set()),
    ],
)
def test_the_document_lists_what_is_done_and_every_refusal(
    document: dict[str, Any], path: str, method: str, done: str, refusals: set[str]
) -> None:
    answers = document["paths"][path][method]["responses"]
    assert answers.keys() >= {done} | refusals | ANYWHERE
    assert list(answers) == sorted(answers)
    assert "default" not in answers


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def test_every_endpoint_says_what_it_is_for_and_what_each_parameter_means(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["tags"], name
        assert operation["summary"], name
        assert operation["description"].endswith("."), name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (name, parameter["name"])


def test_every_field_of_a_request_says_what_it_means(document: dict[str, Any]) -> None:
    for name in ("CallbackRequest", "ConsentGiven", "BlocklistEntryCreate"):
        for field, schema in document["components"]["schemas"][name]["properties"].items():
            assert schema.get("description"), (name, field)


def test_the_header_is_called_as_the_world_calls_it(document: dict[str, Any]) -> None:
    (header,) = document["paths"]["/v1/callbacks"]["post"]["parameters"]
    assert (header["name"], header["in"], header["required"]) == ("Idempotency-Key", "header", False)


def test_every_body_that_goes_in_or_out_has_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        done = [answer for status, answer in operation["responses"].items() if status < "300"]
        assert len(done) == 1, name
        for body in (*done, operation.get("requestBody", {})):
            for media in filter(None, [body.get("content", {}).get("application/json")]):
                branches = media["schema"].get("anyOf", [media["schema"]])
                assert "example" in media or all(resolved(document, each)["examples"] for each in branches), name


def test_an_example_of_an_answer_is_one(document: dict[str, Any]) -> None:
    for shown in (
        CallbackResponse,
        PublicCallbackResponse,
        CallbacksPage,
        CallbackAccepted,
        CallbackActionResponse,
        Blocklist,
        SiteResponse,
    ):
        (example,) = document["components"]["schemas"][shown.__name__]["examples"]
        # The parts of a site's look have defaults, and FastAPI leaves their nulls out.
        whole = shown is not SiteResponse
        assert shown.model_validate(example).model_dump(mode="json", exclude_none=not whole) == example


def test_what_needs_a_key_names_the_scope(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "security" in operation:
            assert any(scope in operation["description"] for scope in get_args(Scope)), name


def test_every_refusal_has_the_one_shape(document: dict[str, Any]) -> None:
    for refusal in document["components"]["responses"].values():
        assert refusal["content"].keys() == {PROBLEM}
        assert refusal["content"][PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert refusal["headers"]["X-Request-Id"]["required"]
    needed = {"type", "title", "status", "code", "detail", "request_id"}
    assert set(document["components"]["schemas"]["Problem"]["required"]) == needed


def test_every_refusal_of_an_endpoint_is_one_of_those(document: dict[str, Any]) -> None:
    named = {f"#/components/responses/{name}" for name in document["components"]["responses"]}
    used = {
        answer["$ref"]
        for path, operations in document["paths"].items()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status >= "400" and path.startswith("/v1/")
    }
    assert used <= named


def test_an_example_of_a_refusal_is_right(document: dict[str, Any]) -> None:
    for refusal in document["components"]["responses"].values():
        example = refusal["content"][PROBLEM]["example"]
        assert Problem.model_validate(example).model_dump(exclude_unset=True) == example


def test_an_endpoint_that_may_refuse_a_key_says_how_to_send_one(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for operations in document["paths"].values():
        for operation in operations.values():
            assert ("401" in operation["responses"]) == ("security" in operation)


def test_visitors_need_no_key(document: dict[str, Any]) -> None:
    assert {} in document["paths"]["/v1/callbacks"]["post"]["security"]


def test_no_other_shape_of_an_error_is_promised(document: dict[str, Any]) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()


def test_the_fields_of_a_request_are_those_of_the_contract(document: dict[str, Any]) -> None:
    request = document["components"]["schemas"]["CallbackRequest"]
    assert set(request["properties"]) == {
        *("site", "client_phone", "active_page", "referrer", "planned_time", "department", "consent", "challenge"),
        *("request_id", "client_ip", "manager_phone", "message_on_ring", "nwt_action"),
        *("call_stack_start_hour", "call_stack_interval", "website"),
    }
    assert request["required"] == ["site", "client_phone"]
    assert request["additionalProperties"] is False


def test_the_example_in_the_document_is_accepted(here: Service, document: dict[str, Any]) -> None:
    page, service = document["components"]["schemas"]["CallbackRequest"]["examples"]
    assert here.ask(**page).status_code == 202
    assert here.ask(AUTHORIZED, **service).status_code == 202
