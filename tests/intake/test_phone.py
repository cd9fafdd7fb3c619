"""Parsing of phone numbers: accepted, repaired and refused texts, and that any other text is refused as well."""

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.intake.phone import KNOWN_REGIONS, PHONE_REFUSALS, Phone, PhoneError, read_phone

MOSCOW_MOBILE = Phone("79161234567", "RU", certain=True)
SEPARATORS = " -.()[]/\t\N{NO-BREAK SPACE}\N{THIN SPACE}\N{EN DASH}\N{NON-BREAKING HYPHEN}\N{ZERO WIDTH SPACE}"
TYPED = st.text(st.sampled_from("0123456789" * 3 + "++78-() .;,#*/x\x00\n³٣３\u200b\u202e\ud800доbext"), max_size=70)


def refusal(text: str, *regions: str) -> str:
    with pytest.raises(PhoneError) as caught:
        read_phone(text, regions or ("RU",))
    assert caught.value.detail == PHONE_REFUSALS[caught.value.code] == str(caught.value)
    return caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        "89161234567",
        "9161234567",
        "79161234567",
        "8 (916) 123-45-67",
        "+7 916 123-45-67",
        "(+7) 916.123.45.67",
        "[8] 916/123/45•67",
        "  +7 916 123 45 67\r\n",
        "+7\N{NO-BREAK SPACE}916\N{THIN SPACE}123\N{NARROW NO-BREAK SPACE}4567",
        "8\N{EN DASH}916\N{EM DASH}123\N{NON-BREAKING HYPHEN}45\N{MINUS SIGN}67",
        "\N{LEFT-TO-RIGHT EMBEDDING}+79161234567\N{POP DIRECTIONAL FORMATTING}",
        "8916\N{ZERO WIDTH SPACE}123\N{SOFT HYPHEN}4567\N{ZERO WIDTH NO-BREAK SPACE}",
        "tel:+79161234567",
        "TEL://+7-916-123-45-67",
    ],
)
def test_a_number_is_parsed_with_any_separators(text: str) -> None:
    assert read_phone(text, ["RU"]) == MOSCOW_MOBILE


@pytest.mark.parametrize("text", ["٨٩١٦١٢٣٤٥٦٧", "۸۹۱۶۱۲۳۴۵۶۷", "+७९१६१२३४५६७", "＋７（９１６）１２３－４５－６７"])
def test_digits_of_other_scripts_are_parsed(text: str) -> None:
    assert read_phone(text, ["RU"]) == MOSCOW_MOBILE


@pytest.mark.parametrize(
    "text",
    [
        "+89161234567",
        "+8 (916) 123-45-67",
        "0079161234567",
        "+0079161234567",
        "0089161234567",
        "+7 8 916 123-45-67",
        "+7+79161234567",
        "+7 +7 (916) 123-45-67",
        "++79161234567",
        "810 7 916 123-45-67",
    ],
)
def test_a_typing_error_with_one_interpretation_is_repaired(text: str) -> None:
    assert read_phone(text, ["RU"]) == MOSCOW_MOBILE


@pytest.mark.parametrize(
    "text",
    ["+7+89161234567", "+7 7 916 123-45-67", "+8916123456", "+891612345678", "+8 8 916 123-45-67", "8+79161234567"],
)
def test_a_typing_error_with_several_interpretations_is_not_repaired(text: str) -> None:
    assert refusal(text) in {"phone_malformed", "phone_too_long"}


def test_plus_8_is_not_repaired_where_it_is_another_countrys_valid_number() -> None:
    assert refusal("+84951234567", "RU") == "phone_region"
    assert read_phone("+84951234567", ["RU", "VN"]) == Phone("84951234567", "VN", certain=True)


def test_plus_8_is_repaired_only_for_sites_that_accept_plus_7() -> None:
    assert refusal("+89161234567", "US", "BY") == "phone_malformed"


@pytest.mark.parametrize("regions", [("BY", "RU"), ("US", "RU"), ("KZ", "RU")])
@pytest.mark.parametrize("text", ["89161234567", "79161234567", "0079161234567"])
def test_a_complete_russian_number_is_parsed_where_russia_is_not_the_first_region(
    text: str, regions: tuple[str, ...]
) -> None:
    assert read_phone(text, regions) == MOSCOW_MOBILE


