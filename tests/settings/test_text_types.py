"""Texts and secrets: placeholders of an example are refused, texts of people are not."""

import pytest

from app.settings.text_types import credential, parse_text, secret, strong_secret


@pytest.mark.parametrize("written", ["change-me", "CHANGE_ME", "replace this", "<your client_id>", "TODO", " tbd "])
def test_a_placeholder_is_refused_in_any_text(written: str) -> None:
    with pytest.raises(ValueError, match="still a placeholder"):
        parse_text(500, written)


@pytest.mark.parametrize(
    "written",
    ["your-key", "xxxx", "...", "…", "secret", "Password", "private_key", "client-id", "example", "укажите ключ"],
)
def test_a_placeholder_for_a_credential_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="still a placeholder"):
        credential(written)


@pytest.mark.parametrize("written", ["Your order, please", "…", "Звонок с сайта", "Change me later", "Secret sale"])
def test_texts_of_people_are_not_placeholders(written: str) -> None:
    assert parse_text(500, written) == written


@pytest.mark.parametrize("written", ["4711", 4711, " 4711 "])
def test_a_number_counts_as_text(written: object) -> None:
    assert credential(written) == "4711"


@pytest.mark.parametrize("written", [True, 1.5, None, [], {}])
def test_other_types_than_text_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="write text"):
        parse_text(500, written)


def test_a_secret_is_hidden_and_can_be_validated_again() -> None:
    parsed = secret("demo-private-key")
    assert secret(parsed) == parsed
    assert "demo" not in repr(parsed)


def test_a_secret_that_the_operator_makes_has_a_minimum_length() -> None:
    assert strong_secret("s" * 32).get_secret_value() == "s" * 32
    with pytest.raises(ValueError, match="at least 32 random characters"):
        strong_secret("s" * 31)
