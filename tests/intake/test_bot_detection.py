"""What is held for a person to look at."""

from datetime import timedelta

import pytest

from app.intake.bot_detection import LEAST_TIME, suspicion

ORDINARY = {"trap": None, "age": timedelta(seconds=20), "phone_certain": True, "crowded": False}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"trap": ""}, None),
        ({"age": None}, None),
        ({"age": LEAST_TIME}, None),
        ({"phone_certain": False}, None),
        ({"crowded": True}, None),
        ({"trap": "https://"}, "trap_filled"),
        ({"age": LEAST_TIME - timedelta(milliseconds=1)}, "sent_too_fast"),
        ({"phone_certain": False, "crowded": True}, "number_and_network_doubtful"),
    ],
)
def test_only_what_no_person_would_do_is_held(changes: dict[str, object], reason: str | None) -> None:
    assert suspicion(**ORDINARY | changes) == reason  # type: ignore[arg-type]