def test_a_leading_8_is_not_replaced_where_plus_7_is_not_allowed() -> None:
    assert refusal("89161234567", "US") == "phone_too_long"
    assert read_phone("(808) 555-0123", ["US"]).digits == "18085550123"
    assert read_phone("8 (029) 123-45-67", ["BY"]) == Phone("375291234567", "BY", certain=True)


def test_a_number_without_country_code_belongs_to_the_first_region() -> None:
    assert read_phone("9161234567", ["RU", "US"]).region == "RU"
    assert read_phone("9162345678", ["US", "RU"]).region == "US"


@pytest.mark.parametrize("text", ["495 123-45-6", "91612345"])
def test_an_incomplete_number_does_not_become_a_foreign_one(text: str) -> None:
    # +49 5123 456 and +49 9161 2345 are German fixed lines.
    assert refusal(text, "RU", "DE") == "phone_too_short"


@pytest.mark.parametrize("text", ["8 916 123-45-6", "7 916 123-45-6"])
@pytest.mark.parametrize("regions", [("RU",), ("RU", "KZ"), ("KZ", "RU")])
def test_after_a_missing_digit_the_prefix_is_not_taken_as_part_of_the_number(
    text: str, regions: tuple[str, ...]
) -> None:
    assert refusal(text, *regions) == "phone_too_short"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("8 800 123-45-67", "phone_toll_free"),
        ("+7 804 123-45-67", "phone_toll_free"),
        ("+800 1234 5678", "phone_toll_free"),
        ("8 809 123-45-67", "phone_premium_rate"),
        ("+7 803 123-45-67", "phone_premium_rate"),
        ("+1 900 234-5678", "phone_premium_rate"),
        ("+44 871 234 5678", "phone_premium_rate"),
        ("+7 808 123-45-67", "phone_not_personal"),
        ("+44 70 1234 5678", "phone_not_personal"),
        ("+44 300 123 4567", "phone_not_personal"),
    ],
)
def test_a_valid_number_that_is_not_personal_is_refused(text: str, code: str) -> None:
    assert refusal(text, "RU", "US", "GB") == code


def test_a_gap_in_the_plans_between_premium_rate_numbers_is_refused() -> None:
    assert refusal("+1 900 123-4567", "US") == "phone_premium_rate"


@pytest.mark.parametrize("text", ["+7 701 123-45-67", "8 701 123-45-67", "7011234567", "+7 799 123-45-67"])
def test_kazakhstan_is_refused_unless_the_site_allows_it(text: str) -> None:
    assert refusal(text, "RU") == "phone_region"
    assert read_phone(text, ["RU", "KZ"]).region == "KZ"


@pytest.mark.parametrize(
    ("text", "region"),
    [("+375 29 123-45-67", "BY"), ("+49 30 12345678", "DE"), ("+1 202 555 0123", "US"), ("+1 876 234 5678", "JM")],
)
def test_every_country_is_refused_unless_the_site_allows_it(text: str, region: str) -> None:
    assert refusal(text, "RU") == "phone_region"
    assert read_phone(text, ["RU", region]).region == region


def test_a_neighbour_under_the_same_country_code_is_another_region() -> None:
    assert refusal("+1 876 234 5678", "US") == "phone_region"


@pytest.mark.parametrize(
    "text", ["8-916-CALL-NOW", "тел. 8 916 123-45-67", "8 9I6 123 45 67", "доб. 5", "8 916 1234567 доб."]
)
def test_letters_are_refused(text: str) -> None:
    assert refusal(text) == "phone_letters"


@pytest.mark.parametrize(
    "tail", [";ext=5", " доб. 5", " (доб. 123)", " добавочный 5", " вн.5", "x5", " X 5", "х5", "#5", ",,5", ", 5", "*5"]
)
def test_an_extension_is_refused(tail: str) -> None:
    assert refusal("8 916 123-45-67" + tail) == "phone_extension"


@pytest.mark.parametrize("text", ["112", "0890", "03", "8", "1-1-2"])
def test_a_short_number_is_refused(text: str) -> None:
    assert refusal(text) == "phone_short_number"


def test_a_service_number_as_long_as_a_fixed_line_is_refused() -> None:
    assert refusal("116117", "DE") == "phone_short_number"


@pytest.mark.parametrize(
    "text",
    ["", " ", "+", "+7 (916) 123-45-__", "+7916123456²", "7️⃣9161234567", "*100#", "8916 123\n4567", "+79161234567+"],
)
def test_a_text_that_is_no_number_is_refused(text: str) -> None:
    assert refusal(text) == "phone_malformed"


