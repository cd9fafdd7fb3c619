"""Parser of a visitor's phone number. Refuses invalid numbers with a stable code and the fix.

The rules are ours, the numbering plans are libphonenumber's (https://github.com/google/libphonenumber, through the
`phonenumbers` package). Only normalized digits are passed to it: it would translate letters as on a keypad and drop
extensions, and a number that the visitor never typed would be called.

Two principles. A typing error is repaired only if one interpretation is left, because a wrong guess calls another
person. Numbers that could cost money, or are no person's phone, are refused even where the numbering plans have a gap.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberType, ValidationResult

KNOWN_REGIONS: Final = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""ISO 3166 codes that a site's `regions` may contain."""

PHONE_REFUSALS: Final = {
    "phone_malformed": "This is not a phone number. Write it with + and the country code.",
    "phone_too_short": "The number has too few digits. Write it whole, with + and the country code.",
    "phone_too_long": "The number has too many digits. Write one number, with + and the country code.",
    "phone_letters": "The number has letters in it. Write it with digits only.",
    "phone_extension": "Extensions can't be dialled. Write the number without the extension.",
    "phone_short_number": "Emergency and service numbers can't be called back. Write a full number.",
    "phone_toll_free": "Toll-free numbers can't be called back. Write your own mobile or fixed-line number.",
    "phone_premium_rate": "Premium-rate numbers can't be called back. Write your own mobile or fixed-line number.",
    "phone_not_personal": "This number can't be called back. Write your own mobile or fixed-line number.",
    "phone_region": "Numbers of this country can't be called back from this site. Write a number of another country.",
}
"""Every code a `PhoneError` can carry, and its `detail`."""

_MOST_CHARACTERS = 64
_MOST_DIGITS = 15  # ITU-T E.164, section 6.1
_LONGEST_SHORT_NUMBER = 6  # 112, 0890, 116117
_FEWEST_DIGITS_OF_A_GUESS = 7

# Removed by str.translate. Without the underscore: in an input mask it marks a missing digit.
_SEPARATORS = dict.fromkeys(map(ord, " \t-.()[]/·•∙"))
_DASHES = frozenset("−⁃ー")  # used as dashes, but not in Unicode's category Pd
_FOLDED = frozenset("+-.()[]/,;:#*=")
_EXTENSION = re.compile(r"\d\W*(?:(?:ext|доб|вн|x|х)[^\W\d_]*|[,;#*])\W*\d{1,7}\W*$")
# A field prefilled with "+7", with a whole number pasted after it.
_DOUBLED_PREFIX = re.compile(r"\+(\d{1,3})\+(?=\1)")
_NORMALIZED = re.compile(r"\+?[0-9]+")

_PLUS_7_REGIONS = frozenset(("RU", "KZ"))
_PERSONAL = frozenset(
    (
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.VOIP,
    )
)
_REFUSED_TYPES = {
    PhoneNumberType.TOLL_FREE: "phone_toll_free",
    PhoneNumberType.PREMIUM_RATE: "phone_premium_rate",
}
_PARSE_FAILURES = {
    # For digits the parser raises this only if almost nothing follows the plus.
    NumberParseException.NOT_A_NUMBER: "phone_too_short",
    NumberParseException.TOO_SHORT_AFTER_IDD: "phone_too_short",
    NumberParseException.TOO_SHORT_NSN: "phone_too_short",
    NumberParseException.TOO_LONG: "phone_too_long",
}


@dataclass(frozen=True, slots=True)
class Phone:
    """A number that may be called.

    `digits` is E.164 without the plus (8 to 15 digits for nearly every country), `region` the ISO 3166 code of its
    country. `certain` is False for a number of valid length outside all known ranges. It is accepted, because the
    numbering plans lag behind new ranges.
    """

    digits: str = field(repr=False)
    region: str
    certain: bool


