"""Bot detection: the requests that are held for an operator."""

from datetime import timedelta

import pytest

from app.intake.bot_detection import LEAST_TIME, hold_reason

ORDINARY = {"honeypot": None, "age": timedelta(seconds=20), "phone_certain": True, "elevated": False}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"honeypot": ""}, None),
        ({"age": None}, None),
        ({"age": LEAST_TIME}, None),
        ({"phone_certain": False}, None),
        ({"elevated": True}, None),
        ({"honeypot": "https://"}, "honeypot"),
        ({"age": LEAST_TIME - timedelta(milliseconds=1)}, "sent_too_fast"),
        ({"phone_certain": False, "elevated": True}, "suspicious_network"),
    ],
)
def test_only_requests_that_no_person_would_send_are_held(changes: dict[str, object], reason: str | None) -> None:
    assert hold_reason(**ORDINARY | changes) == reason  # type: ignore[arg-type]
