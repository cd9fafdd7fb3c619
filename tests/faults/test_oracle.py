"""The oracle itself, on ledgers made by hand: it finds every kind of wrong, and only that."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.faults.oracle import FAILING, Answer, CallbackRecord, DatabaseInfo, Executed, Wish, judge

ASKED = {"client_phone": "79161234567", "site_id": "12345"}
TOLD = Answer(202, "id-1")
NOTHING = Answer(None)
REFUSED = Answer(429)
IDENTITY_FIELDS = Wish("n1", ASKED, [TOLD])
ROW = CallbackRecord("id-1", "n1", "placed", False, ("placed",))
CALL = Executed("n1", ASKED)


def kinds(wishes: Sequence[Wish], stored: Sequence[CallbackRecord], executed: Sequence[Executed]) -> set[str]:
    verdict = judge(wishes, stored, executed)
    found = {finding.kind for finding in verdict.findings}
    assert verdict.sound == (not found & set(FAILING))
    return found


def test_what_was_asked_stored_and_executed_once_is_sound() -> None:
    verdict = judge([IDENTITY_FIELDS], [ROW], [CALL])
    assert verdict.sound
    assert verdict.findings == ()
    assert (verdict.requests, verdict.accepted, verdict.executed, verdict.unknown) == (1, 1, 1, 0)


@pytest.mark.parametrize(
    ("answers", "seen"),
    [
        ([], DatabaseInfo.INFO),
        ([NOTHING], DatabaseInfo.INFO),
        ([Answer(503)], DatabaseInfo.INFO),
        ([REFUSED], DatabaseInfo.FAIL),
        ([NOTHING, REFUSED], DatabaseInfo.INFO),
        ([NOTHING, Answer(503), TOLD], DatabaseInfo.OK),
    ],
)
def test_what_a_client_knows_follows_from_all_its_answers(answers: list[Answer], seen: DatabaseInfo) -> None:
    assert Wish("n1", ASKED, answers).seen is seen


def test_a_202_without_a_callback_is_lost() -> None:
    assert kinds([IDENTITY_FIELDS], [], []) == {"lost"}


def test_a_202_for_another_id_than_the_stored_one_is_lost() -> None:
    assert kinds([IDENTITY_FIELDS], [replace(ROW, id="id-2")], [CALL]) == {"lost"}


def test_delivered_without_an_executed_call_is_lost() -> None:
    assert kinds([IDENTITY_FIELDS], [ROW], []) == {"lost"}


@pytest.mark.parametrize("outcomes", [("placed",), (), ("not_sent", "placed"), ("refused",), ("account",)])
def test_a_second_call_without_an_unknown_outcome_is_excess(outcomes: tuple[str, ...]) -> None:
    assert kinds([IDENTITY_FIELDS], [replace(ROW, outcomes=outcomes)], [CALL, CALL]) == {"excess", "doubled"}


@pytest.mark.parametrize("outcome", ["not_sent", "refused", "account"])
def test_a_call_that_an_attempt_denies_is_excess(outcome: str) -> None:
    assert "excess" in kinds([IDENTITY_FIELDS], [replace(ROW, status="failed", outcomes=(outcome,))], [CALL])


def test_a_second_call_after_an_unknown_outcome_is_doubled_and_no_fault() -> None:
    assert kinds([IDENTITY_FIELDS], [replace(ROW, outcomes=("unknown", "placed"))], [CALL, CALL]) == {"doubled"}


def test_a_third_call_after_one_unknown_outcome_is_excess() -> None:
    row = replace(ROW, outcomes=("unknown", "placed"))
    assert kinds([IDENTITY_FIELDS], [row], [CALL, CALL, CALL]) == {"excess", "doubled"}


def test_an_unknown_outcome_needs_no_call() -> None:
    assert kinds([IDENTITY_FIELDS], [replace(ROW, status="unknown", outcomes=("unknown", "unknown"))], []) == set()


def test_a_call_that_nobody_asked_for_is_a_phantom() -> None:
    assert kinds([], [], [CALL]) == {"phantom"}
    assert kinds([], [], [Executed(None, ASKED)]) == {"phantom"}


def test_a_callback_that_nobody_asked_for_is_a_phantom() -> None:
    assert kinds([], [ROW], [CALL]) == {"phantom"}


def test_a_call_after_a_refusal_is_a_phantom() -> None:
    assert kinds([Wish("n1", ASKED, [REFUSED])], [ROW], [CALL]) == {"phantom"}
    assert kinds([Wish("n1", ASKED, [REFUSED])], [], []) == set()


def test_a_call_that_is_not_stored_is_a_phantom() -> None:
    assert kinds([Wish("n1", ASKED, [NOTHING])], [], [CALL]) == {"phantom"}


def test_a_call_whose_asker_got_no_answer_is_counted_and_no_fault() -> None:
    assert kinds([Wish("n1", ASKED, [NOTHING])], [ROW], [CALL]) == {"unanswered"}
    assert kinds([Wish("n1", ASKED, [NOTHING])], [], []) == set()


@pytest.mark.parametrize(
    "parameters", [ASKED | {"client_phone": "79160000000"}, ASKED | {"more": "1"}, {"site_id": "12345"}]
)
def test_other_parameters_than_asked_are_altered(parameters: dict[str, str]) -> None:
    assert kinds([IDENTITY_FIELDS], [ROW], [Executed("n1", parameters)]) == {"altered"}


@pytest.mark.parametrize(
    "row",
    [
        replace(ROW, status="queued", waiting=True, outcomes=()),
        replace(ROW, status="sending", outcomes=(None,)),
        replace(ROW, status="held", outcomes=()),
        replace(ROW, status="unknown", waiting=True, outcomes=("unknown",)),
        replace(ROW, status="unknown", outcomes=("unknown", None)),
    ],
)
def test_what_is_still_on_its_way_is_stuck(row: CallbackRecord) -> None:
    assert kinds([IDENTITY_FIELDS], [row], []) == {"stuck"}


def test_two_callbacks_for_one_request_are_duplicated() -> None:
    twin = replace(ROW, id="id-2", status="failed", outcomes=("refused",))
    assert kinds([IDENTITY_FIELDS], [ROW, twin], [CALL]) == {"duplicated"}


def test_two_ids_told_for_one_request_are_duplicated() -> None:
    assert "duplicated" in kinds([Wish("n1", ASKED, [TOLD, Answer(202, "id-2")])], [ROW], [CALL])


def test_the_figures_name_every_kind() -> None:
    words = str(judge([IDENTITY_FIELDS], [ROW], [CALL]))
    assert all(f"{kind} 0" in words for kind in (*FAILING, "doubled", "unanswered"))
    assert "lost n1: told 202" in judge([IDENTITY_FIELDS], [], []).explain()
