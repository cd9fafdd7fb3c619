"""A call whose time the service can only bound counts in each window in which it may ring."""

from datetime import datetime

import pytest

from tests.admission.world import OPEN, Shop, assert_refused, moscow, office, world
from tests.running import phone

SUNDAY_NIGHT, MONDAY_9 = moscow(22, 22), moscow(23, 9)
ONCE_AN_HOUR = {"per_phone": "1/hour"}


def test_a_lead_counts_when_it_is_sent(migrated_url: str) -> None:
    number = phone()
    lead = Shop(9, 18, range(5), settings={"nwt_action": "create_leed"})
    with world(migrated_url, {"shop": lead, "b": lead, "c": office()}, now=moscow(23, 20), quotas=ONCE_AN_HOUR) as here:
        assert here.ask(number).json()["call_expected_at"] is None
        here.later(minutes=30)
        assert_refused(here.ask(number, site="b"), "quota_phone")
        here.accepted(number, site="c")  # rings in the morning, when the lead is long sent
        here.later(minutes=30)
        here.accepted(number, site="b")
        assert here.rings(number) == [moscow(24, 9)]
        assert len(here.calls(number)) == 3


UNCERTAIN = [
    pytest.param(
        Shop(9, 18, range(5)), moscow(20, 20), [moscow(20, 23), moscow(23, 9, 1), moscow(23, 17, 59)],
        moscow(23, 19, 1),
        id="closed without an action: until the end of the next working day",
    ),
    pytest.param(
        Shop(9, 18, range(5)), moscow(24, 7), [moscow(24, 8, 30), moscow(24, 17)], moscow(25, 10),
        id="before the opening without an action: until the end of this day",
    ),
    pytest.param(
        Shop(9, 18, range(5)), moscow(24, 17, 59, 30), [moscow(24, 18, 30), moscow(25, 12), moscow(25, 17, 58)],
        moscow(26, 10),
        id="the last minute before closing",
    ),
    pytest.param(
        Shop(hours_known=False), moscow(24, 12), [moscow(24, 13), moscow(24, 23), moscow(25, 11)], moscow(25, 13, 1),
        id="hours unknown: for 24 hours",
    ),
    pytest.param(
        Shop(9, 18, range(5)), moscow(27, 18, 0, 1), [moscow(28, 12), moscow(30, 9), moscow(30, 17, 59)],
        moscow(30, 19, 1),
        id="after closing on Friday",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("shop", "asked", "refused", "free"), UNCERTAIN)
def test_a_call_whose_time_only_chaser_knows_counts_in_each_window_in_which_it_may_ring(
    migrated_url: str, shop: Shop, asked: datetime, refused: list[datetime], free: datetime
) -> None:
    number = phone()
    with world(migrated_url, {"shop": shop, "other": OPEN}, now=asked, quotas=ONCE_AN_HOUR) as here:
        answer = here.ask(number)
        assert (answer.status_code, answer.json()["call_expected_at"]) == (202, None)
        here.settle()
        for moment in refused:
            here.at(moment)
            assert_refused(here.ask(number, site="other"), "quota_phone")
        here.at(free)
        here.accepted(number, site="other")


def test_a_call_that_chaser_spreads_over_the_day_counts_until_closing(migrated_url: str) -> None:
    number = phone()
    shops = {"shop": office(9, call_stack_interval=30), "other": OPEN}
    with world(migrated_url, shops, now=SUNDAY_NIGHT, quotas=ONCE_AN_HOUR) as here:
        answer = here.ask(number)
        assert datetime.fromisoformat(answer.json()["call_expected_at"]) == MONDAY_9  # "from 9:00"
        for moment in (moscow(23, 9, 30), moscow(23, 12), moscow(23, 17, 59)):
            here.at(moment)
            assert_refused(here.ask(number, site="other"), "quota_phone")
        here.at(moscow(23, 19, 1))
        here.accepted(number, site="other")


def test_a_waiting_callback_counts_when_it_would_ring_now(migrated_url: str) -> None:
    """A callback whose call is not sent until the site has closed rings on the next day."""
    number = phone()
    shops = {"shop": office(), "other": OPEN}
    with world(migrated_url, shops, now=moscow(23, 17), quotas=ONCE_AN_HOUR, give_up_after="3d") as here:
        here.not_sent()
        here.accepted(number)
        here.settle()
        assert_refused(here.ask(number, site="other"), "quota_phone")
        here.at(moscow(23, 18, 30))
        here.settle()
        here.far_side.clear_faults()
        here.accepted(number, site="other")
        here.later(minutes=30)
        assert here.rings(number) == [moscow(23, 18, 30), moscow(24, 9)]
