"""Reads a visitor's phone number, or refuses it with a stable code and a cure.

The rules are ours, the numbering plans are libphonenumber's (https://github.com/google/libphonenumber, through the
`phonenumbers` package). It is asked about bare digits only: left to itself it reads letters as a keypad and drops
extensions, and the person would be phoned at a number nobody typed.

Two principles. A slip is repaired only where one reading is left, for a wrong guess phones a stranger. And what could
cost money, or is no person's phone, is refused even where the tables have a gap.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberType, ValidationResult

KNOWN_REGIONS: Final = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""ISO 3166 codes that a site's `regions` may hold."""

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

# Removed by str.translate: what people put between digits. No underscore, it is a gap left in an input mask.
_SEPARATORS = dict.fromkeys(map(ord, " \t-.()[]/·•∙"))
_DASHES = frozenset("−⁃ー")  # typed as dashes, though Unicode does not class them so
_FOLDED = frozenset("+-.()[]/,;:#*=")
_EXTENSION = re.compile(r"\d\W*(?:(?:ext|доб|вн|x|х)[^\W\d_]*|[,;#*])\W*\d{1,7}\W*$")
# A field that begins with "+7" and got a whole number pasted behind it.
_DOUBLED_PREFIX = re.compile(r"\+(\d{1,3})\+(?=\1)")
_BARE = re.compile(r"\+?[0-9]+")

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
    # Of bare digits the parser says so only when there is next to nothing behind the plus.
    NumberParseException.NOT_A_NUMBER: "phone_too_short",
    NumberParseException.TOO_SHORT_AFTER_IDD: "phone_too_short",
    NumberParseException.TOO_SHORT_NSN: "phone_too_short",
    NumberParseException.TOO_LONG: "phone_too_long",
}


@dataclass(frozen=True, slots=True)
class Phone:
    """A number that may be phoned.

    `digits` is E.164 without the plus (8 to 15 digits for nearly every country), `region` the ISO 3166 code of its
    country. `certain` is False where the length is right but no known range holds the number: the tables lag behind
    new ranges, so such a number is accepted and marked.
    """

    digits: str = field(repr=False)
    region: str
    certain: bool


class PhoneError(ValueError):
    """The number can't be phoned. `code` is a key of `PHONE_REFUSALS`; `detail` names the cure, never the input."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.detail = PHONE_REFUSALS[code]
        super().__init__(self.detail)


def read_phone(text: str, regions: Sequence[str]) -> Phone:
    """Read what a visitor typed or pasted as one number in one of `regions`.

    `regions` are ISO 3166 codes out of `KNOWN_REGIONS`, at least one; a number without a country code belongs to the
    first. Raises `PhoneError`, and nothing else, for any text that is not such a number.
    """
    bare = _bare(text)
    for reading, region in _readings(bare, regions):
        try:
            number = phonenumbers.parse(reading, region)
        except NumberParseException:
            continue
        kind = phonenumbers.number_type(number)
        if kind != PhoneNumberType.UNKNOWN:
            return _known(number, kind, regions)
    return _guess(bare, regions)


def _bare(text: str) -> str:
    """Reduce the text to an optional plus and ASCII digits."""
    if len(text) > _MOST_CHARACTERS:
        raise PhoneError("phone_too_long")
    folded = text if text.isascii() else "".join(map(_fold, text))
    folded = folded.strip().lower().removeprefix("tel:")
    bare = folded.translate(_SEPARATORS)
    if not _BARE.fullmatch(bare):
        bare = _DOUBLED_PREFIX.sub("+", "+" + bare.lstrip("+"), count=1) if bare.startswith("+") else bare
        if not _BARE.fullmatch(bare):
            raise PhoneError(_misfit(folded))
    if bare.startswith(("00", "+00")):  # the international prefix of most countries, though not of Russia
        return "+" + bare.removeprefix("+").removeprefix("00")
    return bare


def _fold(character: str) -> str:
    """Give the ASCII a character stands for, nothing for invisible ones, itself where it stands for nothing else."""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    category = unicodedata.category(character)
    if category == "Cf":  # zero-width characters and direction marks that copying brings along
        return ""
    if category == "Zs":
        return " "
    if category == "Pd" or character in _DASHES:
        return "-"
    plain = unicodedata.normalize("NFKC", character)
    # Not every ASCII result: "²" would become a digit of the number.
    return plain if plain in _FOLDED else character


def _misfit(folded: str) -> str:
    """Say what kept the text from being bare digits."""
    if _EXTENSION.search(folded):
        return "phone_extension"
    return "phone_letters" if any(map(str.isalpha, folded)) else "phone_malformed"


def _readings(bare: str, regions: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Give the ways to read the digits, likeliest first, each with the region that digits without a plus belong to."""
    plus_7 = not _PLUS_7_REGIONS.isdisjoint(regions)
    if bare.startswith("+"):
        yield bare, None
        if plus_7 and bare.startswith("+8") and len(bare) == 12:
            yield "+7" + bare[2:], None  # the trunk prefix 8 taken for the country code
        return
    yield bare, regions[0]
    # From here on all 11 digits have to be there. Fewer may be the beginning of a number of the first region, and
    # read as a whole number of another country they would be a stranger's.
    if len(bare) < 11:
        return
    if plus_7 and bare.startswith("8") and len(bare) == 11:
        yield "+7" + bare[1:], None
    yield "+" + bare, None


