"""Each fault of the simulator, many times: the outcome that it proves is recorded within the timeout."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.faults.doses import dose, note
from tests.faults.load import new_request, send_concurrently
from tests.faults.oracle import FAILING, judge
from tests.faults.servers import ForkServer, Replica, replicas
from tests.faults.world import World, world
from tests.running import until

TIMES = dose(3, 50)
TIMEOUT = dose(1, 5)  # seconds; on a busy machine it takes a while until fifty concurrent calls are sent


class Fault(NamedTuple):
    """A scripted fault, the outcome that the attempt must have, and whether the call is executed."""

    script: dict[str, Any]
    outcome: str
    executed: bool

    def __str__(self) -> str:
        return " ".join(str(value) for value in self.script.values())


# A response status decides the outcome. Without one, a request that was sent may have been executed.
FAULTS = [
    Fault({"kind": "refuse"}, "not_sent", False),
    Fault({"kind": "hang_before"}, "unknown", False),
    Fault({"kind": "hang_after"}, "unknown", True),
    Fault({"kind": "reset_before"}, "unknown", False),
    Fault({"kind": "reset_after"}, "unknown", True),
    Fault({"kind": "close_before"}, "unknown", False),
    Fault({"kind": "close_after"}, "unknown", True),
    Fault({"kind": "garbage"}, "unknown", True),
    Fault({"kind": "garbage", "execute": False}, "unknown", False),
    Fault({"kind": "drip"}, "unknown", True),
    Fault({"kind": "slow", "seconds": 15}, "unknown", True),
    Fault({"kind": "slow", "seconds": 0.2}, "placed", True),
    Fault({"kind": "cut_body"}, "placed", True),
    Fault({"kind": "drip_body"}, "placed", True),
    Fault({"kind": "status", "status": 400}, "refused", False),
    Fault({"kind": "status", "status": 404}, "refused", False),
    Fault({"kind": "status", "status": 429}, "not_sent", False),
    Fault({"kind": "status", "status": 503, "headers": {"retry-after": "5"}}, "not_sent", False),
    Fault({"kind": "status", "status": 503}, "unknown", False),
    Fault({"kind": "status", "status": 500, "execute": True}, "unknown", True),
    Fault({"kind": "status", "status": 302, "headers": {"location": "/v1/call"}}, "unknown", False),
    Fault({"kind": "status", "status": 202, "execute": True}, "unknown", True),
]


@pytest.fixture(scope="module")
def single_attempt(
    tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer
) -> Iterator[tuple[World, Replica]]:
    """A service with retry delays so long that each callback has one attempt in a test."""
    folder = tmp_path_factory.mktemp("faults")
    one_attempt = {"retry_schedule": ["1d"], "resend_after": "1d", "give_up_after": "2d"}
    with (
        world(folder, chaser={"timeout": f"{TIMEOUT}s"}, **one_attempt) as here,
        replicas(fork_server, folder, here.settings) as (replica,),
    ):
        yield here, replica


def make_calls(single_attempt: tuple[World, Replica], script: dict[str, Any]) -> tuple[Counter[str], int, int]:
    """Make TIMES calls with a fault. Return outcomes, number of executed calls and the longest duration in ms."""
    here, replica = single_attempt
    whole_port = script["kind"] == "refuse"
    path = {} if script["kind"] in ("refuse", "reset_unread") else {"path": "/v1/call"}
    here.far_side.fault(**script, **path, times=None if whole_port else TIMES)
    requests = [new_request() for _ in range(TIMES)]
    nonces = {request.nonce for request in requests}
    send_concurrently(requests, [replica.url])

    def stored() -> list[Any]:
        return [row for row in here.stored() if row.nonce in nonces]

    until(
        lambda: sum(bool(row.outcomes) and None not in row.outcomes for row in stored()) == TIMES, within=dose(60, 180)
    )
    here.far_side.clear_faults()
    executed = [call for call in here.executed() if call.nonce in nonces]
    verdict = judge([request.record for request in requests], stored(), executed)
    assert verdict.accepted == TIMES
    # Callbacks that are not sent or unknown wait for their next attempt, so they are stuck for the oracle.
    assert not {finding.kind for finding in verdict.findings} & (set(FAILING) - {"stuck"}), verdict.explain()
    ids = ",".join(f"'{row.id}'" for row in stored())
    ((longest,),) = here.sql(f"SELECT max(duration_ms) FROM attempts WHERE callback_id IN ({ids})")
    return Counter(outcome for row in stored() for outcome in row.outcomes), len(executed), longest


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_outcome_is_what_the_fault_proves(single_attempt: tuple[World, Replica], fault: Fault) -> None:
    outcomes, executed, longest = make_calls(single_attempt, fault.script)
    note(f"fault {fault}, {TIMES} times", f"{dict(outcomes)}, executed {executed}, longest {longest} ms")
    assert outcomes == {fault.outcome: TIMES}
    assert executed == TIMES * fault.executed
    assert longest <= (TIMEOUT + 1) * 1000


def test_a_connection_reset_before_a_byte_was_read_is_never_recorded_as_placed(
    single_attempt: tuple[World, Replica],
) -> None:
    outcomes, executed, longest = make_calls(single_attempt, {"kind": "reset_unread"})
    note(f"fault reset_unread, {TIMES} times", f"{dict(outcomes)}, executed {executed}, longest {longest} ms")
    # It is a race whether the client sees the reset before or after it writes the request to the socket.
    assert outcomes.keys() <= {"unknown", "not_sent"}
    assert executed == 0
    assert longest <= (TIMEOUT + 1) * 1000
