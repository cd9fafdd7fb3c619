import pytest

from app.simulator.fault_script import KINDS, FaultError, FaultScript, read_fault


def test_a_fault_meets_one_request_by_default():
    script = FaultScript()
    script.add(read_fault({"kind": "hang_after"}))
    assert script.next_for_request("/v1/call").kind == "hang_after"
    assert script.next_for_request("/v1/call") is None


def test_a_fault_meets_as_many_requests_as_scripted():
    script = FaultScript()
    script.add(read_fault({"kind": "reset_after", "times": 2}))
    assert [script.next_for_request("/v1/call") is not None for _ in range(3)] == [True, True, False]


def test_a_fault_without_a_number_stays_until_it_is_cleared():
    script = FaultScript()
    script.add(read_fault({"kind": "status", "status": 503, "times": None}))
    assert all(script.next_for_request("/v1/websites") for _ in range(100))
    script.clear()
    assert script.next_for_request("/v1/websites") is None


def test_a_fault_for_one_path_does_not_affect_others():
    script = FaultScript()
    script.add(read_fault({"kind": "garbage", "path": "/v1/call"}))
    assert script.next_for_request("/v1/websites") is None
    assert script.next_for_request("/v1/call").kind == "garbage"


def test_faults_are_met_in_the_order_they_were_scripted():
    script = FaultScript()
    for status in (500, 502, 503):
        script.add(read_fault({"kind": "status", "status": status}))
    assert [script.next_for_request("/v1/call").name for _ in range(3)] == ["status 500", "status 502", "status 503"]


def test_reset_unread_meets_connections_and_no_requests():
    script = FaultScript()
    script.add(read_fault({"kind": "reset_unread", "times": 2}))
    assert script.next_for_request("/v1/call") is None
    assert [script.next_for_connection() is not None for _ in range(3)] == [True, True, False]


def test_refuse_meets_no_single_request():
    script = FaultScript()
    script.add(read_fault({"kind": "refuse", "times": None}))
    assert script.next_for_request("/v1/call") is None
    assert [fault["kind"] for fault in script.to_json()] == ["refuse"]
    script.clear("refuse")
    assert script.to_json() == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_of_a_fault_says_whether_the_request_is_executed(kind):
    fault = read_fault({"kind": kind})
    if kind.endswith("_before") or kind == "refuse":
        assert not fault.execute
    if kind.endswith("_after"):
        assert fault.execute


def test_a_status_is_answered_without_executing_by_default():
    assert not read_fault({"kind": "status"}).execute
    assert read_fault({"kind": "status", "execute": True}).execute


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "kind"),
        ([], "kind"),
        ({}, "kind"),
        ({"kind": "explode"}, "kind"),
        ({"kind": ["hang_before"]}, "kind"),
        ({"kind": "hang_before", "after": 1}, "unknown: after"),
        ({"kind": "hang_before", "execute": True}, "execute"),
        ({"kind": "status", "execute": "yes"}, "execute"),
        ({"kind": "garbage", "times": 0}, "times"),
        ({"kind": "garbage", "times": True}, "times"),
        ({"kind": "garbage", "path": "/"}, "path"),
        ({"kind": "status", "status": 100}, "status"),
        ({"kind": "status", "status": "503"}, "status"),
        ({"kind": "status", "headers": {"retry-after": 5}}, "headers"),
        ({"kind": "status", "headers": {"x": "a\r\nb: c"}}, "headers"),
        ({"kind": "status", "body": {}}, "body"),
        ({"kind": "drip", "seconds": -1}, "seconds"),
        ({"kind": "drip", "seconds": "1"}, "seconds"),
    ],
)
def test_invalid_json_of_a_fault_is_refused_with_the_name_of_the_field(data, message):
    with pytest.raises(FaultError, match=f"^{message}"):
        read_fault(data)