def _known(number: PhoneNumber, kind: int, regions: Sequence[str]) -> Phone:
    """Accept a number of a known range, if it is a person's and of the site's regions."""
    if kind not in _PERSONAL:
        raise PhoneError(_REFUSED_TYPES.get(kind, "phone_not_personal"))
    region = phonenumbers.region_code_for_number(number)
    if region is None or region not in regions:
        raise PhoneError("phone_region")
    digits = _digits(number)
    if len(digits) > _MOST_DIGITS:  # the German tables hold such numbers
        raise PhoneError("phone_too_long")
    return Phone(digits, region, certain=True)


def _guess(bare: str, regions: Sequence[str]) -> Phone:
    """Accept a number outside the known ranges as it is written, if a person's number there could look like it.

    Repairs are left out: a repaired guess would be two guesses.
    """
    try:
        number = phonenumbers.parse(bare, regions[0])
    except NumberParseException as error:
        failure: str | None = _PARSE_FAILURES.get(error.error_type, "phone_malformed")
    else:
        failure = _implausible(number, bare, regions[0])
    if failure and not bare.startswith("+") and len(bare) <= _LONGEST_SHORT_NUMBER:
        failure = "phone_short_number"
    if failure:
        raise PhoneError(failure)
    region = phonenumbers.region_code_for_number(number)
    if region is None:
        sharing = phonenumbers.region_codes_for_country_code(number.country_code or 0)
        region = next((allowed for allowed in regions if allowed in sharing), None)
    if region is None or region not in regions:
        raise PhoneError("phone_region")
    return Phone(_digits(number), region, certain=False)


def _implausible(number: PhoneNumber, bare: str, default_region: str) -> str | None:
    """Say why a number outside the known ranges can't be a person's, or None."""
    lengths = {
        phonenumbers.is_possible_number_for_type_with_reason(number, kind)
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
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
    # A zero here is another country's trunk prefix. Where numbers do begin with zero the ranges are well known.
    if national.startswith("0"):
        return "phone_malformed"
    # 8 916 123-45-6: a digit is missing, so the prefix was taken for part of the number.
    prefixes = (phonenumbers.ndd_prefix_for_region(default_region, True) or "+", str(number.country_code))
    if bare == national and bare.startswith(prefixes):
        return "phone_too_short"
    # The tables know +1 900 234 5678 as premium rate and +1 900 123 4567 as nothing at all: ask about a neighbour.
    neighbour = PhoneNumber(number.country_code, int(national[:3] + "2345678901234"[: len(national) - 3]))
    kind = phonenumbers.number_type(neighbour)
    if kind in _PERSONAL or kind == PhoneNumberType.UNKNOWN:
        return None
    return _REFUSED_TYPES.get(kind, "phone_not_personal")


def _digits(number: PhoneNumber) -> str:
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"
