"""Every endpoint with no API key, a wrong one, one without the scope, one of another site, and the right one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args

import httpx2
import pytest

from app.settings import Scope
from tests.routes.conftest import digest
from tests.routes.refusal import OTHER_ORIGIN, assert_refused
from tests.running import Chaser, Service, phone, service, settings

ELSEWHERE: Final = "ccb_all-scopes-for-another-site"
SENDERS: Final = ("no key", "wrong key", "another scope", "another site", "right key")
_KEYS = {
    **{f"only-{scope}": {"scopes": [scope]} for scope in get_args(Scope)},
    **{
        f"all-but-{scope}": {"scopes": [other for other in get_args(Scope) if other != scope]}
        for scope in get_args(Scope)
    },
}


@dataclass(frozen=True)
class Row:
    """An endpoint, its request, and its response to each sender: the status on success, or an error code."""

    method: str
    path: str
    arguments: dict[str, Any]
    scope: str
    no_key: int | str
    success: int
    another_site: int | str = "site_not_allowed"
    wrong_key: int | str = "invalid_api_key"
    another_scope: int | str = "scope_missing"
    template: str = ""

    def expected(self, sender: str) -> int | str:
        return self.success if sender == "right key" else getattr(self, sender.replace(" ", "_"))  # type: ignore[no-any-return]


def _open(path: str, template: str = "", **arguments: Any) -> Row:
    """Return the row of an endpoint for visitors, which ignores API keys."""
    return Row("GET", path, arguments, "callbacks:read", 200, 200, 200, 200, 200, template)


_ACTION: Final = "/v1/callbacks/{callback_id}/{action}"
_ENTRY: Final = {"entry": "198.51.100.1"}
ROWS: Final = [
    Row("POST", "/v1/callbacks", {"json": {"site": "shop"}}, "callbacks:write", "origin_missing", 202),
    Row("GET", "/v1/callbacks", {"params": {"site": "shop"}}, "callbacks:read", "missing_api_key", 200),
    Row("GET", "/v1/callbacks/{callback_id}", {}, "callbacks:read", 200, 200),
    Row("POST", "/v1/callbacks/{held}/release", {}, "callbacks:write", "missing_api_key", 200, template=_ACTION),
    Row("POST", "/v1/callbacks/{failed}/retry", {}, "callbacks:write", "missing_api_key", 200, template=_ACTION),
    Row("POST", "/v1/callbacks/{held}/cancel", {}, "callbacks:write", "missing_api_key", 200, template=_ACTION),
    Row("GET", "/v1/blocklist", {}, "callbacks:read", "missing_api_key", 200),
    Row("POST", "/v1/blocklist", {"json": _ENTRY}, "callbacks:write", "missing_api_key", 201),
    Row("DELETE", "/v1/blocklist", {"params": _ENTRY}, "callbacks:write", "missing_api_key", 204),
    Row("GET", "/v1/websites", {"params": {"site": "shop"}}, "chaser:read", "missing_api_key", 200),
    Row("GET", "/v1/statistics", {"params": {"site_id": 12345}}, "chaser:read", "missing_api_key", 200),
    _open("/v1/challenge", params={"site": "shop"}),
    _open("/v1/sites/shop", template="/v1/sites/{site}"),
]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, far_side: Chaser) -> Iterator[Service]:
    keys = {name.replace(":", "-"): {"sha256": digest(f"ccb_{name}")} | key for name, key in _KEYS.items()}
    keys["elsewhere"] = {"sha256": digest(ELSEWHERE), "scopes": list(get_args(Scope)), "sites": ["other"]}
    sites = {"other": {"site_id": 1, "origins": [OTHER_ORIGIN]}}
    chosen = settings(tmp_path_factory.mktemp("keys"), far_side.api_url, sites=sites, api_keys=keys)
    with service(chosen) as running:
        yield running


def headers(sender: str, scope: str) -> dict[str, str]:
    key = {
        "wrong key": "ccb_guess",
        "another scope": f"ccb_all-but-{scope}",
        "another site": ELSEWHERE,
        "right key": f"ccb_only-{scope}",
    }.get(sender)
    return {"authorization": f"Bearer {key}"} if key else {}


def send(here: Service, far_side: Chaser, row: Row, sender: str) -> httpx2.Response:
    arguments = dict(row.arguments)
    names: dict[str, str] = {}
    if row.path == "/v1/callbacks" and row.method == "POST":
        arguments["json"] = arguments["json"] | {"client_phone": phone()}
    elif "{callback_id}" in row.path:
        names["callback_id"] = here.accepted()
    elif "{held}" in row.path:
        names["held"] = here.ask(client_phone=phone(), website="https://spam.example").json()["id"]
    elif "{failed}" in row.path:
        far_side.fault("status", status=404, path="/v1/call", times=None)  # other waiting callbacks may fail as well
        names["failed"] = here.accepted()
        here.wait_for(names["failed"], "failed")
        far_side.clear_faults()
    elif row.method == "DELETE":
        right = headers("right key", row.scope)
        assert here.http.post(row.path, json=arguments["params"], headers=right).status_code == 201
    return here.http.request(row.method, row.path.format(**names), headers=headers(sender, row.scope), **arguments)


def test_the_table_has_every_endpoint(here: Service) -> None:
    paths = here.http.get("/openapi.json").json()["paths"]
    documented = {(path, method) for path, methods in paths.items() for method in methods if path.startswith("/v1/")}
    assert {(row.template or row.path, row.method.lower()) for row in ROWS} == documented
    actions = paths[_ACTION]["post"]["parameters"][1]["schema"]["enum"]
    assert {row.path.rpartition("/")[2] for row in ROWS if row.template == _ACTION} == set(actions)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
def test_each_sender_gets_the_expected_response(here: Service, far_side: Chaser, row: Row, sender: str) -> None:
    answer, expected = send(here, far_side, row, sender), row.expected(sender)
    if isinstance(expected, int):
        assert answer.status_code == expected, answer.text
        return
    body = assert_refused(answer, 401 if expected.endswith("_api_key") else 403, expected)
    if expected == "scope_missing":
        assert f"lacks the scope {row.scope}." in body["detail"]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.no_key == "missing_api_key"], ids=lambda row: f"{row.method} {row.path}"
)
def test_a_sender_without_the_right_learns_nothing_about_other_errors(here: Service, row: Row) -> None:
    path = re.sub("{.*?}", "nonsense", row.path)
    wrong: dict[str, Any] = {"json": {}} if row.method == "POST" else {"params": {"site": "x" * 65, "limit": 0}}
    for sender in ("no key", "wrong key", "another scope"):
        answer = here.http.request(row.method, path, headers=headers(sender, row.scope), **wrong)
        expected = str(row.expected(sender))
        assert_refused(answer, 401 if expected.endswith("_api_key") else 403, expected)


def test_a_key_bound_to_a_site_lists_only_its_own(here: Service) -> None:
    foreign, own = here.accepted(), here.ask({"origin": OTHER_ORIGIN}, site="other", client_phone=phone()).json()["id"]
    bound = {"authorization": f"Bearer {ELSEWHERE}"}
    listed = [each["id"] for each in here.http.get("/v1/callbacks", headers=bound).json()["callbacks"]]
    assert own in listed
    assert foreign not in listed
    assert here.http.get("/v1/websites", headers=bound).json() == {"websites": []}
    assert here.http.get(f"/v1/callbacks/{own}", headers=bound).json()["site"] == "other"


def test_a_key_sees_all_fields_of_a_callback_and_others_see_three(here: Service) -> None:
    callback_id = here.accepted()
    public = here.http.get(f"/v1/callbacks/{callback_id}").json()
    assert public.keys() == {"id", "status", "call_expected_at"}
    right = headers("right key", "callbacks:read")
    assert here.http.get(f"/v1/callbacks/{callback_id}", headers=right).json()["site"] == "shop"
