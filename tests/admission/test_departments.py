"""The department that a visitor chose reaches the manager."""

import pytest

from tests.admission.world import Shop, world
from tests.running import AUTHORIZED, phone

DEPARTMENTS = {"sales": {"name": "Sales"}, "service": {"name": "Service"}}


@pytest.mark.parametrize(
    ("site", "department", "manager", "message"),
    [
        pytest.param({}, {}, None, "Sales", id="nothing of its own: its name"),
        pytest.param({"manager_phone": "+7 495 000-00-01"}, {}, "74950000001", "Sales", id="the site's manager"),
        pytest.param({}, {"manager_phone": "+7 495 000-00-02"}, "74950000002", None, id="a manager of its own"),
        pytest.param({}, {"message_on_ring": "For sales"}, None, "For sales", id="a text of its own"),
        pytest.param(
            {"message_on_ring": "From the site"}, {"message_on_ring": "For sales"}, None, "For sales", id="two texts"
        ),
    ],
)
def test_the_department_that_a_visitor_chose_reaches_the_manager(
    migrated_url: str, site: dict[str, str], department: dict[str, str], manager: str | None, message: str | None
) -> None:
    number = phone()
    departments = {"sales": {"name": "Sales"} | department, "service": {"name": "Service"} | department}
    with world(migrated_url, {"shop": Shop(settings=site | {"departments": departments})}) as here:
        here.accepted(number, department="sales")
        (call,) = here.calls(number)
        assert (call["params"].get("manager_phone"), call["params"].get("message_on_ring")) == (manager, message)


def test_two_departments_of_one_visitor_both_arrive(migrated_url: str) -> None:
    number = phone()
    with world(migrated_url, {"shop": Shop(settings={"departments": DEPARTMENTS})}) as here:
        address = here.new_address()
        for name in ("sales", "service", "sales"):
            here.accepted(number, address, department=name)
        here.accepted(number, address)
        heard = [call["params"].get("message_on_ring") for call in here.calls(number)]
        assert sorted(map(str, heard)) == ["None", "Sales", "Service"]
        # A service without text is the same wish as the visitor's, for which the text was rendered.
        answer = here.http.post(
            "/v1/callbacks",
            json={"site": "shop", "client_phone": number, "department": "sales"},
            headers=AUTHORIZED,
        )
        assert answer.json()["duplicate"] is True
