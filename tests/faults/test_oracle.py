"""The test oracle on handmade records: it finds every kind of violation, and no false ones."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.faults.oracle import FAILING, Answer, CallbackRecord, ClientView, ExecutedCall, RequestRecord, judge

PARAMETERS = {"client_phone": "79161234567", "site_id": "12345"}
ACCEPTED = Answer(202, "id-1")
NO_ANSWER = Answer(None)
REFUSED = Answer(429)
REQUEST = RequestRecord("n1", PARAMETERS, [ACCEPTED])
ROW = CallbackRecord("id-1", "n1", "placed", False, ("placed",))
CALL = ExecutedCall("n1", PARAMETERS)


def kinds(
    requests: Sequence[RequestRecord], stored: Sequence[CallbackRecord], executed: Sequence[ExecutedCall]
) -> set[str]:
    verdict = judge(requests, stored, executed)
    kinds = {finding.kind for finding in verdict.findings}
    assert verdict.sound == (not kinds & set(FAILING))
    return kinds


def test_a_request_stored_and_executed_once_has_no_findings() -> None:
    verdict = judge([REQUEST], [ROW], [CALL])
    assert verdict.sound
    assert verdict.findings == ()
    assert (verdict.requests, verdict.accepted, verdict.executed, verdict.unknown) == (1, 1, 1, 0)


@pytest.mark.parametrize(
    ("answers", "view"),
    [
        ([], ClientView.INFO),
        ([NO_ANSWER], ClientView.INFO),
        ([Answer(503)], ClientView.INFO),
        ([REFUSED], ClientView.FAIL),
        ([NO_ANSWER, REFUSED], ClientView.INFO),
        ([NO_ANSWER, Answer(503), ACCEPTED], ClientView.OK),
    ],
)
def test_the_clients_view_follows_from_all_its_answers(answers: list[Answer], view: ClientView) -> None:
    assert RequestRecord("n1", PARAMETERS, answers).view is view


def test_a_202_without_a_callback_is_lost() -> None:
    assert kinds([REQUEST], [], []) == {"lost"}


def test_a_202_for_another_id_than_the_stored_one_is_lost() -> None:
    assert kinds([REQUEST], [replace(ROW, id="id-2")], [CALL]) == {"lost"}


def test_placed_without_an_executed_call_is_lost() -> None:
    assert kinds([REQUEST], [ROW], []) == {"lost"}


@pytest.mark.parametrize("outcomes", [("placed",), (), ("not_sent", "placed"), ("refused",), ("forbidden",)])
def test_a_second_call_without_an_unknown_outcome_is_excess(outcomes: tuple[str, ...]) -> None:
    assert kinds([REQUEST], [replace(ROW, outcomes=outcomes)], [CALL, CALL]) == {"excess", "doubled"}


@pytest.mark.parametrize("outcome", ["not_sent", "refused", "forbidden"])
def test_a_call_after_an_attempt_that_was_not_executed_is_excess(outcome: str) -> None:
    assert "excess" in kinds([REQUEST], [replace(ROW, status="failed", outcomes=(outcome,))], [CALL])


def test_a_second_call_after_an_unknown_outcome_is_doubled_and_no_violation() -> None:
    assert kinds([REQUEST], [replace(ROW, outcomes=("unknown", "placed"))], [CALL, CALL]) == {"doubled"}


def test_a_third_call_after_one_unknown_outcome_is_excess() -> None:
    row = replace(ROW, outcomes=("unknown", "placed"))
    assert kinds([REQUEST], [row], [CALL, CALL, CALL]) == {"excess", "doubled"}


def test_an_unknown_outcome_needs_no_call() -> None:
    assert kinds([REQUEST], [replace(ROW, status="unknown", outcomes=("unknown", "unknown"))], []) == set()


def test_a_call_that_was_not_requested_is_a_phantom() -> None:
    assert kinds([], [], [CALL]) == {"phantom"}
    assert kinds([], [], [ExecutedCall(None, PARAMETERS)]) == {"phantom"}


def test_a_callback_that_was_not_requested_is_a_phantom() -> None:
    assert kinds([], [ROW], [CALL]) == {"phantom"}


def test_a_call_after_a_refusal_is_a_phantom() -> None:
    assert kinds([RequestRecord("n1", PARAMETERS, [REFUSED])], [ROW], [CALL]) == {"phantom"}
    assert kinds([RequestRecord("n1", PARAMETERS, [REFUSED])], [], []) == set()


def test_a_call_that_is_not_stored_is_a_phantom() -> None:
    assert kinds([RequestRecord("n1", PARAMETERS, [NO_ANSWER])], [], [CALL]) == {"phantom"}


def test_a_call_without_an_answer_to_the_client_is_counted_and_no_violation() -> None:
    assert kinds([RequestRecord("n1", PARAMETERS, [NO_ANSWER])], [ROW], [CALL]) == {"unanswered"}
    assert kinds([RequestRecord("n1", PARAMETERS, [NO_ANSWER])], [], []) == set()


@pytest.mark.parametrize(
    "parameters", [PARAMETERS | {"client_phone": "79160000000"}, PARAMETERS | {"more": "1"}, {"site_id": "12345"}]
)
def test_other_parameters_than_requested_are_altered(parameters: dict[str, str]) -> None:
    assert kinds([REQUEST], [ROW], [ExecutedCall("n1", parameters)]) == {"altered"}


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
def test_a_callback_that_is_not_finished_is_stuck(row: CallbackRecord) -> None:
    assert kinds([REQUEST], [row], []) == {"stuck"}


def test_two_callbacks_for_one_request_are_duplicated() -> None:
    second = replace(ROW, id="id-2", status="failed", outcomes=("refused",))
    assert kinds([REQUEST], [ROW, second], [CALL]) == {"duplicated"}


DUPLICATE = CallbackRecord("id-2", "n2", "duplicate", False, (), "id-1")
REPEATED = RequestRecord("n2", PARAMETERS, [Answer(202, "id-2")])


@pytest.mark.parametrize("answered", ["id-2", "id-1"], ids=["visitor", "service"])
def test_a_request_that_another_call_covers_is_merged_and_no_violation(answered: str) -> None:
    repeated = RequestRecord("n2", PARAMETERS, [Answer(202, answered)])
    assert kinds([REQUEST, repeated], [ROW, DUPLICATE], [CALL]) == {"merged"}


def test_a_202_for_the_id_of_another_callback_is_lost() -> None:
    assert kinds([RequestRecord("n2", PARAMETERS, [Answer(202, "id-3")])], [DUPLICATE, ROW], []) >= {"lost"}


@pytest.mark.parametrize("original", [None, "id-3", "id-2"])
def test_a_duplicate_without_its_original_is_lost(original: str | None) -> None:
    assert kinds([REQUEST, REPEATED], [ROW, replace(DUPLICATE, duplicate_of=original)], [CALL]) == {"merged", "lost"}


def test_a_call_of_a_duplicate_is_excess() -> None:
    call = ExecutedCall("n2", PARAMETERS)
    assert kinds([REQUEST, REPEATED], [ROW, DUPLICATE], [CALL, call]) == {"merged", "excess"}


def test_two_ids_answered_to_one_request_are_duplicated() -> None:
    assert "duplicated" in kinds([RequestRecord("n1", PARAMETERS, [ACCEPTED, Answer(202, "id-2")])], [ROW], [CALL])


def test_the_figures_name_every_kind() -> None:
    text = str(judge([REQUEST], [ROW], [CALL]))
    assert all(f"{kind} 0" in text for kind in (*FAILING, "doubled", "unanswered", "merged"))
    assert "lost n1: 202 for" in judge([REQUEST], [], []).explain()
