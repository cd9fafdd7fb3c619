"""Every fault of the simulator, many times: classified as what it proves, and within the deadline."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.faults.doses import dose, note
from tests.faults.load import all_at_once, new_wish
from tests.faults.oracle import FAILING, judge
from tests.faults.servers import Nursery, Replica, replicas
from tests.faults.world import World, world
from tests.running import until

TIMES = dose(3, 50)
DEADLINE = dose(1, 5)  # seconds; fifty calls at once on a busy machine take a while to be on their way


class Fault(NamedTuple):
    """What the simulator is told, what the attempt has to be, and whether the call is executed."""

    told: dict[str, Any]
    outcome: str
    executed: bool

    def __str__(self) -> str:
        return " ".join(str(value) for value in self.told.values())


# The table "What an HTTP failure proves about a call": a status decides; else all that was sent may have been executed.
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
def place(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[tuple[World, Replica]]:
    """A service that tries everything once within the time of a test."""
    folder = tmp_path_factory.mktemp("faults")
    patient = {"retry_schedule": ["1d"], "resend_after": "1d", "give_up_after": "2d"}
    with (
        world(folder, chaser={"timeout": f"{DEADLINE}s"}, **patient) as here,
        replicas(nursery, folder, here.settings) as (replica,),
    ):
        yield here, replica


def meet(place: tuple[World, Replica], told: dict[str, Any]) -> tuple[Counter[str], int, int]:
    """Let many calls meet a fault. Gives the outcomes, how many were executed, and the longest duration in ms."""
    here, replica = place
    whole = told["kind"] == "refuse"
    path = {} if told["kind"] in ("refuse", "reset_unread") else {"path": "/v1/call"}
    here.far_side.fault(**told, **path, times=None if whole else TIMES)
    askings = [new_wish() for _ in range(TIMES)]
    nonces = {asking.nonce for asking in askings}
    all_at_once(askings, [replica.url])

    def stored() -> list[Any]:
        return [row for row in here.stored() if row.nonce in nonces]

    until(
        lambda: sum(bool(row.outcomes) and None not in row.outcomes for row in stored()) == TIMES, within=dose(60, 180)
    )
    here.far_side.well_again()
    executed = [call for call in here.executed() if call.nonce in nonces]
    verdict = judge([asking.wish for asking in askings], stored(), executed)
    assert verdict.accepted == TIMES
    # What was not sent or is unknown waits for its day; nothing else may be wrong.
    assert not {finding.kind for finding in verdict.findings} & (set(FAILING) - {"stuck"}), verdict.explain()
    ids = ",".join(f"'{row.id}'" for row in stored())
    ((longest,),) = here.sql(f"SELECT max(duration_ms) FROM attempts WHERE callback_id IN ({ids})")
    return Counter(outcome for row in stored() for outcome in row.outcomes), len(executed), longest


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_classified_by_what_it_proves(place: tuple[World, Replica], fault: Fault) -> None:
    outcomes, executed, longest = meet(place, fault.told)
    note(f"fault {fault}, {TIMES} times", f"{dict(outcomes)}, executed {executed}, longest {longest} ms")
    assert outcomes == {fault.outcome: TIMES}
    assert executed == TIMES * fault.executed
    assert longest <= (DEADLINE + 1) * 1000


def test_a_connection_reset_before_a_byte_was_read_is_never_taken_for_a_call(place: tuple[World, Replica]) -> None:
    outcomes, executed, longest = meet(place, {"kind": "reset_unread"})
    note(f"fault reset_unread, {TIMES} times", f"{dict(outcomes)}, executed {executed}, longest {longest} ms")
    # Whether the reset is seen before or after the request is handed to the system is a matter of microseconds.
    assert outcomes.keys() <= {"unknown", "not_sent"}
    assert executed == 0
    assert longest <= (DEADLINE + 1) * 1000
