"""No sequence of events loses a callback, makes a second call under `hold`, or a third under `resend_once`."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from app.outbox.claims import Claim
from app.outbox.outbox import Outbox
from tests.faults.doses import dose
from tests.faults.outbox_machine import OutboxMachine


def try_sequences(folder: Path, machine: type[OutboxMachine], on_unknown: str, **changes: Any) -> None:
    """Run many sequences of events. `changes`: of hypothesis' settings."""
    empty = folder / "empty.db"
    Outbox.open(f"sqlite:///{empty}").close()
    complete = type("Sequence", (machine,), {"on_unknown": on_unknown, "empty": empty})
    defaults: dict[str, Any] = {
        "max_examples": dose(15, 500),
        "stateful_step_count": 30,
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
    }
    run_state_machine_as_test(complete, settings=settings(**defaults | changes))


@pytest.mark.parametrize("on_unknown", ["resend_once", "hold"])
def test_no_sequence_of_events_violates_the_invariants(tmp_path: Path, on_unknown: str) -> None:
    try_sequences(tmp_path, OutboxMachine, on_unknown)


class WithoutHistory(OutboxMachine):
    """A faulty worker without the history of attempts: it sends again after every unknown outcome."""

    def history(self, claim: Claim) -> tuple[str, ...]:
        return ()


def test_the_machine_finds_a_worker_without_history(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"may ring more than \d times"):
        try_sequences(
            tmp_path,
            WithoutHistory,
            "resend_once",
            max_examples=500,  # ends at the first violation; in the short dose of 15 there may be none
            phases=[Phase.generate],
            derandomize=True,
            report_multiple_bugs=False,
        )
