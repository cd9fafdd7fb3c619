"""Texts and secrets: what is left over from an example is refused, what people write is not."""

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
def test_a_credential_may_not_be_a_word_that_stands_for_one(written: str) -> None:
    with pytest.raises(ValueError, match="still a placeholder"):
        credential(written)


@pytest.mark.parametrize("written", ["Your order, please", "…", "Звонок с сайта", "Change me later", "Secret sale"])
def test_words_for_people_are_no_placeholders(written: str) -> None:
    assert parse_text(500, written) == written


@pytest.mark.parametrize("written", ["4711", 4711, " 4711 "])
def test_a_number_counts_as_text(written: object) -> None:
    assert credential(written) == "4711"


@pytest.mark.parametrize("written", [True, 1.5, None, [], {}])
def test_what_is_no_text_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="write text"):
        parse_text(500, written)


def test_a_secret_is_read_once_and_stays_hidden() -> None:
    read = secret("demo-private-key")
    assert secret(read) == read
    assert "demo" not in repr(read)


def test_a_secret_of_ones_own_has_to_be_long() -> None:
    assert strong_secret("s" * 32).get_secret_value() == "s" * 32
    with pytest.raises(ValueError, match="at least 32 random characters"):
        strong_secret("s" * 31)
