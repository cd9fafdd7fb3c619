"""The notations of the widget's settings, and their defaults."""

import pytest

from app.settings import Theme
from app.settings.widget_settings import Analytics, Triggers


@pytest.mark.parametrize(("written", "parsed"), [("#0A7", "#00aa77"), ("#2563EB", "#2563eb"), (" #fff ", "#ffffff")])
def test_a_colour_always_has_six_digits(written: str, parsed: str) -> None:
    assert Theme.model_validate({"color": written}).color == parsed


@pytest.mark.parametrize("written", ["on", "On", "true", True, "yes", "1", 1])
def test_a_boolean_has_several_notations_of_on(written: object) -> None:
    assert Triggers.model_validate({"exit_intent": written}).exit_intent is True


@pytest.mark.parametrize("written", ["off", "FALSE", False, "no", "0", 0])
def test_a_boolean_has_several_notations_of_off(written: object) -> None:
    assert Theme.model_validate({"button": written}).button is False


def test_triggers_and_analytics_are_off_by_default() -> None:
    assert Triggers().model_dump() == {"exit_intent": False, "seconds": None, "scroll": None}
    assert Analytics().model_dump() == {"data_layer": False, "gtag": False, "metrika": None}
