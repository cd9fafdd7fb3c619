"""The retry policy as a table of outcomes and relevant histories, and its bound as a property."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.delivery.retry_policy import Decision, Outcome, RetryPolicy, decide
from app.outbox.callback import Status

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
GIVE_UP_AT = NOW + timedelta(hours=2)
SCHEDULE = (timedelta(seconds=5), timedelta(seconds=15), timedelta(minutes=1))
RESEND = RetryPolicy(SCHEDULE, "resend_once")
HOLD = RetryPolicy(SCHEDULE, "hold")


def decided(
    outcome: str, *history: str, policy: RetryPolicy = RESEND, **changes: Any
) -> tuple[str, float | None, str | None]:
    facts = {"give_up_at": GIVE_UP_AT, "retry_after": None, "now": NOW, "random": 0.0} | changes
    decision = decide(Outcome(outcome), history=history, policy=policy, **facts)
    due_in = (decision.due_at - facts["now"]).total_seconds() if decision.due_at else None
    return decision.status.value, due_in, decision.reason


@pytest.mark.parametrize(
    ("outcome", "history", "policy", "expected"),
    [
        ("placed", (), RESEND, ("placed", None, None)),
        ("placed", ("unknown",), RESEND, ("placed", None, None)),
        ("placed", ("not_sent", "forbidden"), HOLD, ("placed", None, None)),
        ("refused", (), RESEND, ("failed", None, "refused_by_chaser")),
        (
            "refused",
            ("not_sent", "forbidden", "unauthorized", "not_started"),
            HOLD,
            ("failed", None, "refused_by_chaser"),
        ),
        ("refused", ("unknown",), RESEND, ("unknown", None, "resend_refused")),
        ("refused", ("unknown", "not_sent"), RESEND, ("unknown", None, "resend_refused")),
        ("refused", ("unknown",), HOLD, ("unknown", None, "resend_refused")),
        ("forbidden", (), RESEND, ("queued", 0, "account_refused")),
        ("forbidden", ("forbidden",) * 9, RESEND, ("queued", 0, "account_refused")),
        ("forbidden", ("unknown",), RESEND, ("unknown", 0, "account_refused")),
        ("forbidden", ("unknown",), HOLD, ("queued", 0, "account_refused")),
        ("unauthorized", (), RESEND, ("queued", 5, "account_refused")),
        ("unauthorized", ("unauthorized", "not_sent"), RESEND, ("queued", 15, "account_refused")),
        ("unauthorized", ("unauthorized",) * 9, HOLD, ("queued", 60, "account_refused")),
        ("unauthorized", ("not_sent", "forbidden") * 5, RESEND, ("queued", 5, "account_refused")),
        ("unauthorized", ("unknown",), RESEND, ("unknown", 5, "account_refused")),
        ("unauthorized", ("unknown",), HOLD, ("queued", 5, "account_refused")),
        ("not_started", (), RESEND, ("queued", 0, "not_started")),
        ("not_started", ("not_started",) * 9, HOLD, ("queued", 0, "not_started")),
        ("not_started", ("unknown",), RESEND, ("unknown", 0, "not_started")),
        ("not_started", ("unknown",), HOLD, ("queued", 0, "not_started")),
        ("not_sent", (), RESEND, ("queued", 5, "not_sent")),
        ("not_sent", ("not_sent",), RESEND, ("queued", 15, "not_sent")),
        ("not_sent", ("not_sent",) * 2, RESEND, ("queued", 60, "not_sent")),
        ("not_sent", ("not_sent",) * 50, HOLD, ("queued", 60, "not_sent")),
        ("not_sent", ("forbidden", "unauthorized") * 5, RESEND, ("queued", 5, "not_sent")),
        ("not_sent", ("not_started",) * 5, RESEND, ("queued", 5, "not_sent")),
        ("not_sent", ("unknown",), RESEND, ("unknown", 5, "not_sent")),
        ("not_sent", ("unknown", "not_sent"), RESEND, ("unknown", 15, "not_sent")),
        # Under `hold` only an operator resends after an unknown outcome, and that order stands.
        ("not_sent", ("unknown",), HOLD, ("queued", 5, "not_sent")),
        ("unknown", (), RESEND, ("unknown", 60, "resend_once")),
        ("unknown", ("not_sent", "forbidden"), RESEND, ("unknown", 60, "resend_once")),
        ("unknown", ("unknown",), RESEND, ("unknown", None, "resend_exhausted")),
        ("unknown", ("unknown", "not_sent"), RESEND, ("unknown", None, "resend_exhausted")),
        ("unknown", (), HOLD, ("unknown", None, "awaiting_operator")),
        ("unknown", ("not_sent",), HOLD, ("unknown", None, "awaiting_operator")),
    ],
)
def test_the_next_state_after_an_attempt(
    outcome: str, history: tuple[str, ...], policy: RetryPolicy, expected: tuple[str, float | None, str | None]
) -> None:
    assert decided(outcome, *history, policy=policy) == expected


@pytest.mark.parametrize("outcome", ["not_sent", "forbidden", "unauthorized", "not_started"])
def test_a_callback_past_its_deadline_is_failed(outcome: str) -> None:
    assert decided(outcome, now=GIVE_UP_AT) == ("failed", None, "expired")


@pytest.mark.parametrize("policy", [RESEND, HOLD])
@pytest.mark.parametrize("outcome", ["not_sent", "forbidden", "unauthorized", "not_started"])
def test_a_callback_that_may_have_rung_is_never_failed_however_old_it_is(outcome: str, policy: RetryPolicy) -> None:
    expired = ("unknown", None, "expired_unknown")
    assert decided(outcome, "unknown", now=GIVE_UP_AT, policy=policy) == expired
    assert decided(outcome, "unknown", "not_sent", now=GIVE_UP_AT, policy=policy) == expired


def test_a_placed_call_counts_however_late_it_is() -> None:
    assert decided("placed", now=GIVE_UP_AT + timedelta(days=1)) == ("placed", None, None)


def test_an_unknown_callback_is_not_resent_if_it_would_expire_before() -> None:
    assert decided("unknown", now=GIVE_UP_AT - timedelta(seconds=60)) == ("unknown", None, "expired_unknown")
    assert decided("unknown", now=GIVE_UP_AT - timedelta(seconds=61)) == ("unknown", 60, "resend_once")


def test_no_delay_goes_beyond_the_deadline() -> None:
    assert decided("not_sent", now=GIVE_UP_AT - timedelta(seconds=2)) == ("queued", 2, "not_sent")
    assert decided("unauthorized", now=GIVE_UP_AT - timedelta(seconds=2)) == ("queued", 2, "account_refused")


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [(0, 5), (3, 5), (30.5, 30.5), (15 * 60, 15 * 60), (86_400, 15 * 60), (1e300, 15 * 60), (float("inf"), 15 * 60)],
)
def test_retry_after_is_honoured_up_to_a_limit(retry_after: float, delay: float) -> None:
    assert decided("not_sent", retry_after=retry_after) == ("queued", delay, "not_sent")


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_lengthens_a_delay_by_at_most_a_fifth(random: float) -> None:
    _, delay, _ = decided("not_sent", random=random)
    assert delay is not None
    assert 5 <= delay <= 6


@given(st.lists(st.sampled_from(list(Outcome)), max_size=30), st.sampled_from([RESEND, HOLD]))
def test_no_sequence_of_outcomes_sends_again_more_often_than_allowed(
    outcomes: list[Outcome], policy: RetryPolicy
) -> None:
    history: list[str] = []
    maybe_rung = 0
    now = NOW
    decision = Decision(Status.QUEUED, NOW, None)
    for outcome in outcomes:
        if outcome in (Outcome.PLACED, Outcome.UNKNOWN):
            maybe_rung += 1
        decision = decide(
            outcome, history=history, give_up_at=GIVE_UP_AT, retry_after=None, now=now, random=0.5, policy=policy
        )
        history.append(outcome)
        if decision.due_at is None:
            assert decision.status in (Status.PLACED, Status.FAILED, Status.UNKNOWN), (
                "no attempt is due, but the state is not final"
            )
            break
        assert decision.status in (Status.QUEUED, Status.UNKNOWN)
        now = max(now, decision.due_at)
    unknown = history.count(Outcome.UNKNOWN)
    assert not (unknown and decision.status is Status.FAILED), "failed means that no phone has rung"
    assert maybe_rung - 1 <= unknown <= (2 if policy is RESEND else 1)
    assert maybe_rung <= (2 if policy is RESEND else 1)
