"""The API: /v1/websites, /v1/statistics and /v1/call, from parameters to an answer. Knows nothing of connections."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from app.simulator.call_schedule import plan
from app.simulator.core import Simulator
from app.simulator.options import Account, Site
from app.simulator.php import Array, parse_str
from app.simulator.records import DONE, FAILED, SUCCESS, Call, readable
from app.simulator.request_rules import (
    BadParameterError,
    StatisticsParameters,
    read_call,
    read_site_id,
    read_statistics,
    read_text,
    signature_matches,
)

FORM = "application/x-www-form-urlencoded"
METHODS = {"/v1/websites": "GET", "/v1/statistics": "GET", "/v1/call": "POST"}


@dataclass(frozen=True)
class Answer:
    """An answer to send. `call` is the number of the call that was executed, `message` the reason of an error."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    call: int | None = None
    message: str = ""


class RefusedError(Exception):
    """The request is refused with this HTTP status; the message gives the reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def json_answer(status: int, content: Any, call: int | None = None, message: str = "") -> Answer:
    """Return an answer with a JSON body."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Answer(status, body, {"content-type": "application/json; charset=utf-8"}, call, message)


def error_answer(status: int, message: str) -> Answer:
    """Return an error in the simulator's own format; the vendor documents none."""
    try:
        name = HTTPStatus(status).phrase
    except ValueError:
        name = "Unknown"
    return json_answer(status, {"error": {"status": status, "name": name, "message": message}}, message=message)


def execute(
    simulator: Simulator, method: str, path: str, query: bytes, body: bytes, content_type: str, fault: str | None
) -> Answer:
    """Authenticate and execute a request and return the answer. Never raises for anything that a client sends.

    As in PHP, a POST has parameters only if its content type is a URL-encoded form. `fault` is the name of the
    scripted fault of this request, for the ledger.
    """
    try:
        _check_method(method, path)
        is_form = content_type.partition(";")[0].strip().lower() == FORM
        params = parse_str(query) if method == "GET" else parse_str(body) if is_form else {}
        account = _account(simulator, params)
        if path == "/v1/websites":
            sites = [{"id": site.id, "name": site.name, "title": site.title} for site in account.sites]
            return json_answer(200, sites)
        site = _site(simulator, account, params)
        if path == "/v1/statistics":
            return json_answer(200, _statistics(simulator, site, read_statistics(params)))
        call = _call(simulator, account, site, params, fault)
        return json_answer(200, {"result": "ok", "call_id": str(call.seq)}, call.seq)
    except RefusedError as error:
        return error_answer(error.status, str(error))
    except BadParameterError as error:
        return error_answer(400, str(error))


def _check_method(method: str, path: str) -> None:
    if path not in METHODS:
        raise RefusedError(404, "no such object")
    if method != METHODS[path]:
        raise RefusedError(405, f"{path} takes {METHODS[path]}")


def _account(simulator: Simulator, params: Array) -> Account:
    client_id = read_text(params, "client_id") if isinstance(params.get(b"client_id"), bytes) else None
    account = simulator.options.account(client_id) if client_id else None
    if account is None:
        raise RefusedError(401, "unknown client_id" if client_id else "client_id is missing")
    if b"SecurityKey" not in params:
        raise RefusedError(401, "SecurityKey is missing")
    if not signature_matches(params, account.private_key):
        raise RefusedError(401, "SecurityKey does not match the parameters as PHP decodes and encodes them")
    return account


def _site(simulator: Simulator, account: Account, params: Array) -> Site:
    owner_and_site = simulator.options.site(read_site_id(params))
    if owner_and_site is None:
        raise RefusedError(404, "no such site")
    owner, site = owner_and_site
    if owner is not account:
        raise RefusedError(403, "this site belongs to another account")
    return site


def _call(simulator: Simulator, account: Account, site: Site, params: Array, fault: str | None) -> Call:
    request = read_call(params)
    now = simulator.clock.now()
    public = {name: value for name, value in params.items() if name not in (b"client_id", b"SecurityKey")}
    return simulator.ledger.add_call(
        account,
        site,
        plan(request, site.hours, now, simulator.ledger.queued_for(site.id)),
        now,
        client_phone=request.client_phone,
        manager_phone=request.manager_phone or site.manager_phone,
        params=readable(public),
        fault=fault,
    )


def _statistics(simulator: Simulator, site: Site, query: StatisticsParameters) -> list[dict[str, str]]:
    """List the finished calls of a site. A call belongs to the day on which it rang, in the site's time zone."""
    simulator.catch_up()
    result = {"success_calls": SUCCESS, "failed_calls": FAILED}.get(query.filter or "")
    items = []
    for call in simulator.ledger.calls():
        if call.site_id != site.id or call.state != DONE or call.rang_at is None or call.result is None:
            continue
        rang = call.rang_at.astimezone(site.hours.zone)
        if (
            (result is None or call.result == result)
            and (query.date_from is None or rang.date() >= query.date_from)
            and (query.date_to is None or rang.date() <= query.date_to)
        ):
            items.append(
                {
                    "id": str(call.seq),
                    "site_id": call.site_id,
                    "client_phone": call.client_phone,
                    "manager_phone": call.manager_phone,
                    "date": f"{rang:%d-%m-%Y %H:%M:%S}",
                    "status": call.result,
                }
            )
    return items