class PhoneError(ValueError):
    """The number can't be called. `code` is a key of `PHONE_REFUSALS`; `detail` names the fix, never the input."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.detail = PHONE_REFUSALS[code]
        super().__init__(self.detail)


def read_phone(text: str, regions: Sequence[str]) -> Phone:
    """Parse a visitor's text as one phone number of one of `regions`.

    `regions` are ISO 3166 codes from `KNOWN_REGIONS`, at least one. A number without a country code belongs to the
    first. Raises `PhoneError`, and no other exception, for any other text.
    """
    normalized = _normalize(text)
    for candidate, region in _candidates(normalized, regions):
        try:
            number = phonenumbers.parse(candidate, region)
        except NumberParseException:
            continue
        number_type = phonenumbers.number_type(number)
        if number_type != PhoneNumberType.UNKNOWN:
            return _parse_known(number, number_type, regions)
    return _parse_unlisted(normalized, regions)


def _normalize(text: str) -> str:
    """Return the text as an optional plus and ASCII digits. Raises PhoneError if anything else is left."""
    if len(text) > _MOST_CHARACTERS:
        raise PhoneError("phone_too_long")
    folded = text if text.isascii() else "".join(map(_to_ascii, text))
    folded = folded.strip().lower().removeprefix("tel:")
    normalized = folded.translate(_SEPARATORS)
    if not _NORMALIZED.fullmatch(normalized):
        normalized = (
            _DOUBLED_PREFIX.sub("+", "+" + normalized.lstrip("+"), count=1)
            if normalized.startswith("+")
            else normalized
        )
        if not _NORMALIZED.fullmatch(normalized):
            raise PhoneError(_explain_rejection(folded))
    if normalized.startswith(("00", "+00")):  # the international prefix of most countries, but not of Russia
        return "+" + normalized.removeprefix("+").removeprefix("00")
    return normalized


def _to_ascii(character: str) -> str:
    """Return the ASCII equivalent of a character, "" for invisible ones, the character itself if it has none."""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width characters and direction marks, often copied along
        return ""
    if category == "Zs":
        return " "
    if category == "Pd" or character in _DASHES:
        return "-"
    plain = unicodedata.normalize("NFKC", character)
    # Only these results: NFKC would also turn "²" into a digit of the number.
    return plain if plain in _FOLDED else character


def _explain_rejection(folded: str) -> str:
    """Return the error code of a text that is more than separators and digits."""
    if _EXTENSION.search(folded):
        return "phone_extension"
    return "phone_letters" if any(map(str.isalpha, folded)) else "phone_malformed"


def _candidates(normalized: str, regions: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the interpretations of the digits, likeliest first, each with the default region for the parser."""
    plus_7 = not _PLUS_7_REGIONS.isdisjoint(regions)
    if normalized.startswith("+"):
        yield normalized, None
        if plus_7 and normalized.startswith("+8") and len(normalized) == 12:
            yield "+7" + normalized[2:], None  # trunk prefix 8 mistaken for the country code
        return
    yield normalized, regions[0]
    # The following candidates need all 11 digits. Fewer may be an incomplete number of the first region, which as a
    # complete number of another country would be another person's.
    if len(normalized) < 11:
        return
    if plus_7 and normalized.startswith("8") and len(normalized) == 11:
        yield "+7" + normalized[1:], None
    yield "+" + normalized, None


def _parse_known(number: PhoneNumber, number_type: int, regions: Sequence[str]) -> Phone:
    """Return a number of a known range. Raises PhoneError if it is no personal number or not of the site's regions."""
    if number_type not in _PERSONAL:
        raise PhoneError(_REFUSED_TYPES.get(number_type, "phone_not_personal"))
    region = phonenumbers.region_code_for_number(number)
    if region is None or region not in regions:
        raise PhoneError("phone_region")
    digits = _digits(number)
    if len(digits) > _MOST_DIGITS:  # the German numbering plan contains such numbers
        raise PhoneError("phone_too_long")
    return Phone(digits, region, certain=True)


def _parse_unlisted(normalized: str, regions: Sequence[str]) -> Phone:
    """Return a number outside the known ranges, as it is written. Raises PhoneError for implausible ones.

    No typing error is repaired here, because that would be a second guess on top of the first.
    """
    try:
        number = phonenumbers.parse(normalized, regions[0])
    except NumberParseException as error:
        failure: str | None = _PARSE_FAILURES.get(error.error_type, "phone_malformed")
    else:
        failure = _implausible(number, normalized, regions[0])
    if failure and not normalized.startswith("+") and len(normalized) <= _LONGEST_SHORT_NUMBER:
        failure = "phone_short_number"
    if failure:
        raise PhoneError(failure)
    region = phonenumbers.region_code_for_number(number)
    if region is None:
        sharing_regions = phonenumbers.region_codes_for_country_code(number.country_code or 0)
        region = next((allowed for allowed in regions if allowed in sharing_regions), None)
    if region is None or region not in regions:
        raise PhoneError("phone_region")
    return Phone(_digits(number), region, certain=False)


def _implausible(number: PhoneNumber, normalized: str, default_region: str) -> str | None:
    """Return the error code of a number that can't be a person's, None for a plausible one outside the known ranges."""
    lengths = {
        phonenumbers.is_possible_number_for_type_with_reason(number, number_type)
        for number_type in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
    }
    national = phonenumbers.national_significant_number(number)
    if len(_digits(number)) > _MOST_DIGITS:
        return "phone_too_long"
    if ValidationResult.IS_POSSIBLE not in lengths:
        if ValidationResult.TOO_LONG in lengths:
            return "phone_too_long"
        short = {ValidationResult.TOO_SHORT, ValidationResult.IS_POSSIBLE_LOCAL_ONLY}
        return "phone_malformed" if short.isdisjoint(lengths) else "phone_too_short"
    if len(national) < _FEWEST_DIGITS_OF_A_GUESS:
        return "phone_too_short"
    # A zero is another country's trunk prefix. In countries whose numbers start with zero the ranges are known.
    if national.startswith("0"):
        return "phone_malformed"
    # 8 916 123-45-6: a digit is missing, so the parser took the prefix as a part of the number.
    prefixes = (phonenumbers.ndd_prefix_for_region(default_region, True) or "+", str(number.country_code))
    if normalized == national and normalized.startswith(prefixes):
        return "phone_too_short"
    # The plans list +1 900 234 5678 as premium rate, but not +1 900 123 4567. So check a neighbouring number.
    neighbour = PhoneNumber(number.country_code, int(national[:3] + "2345678901234"[: len(national) - 3]))
    number_type = phonenumbers.number_type(neighbour)
    if number_type in _PERSONAL or number_type == PhoneNumberType.UNKNOWN:
        return None
    return _REFUSED_TYPES.get(number_type, "phone_not_personal")


def _digits(number: PhoneNumber) -> str:
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"
