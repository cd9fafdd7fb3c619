"""A simulator of the Chaser telephony API for development and tests, as an ASGI app. No real phone rings.

Documented by the vendor: the three methods, their parameters and ranges, the signature (checked here as in PHP), the
statuses 200, 401, 403 and 404, and the format of `websites`.

**Not documented, and invented here.** No code may depend on any of these:

- the body of a successful `call` (here {"result": "ok", "call_id": "1"})
- the format of a `statistics` item, and the listed calls (here finished ones, by the day on which they rang)
- the bodies of errors (here {"error": {"status", "name", "message"}})
- the status for a parameter out of range (here 400), a wrong method (405), a body over 1 MiB (413)
- the length of a phone number (here 7 to 15 digits), the validation of client_ip (here it must be an address)
- the order of errors if several apply (here 401, 400 for site_id, 404, 403, 400 for the rest)
- a rate limit (here none)
- idempotency (here none: an identical second `call` rings a second time)
- the time zone of dates (here the site's)
- a planned_time in the past (here the call rings at once)
- a call outside working hours without nwt_action (here it rings at once)
- weekends (here as a long night: a call of Friday night rings on Monday)
- the exact time at which queued calls ring (see call_schedule.py)
- the clock (here it can be set), and the end of a call (here it is answered after some seconds, unless scripted)

Routes: /v1/… is the API, /_control/… sets the clock and scripts faults (control.py). / shows calls as they ring, and
/shop is a demo shop with the widget from another origin.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from app.simulator.api import Answer, error_answer, execute, json_answer
from app.simulator.control import control_routes
from app.simulator.core import Simulator
from app.simulator.fault_script import Fault
from app.simulator.options import Options
from app.simulator.pages import page_routes
from app.simulator.records import ApiRequest
from app.simulator.wire_faults import perform, send_answer

MAX_BODY = 1024 * 1024


def create_simulator(options: Options | None = None) -> Starlette:
    """Create the app of a simulator; its state is `app.state.simulator`.

    Under another server than the simulator's (server.py), faults that need the TCP connection are refused with 409.
    """
    simulator = Simulator(options or Options())
    api = Mount("/v1", ApiEndpoint(simulator))
    app = Starlette(
        routes=[api, *control_routes(simulator), *page_routes(simulator)],
        exception_handlers={HTTPException: _error},
        max_body_size=MAX_BODY,
    )
    app.router.redirect_slashes = False
    app.state.simulator = simulator
    return app


class ApiEndpoint:
    """All paths under /v1/: record the request, execute it, perform a scripted fault, answer."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        simulator = self._simulator
        entry = simulator.ledger.add_request(
            simulator.clock.now(),
            request.method,
            request.url.path,
            scope["query_string"].decode("latin-1"),
            body.decode("latin-1"),
        )
        fault = simulator.faults.next_for_request(entry.path)
        answer = self._execute(entry, fault, body, scope, request.headers.get("content-type", ""))
        simulator.announce()
        if fault is None:
            await send_answer(answer, send)
        else:
            await perform(fault, answer, scope, receive, send, simulator.stopping)

    def _execute(self, entry: ApiRequest, fault: Fault | None, body: bytes, scope: Scope, content_type: str) -> Answer:
        """Execute the request unless the fault prevents it, record the outcome and return the answer."""
        answer = json_answer(200, {"result": "ok"})
        if fault is None or fault.execute:
            name = fault.name if fault else None
            answer = execute(self._simulator, entry.method, entry.path, scope["query_string"], body, content_type, name)
        entry.call, entry.message = answer.call, answer.message
        if fault is not None:
            entry.fault = fault.name
            if fault.kind == "status":
                answer = _scripted_answer(fault)
        if fault is None or fault.kind in ("status", "slow", "cut_body", "drip", "drip_body"):
            entry.status = answer.status
        return answer


def _scripted_answer(fault: Fault) -> Answer:
    default = error_answer(fault.status, "a scripted fault")
    if fault.body is None:
        return Answer(default.status, default.body, default.headers | fault.headers)
    return Answer(fault.status, fault.body.encode(), fault.headers)


async def _error(_: Request, error: Exception) -> JSONResponse:
    status, message = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "an error")
    return JSONResponse({"error": {"status": status, "message": message}}, status)
