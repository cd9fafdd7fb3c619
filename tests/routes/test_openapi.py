"""GET /docs and /openapi.json: the document describes the service completely."""

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


def test_the_documentation_is_swagger_ui(here: Service) -> None:
    answer = here.http.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "url: 'openapi.json'" in answer.text


def test_the_page_may_only_run_swagger_ui_and_call_this_service(here: Service) -> None:
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


def test_the_document_has_exactly_the_public_operations(document: dict[str, Any]) -> None:
    assert document["info"]["version"] == VERSION
    operations = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert operations == {
        ("/v1/callbacks", "post"),
        ("/v1/callbacks", "get"),
        ("/v1/callbacks/{callback_id}", "get"),
        ("/v1/sites/{site}", "get"),
        ("/v1/challenge", "get"),
        ("/v1/callbacks/{callback_id}/{action}", "post"),
        ("/v1/blocklist", "get"),
        ("/v1/blocklist", "post"),
        ("/v1/blocklist", "delete"),
        ("/v1/websites", "get"),
        ("/v1/statistics", "get"),
        ("/livez", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    }


EVERYWHERE = {"400", "405", "408", "413", "431", "500"}
"""Errors that every endpoint may return: of the connection, the size of the body, the method, internal errors."""


@pytest.mark.parametrize(
    ("path", "method", "success", "errors"),
    [
        ("/v1/callbacks", "post", "202", {"401", "403", "415", "422", "429", "503"}),
        ("/v1/callbacks", "get", "200", {"401", "403", "422", "429", "503"}),
        ("/v1/callbacks/{callback_id}", "get", "200", {"404", "429", "503"}),
        ("/v1/statistics", "get", "200", {"401", "403", "404", "422", "429", "502", "503", "504"}),
        ("/v1/sites/{site}", "get", "200", {"404", "429"}),
        ("/livez", "get", "200", set()),
        ("/readyz", "get", "200", {"429"}),
        ("/metrics", "get", "200", {"401", "403", "429"}),
    ],
)
def test_an_operation_lists_its_success_and_every_error(
    document: dict[str, Any], path: str, method: str, success: str, errors: set[str]
) -> None:
    answers = document["paths"][path][method]["responses"]
    assert answers.keys() >= {success} | errors | EVERYWHERE
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


def test_every_operation_and_parameter_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["tags"], name
        assert operation["summary"], name
        assert operation["description"].endswith("."), name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (name, parameter["name"])


def test_every_field_of_a_request_is_described(document: dict[str, Any]) -> None:
    for name in ("CallbackRequest", "ConsentGiven", "BlocklistEntryCreate"):
        for field, schema in document["components"]["schemas"][name]["properties"].items():
            assert schema.get("description"), (name, field)


def test_the_idempotency_header_has_its_standard_name(document: dict[str, Any]) -> None:
    (header,) = document["paths"]["/v1/callbacks"]["post"]["parameters"]
    assert (header["name"], header["in"], header["required"]) == ("Idempotency-Key", "header", False)


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        successes = [answer for status, answer in operation["responses"].items() if status < "300"]
        assert len(successes) == 1, name
        for body in (*successes, operation.get("requestBody", {})):
            for media in filter(None, [body.get("content", {}).get("application/json")]):
                branches = media["schema"].get("anyOf", [media["schema"]])
                assert "example" in media or all(resolved(document, each)["examples"] for each in branches), name


def test_every_example_of_a_response_is_valid(document: dict[str, Any]) -> None:
    for model in (
        CallbackResponse,
        PublicCallbackResponse,
        CallbacksPage,
        CallbackAccepted,
        CallbackActionResponse,
        Blocklist,
        SiteResponse,
    ):
        (example,) = document["components"]["schemas"][model.__name__]["examples"]
        # FastAPI drops the nulls in the defaults of a site's theme, triggers and analytics.
        drops_nulls = model is SiteResponse
        assert model.model_validate(example).model_dump(mode="json", exclude_none=drops_nulls) == example


def test_an_operation_that_needs_a_key_names_the_scope(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "security" in operation:
            assert any(scope in operation["description"] for scope in get_args(Scope)), name


def test_every_error_response_has_the_schema_of_a_problem(document: dict[str, Any]) -> None:
    for error in document["components"]["responses"].values():
        assert error["content"].keys() == {PROBLEM}
        assert error["content"][PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert error["headers"]["X-Request-Id"]["required"]
    needed = {"type", "title", "status", "code", "detail", "request_id"}
    assert set(document["components"]["schemas"]["Problem"]["required"]) == needed


def test_every_error_of_an_operation_is_a_documented_response(document: dict[str, Any]) -> None:
    defined = {f"#/components/responses/{name}" for name in document["components"]["responses"]}
    used = {
        answer["$ref"]
        for path, operations in document["paths"].items()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status >= "400" and path.startswith("/v1/")
    }
    assert used <= defined


def test_every_example_of_an_error_is_valid(document: dict[str, Any]) -> None:
    for error in document["components"]["responses"].values():
        example = error["content"][PROBLEM]["example"]
        assert Problem.model_validate(example).model_dump(exclude_unset=True) == example


def test_an_operation_that_may_return_401_documents_the_api_key(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for operations in document["paths"].values():
        for operation in operations.values():
            assert ("401" in operation["responses"]) == ("security" in operation)


def test_the_api_key_is_optional_for_visitors(document: dict[str, Any]) -> None:
    assert {} in document["paths"]["/v1/callbacks"]["post"]["security"]


def test_the_default_error_schemas_of_fastapi_are_removed(document: dict[str, Any]) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & document["components"]["schemas"].keys()


def test_a_request_has_exactly_the_fields_of_the_contract(document: dict[str, Any]) -> None:
    request = document["components"]["schemas"]["CallbackRequest"]
    assert set(request["properties"]) == {
        *("site", "client_phone", "active_page", "referrer", "planned_time", "department", "consent", "challenge"),
        *("request_id", "client_ip", "manager_phone", "message_on_ring", "nwt_action"),
        *("call_stack_start_hour", "call_stack_interval", "website", "again"),
    }
    assert request["required"] == ["site", "client_phone"]
    assert request["additionalProperties"] is False


def test_the_examples_of_a_request_are_accepted(here: Service, document: dict[str, Any]) -> None:
    page, service = document["components"]["schemas"]["CallbackRequest"]["examples"]
    assert here.ask(**page).status_code == 202
    assert here.ask(AUTHORIZED, **service).status_code == 202
