"""What an owner chooses of the widget, as the widget gets it."""

import pytest

from app.settings import Theme
from app.settings.widget_settings import Analytics, Triggers


@pytest.mark.parametrize(("written", "read"), [("#0A7", "#00aa77"), ("#2563EB", "#2563eb"), (" #fff ", "#ffffff")])
def test_a_colour_always_comes_out_with_six_digits(written: str, read: str) -> None:
    assert Theme.model_validate({"color": written}).color == read


@pytest.mark.parametrize("written", ["on", "On", "true", True, "yes", "1", 1])
def test_something_can_be_switched_on_in_several_ways(written: object) -> None:
    assert Triggers.model_validate({"exit_intent": written}).exit_intent is True


@pytest.mark.parametrize("written", ["off", "FALSE", False, "no", "0", 0])
def test_something_can_be_switched_off_in_several_ways(written: object) -> None:
    assert Theme.model_validate({"button": written}).button is False


def test_nothing_opens_by_itself_and_nobody_is_told_unless_it_is_set() -> None:
    assert Triggers().model_dump() == {"exit_intent": False, "seconds": None, "scroll": None}
    assert Analytics().model_dump() == {"data_layer": False, "gtag": False, "metrika": None}