@pytest.mark.parametrize(
    "text", ["8916123456\N{HORIZONTAL ELLIPSIS}", "89161234567\x00", "8916123456\ud800", "\U0001f4de89161234567"]
)
def test_an_unknown_character_is_refused_not_dropped(text: str) -> None:
    assert refusal(text) == "phone_malformed"


@pytest.mark.parametrize("text", ["+7", "+7 916", "+7 916 123-45-6", "123-45-67", "+375 29 123"])
def test_too_few_digits_are_refused(text: str) -> None:
    assert refusal(text) == "phone_too_short"


@pytest.mark.parametrize("text", ["8 916 123-45-678", "+7 916 123-45-67 / 8 495 123-45-67", "9" * 16, "9" * 64])
def test_too_many_digits_are_refused(text: str) -> None:
    assert refusal(text) == "phone_too_long"


@pytest.mark.parametrize("text", ["30000000000000", "+49 30 0000 0000 0000", "+49 10 6004 2082 2166"])
def test_more_digits_than_e164_allows_are_refused_even_where_the_plans_list_them(text: str) -> None:
    assert refusal(text, "DE") == "phone_too_long"


def test_a_long_text_is_refused_whatever_it_contains() -> None:
    assert refusal("89161234567" + " " * 54) == "phone_too_long"
    assert read_phone("89161234567" + " " * 53, ["RU"]) == MOSCOW_MOBILE


@pytest.mark.parametrize(
    ("text", "region"), [("+7 200 123-45-67", "RU"), ("+7 801 123-45-67", "RU"), ("+1 555 555 5555", "US")]
)
def test_a_possible_number_outside_the_known_ranges_is_accepted_and_marked(text: str, region: str) -> None:
    phone = read_phone(text, [region])
    assert (phone.region, phone.certain) == (region, False)
    assert refusal(text, "BY") == "phone_region"


def test_a_foreign_trunk_zero_is_not_mistaken_for_a_new_range() -> None:
    assert refusal("80291234567", "RU", "BY") == "phone_malformed"


def test_a_fixed_line_is_parsed_with_the_zero_that_belongs_to_it() -> None:
    assert read_phone("8 495 123-45-67", ["RU"]) == Phone("74951234567", "RU", certain=True)
    assert read_phone("06 1234 5678", ["IT"]).digits == "390612345678"
    assert read_phone("+44 (0)20 7946 0958", ["GB"]).digits == "442079460958"


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(st.text(st.characters()), TYPED, st.from_regex(r"\+?[0-9]{6,18}", fullmatch=True)),
    st.lists(st.sampled_from(["RU", "KZ", "BY", "US", "DE", "IT", "GB"]), min_size=1, max_size=3),
)
@example("\ud800", ["RU"])
@example("+" * 64, ["RU"])
@example("0" * 64, ["DE"])
@example("1;" * 32, ["RU"])
@example("30000000000000", ["DE"])
def test_any_text_is_a_number_of_an_allowed_region_or_a_refusal(text: str, regions: list[str]) -> None:
    with contextlib.suppress(PhoneError):
        phone = read_phone(text, regions)
        assert phone.region in regions
        assert phone.digits.isascii()
        assert phone.digits.isdigit()
        assert 8 <= len(phone.digits) <= 15
        if phone.certain:
            assert read_phone("+" + phone.digits, regions) == phone


@settings(deadline=None)
@given(st.integers(0, 999_999_999), st.data())
def test_separators_anywhere_change_nothing(tail: int, data: st.DataObject) -> None:
    digits = f"79{tail:09}"
    gap = st.text(st.sampled_from(SEPARATORS), max_size=4)
    text = "+" + "".join(digit + data.draw(gap) for digit in digits)
    assert read_phone(text, ["RU"]) == Phone(digits, "RU", certain=True)


def test_no_detail_contains_a_digit() -> None:
    assert not any(character.isdigit() for detail in PHONE_REFUSALS.values() for character in detail)


def test_the_known_regions_are_iso_codes() -> None:
    assert {"RU", "KZ", "BY", "US"} <= KNOWN_REGIONS
    assert "XX" not in KNOWN_REGIONS
    assert "001" not in KNOWN_REGIONS
