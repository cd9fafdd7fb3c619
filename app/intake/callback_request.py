"""Schema of the body of POST /v1/callbacks. Validation of single fields only; the site's rules come later."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def _number_as_text(value: Any) -> Any:
    # Some clients send phone numbers as JSON numbers.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _address(value: Any) -> IPv4Address | IPv6Address:
    """Parse an address from text. pydantic alone also accepts numbers (`true` would be 0.0.0.1) and zones."""
    try:
        address = ip_address(value if isinstance(value, str) and "%" not in value else "")
    except ValueError:
        raise PydanticCustomError("not_an_address", "Write an IPv4 or IPv6 address") from None
    return address if isinstance(address, IPv4Address) else address.ipv4_mapped or address


_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"  # printable text with line breaks and tabs
Text = Annotated[str, Field(max_length=500, pattern=_PRINTABLE)]
PRIVILEGED = (
    "client_ip",
    "manager_phone",
    "message_on_ring",
    "nwt_action",
    "call_stack_start_hour",
    "call_stack_interval",
)


class ConsentGiven(BaseModel):
    """The visitor's consent: the version of the document, and the text shown beside the checkbox."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    accepted: Annotated[bool, Field(description="Whether the visitor consented")]
    version: Annotated[
        Annotated[str, Field(max_length=64, pattern=_PRINTABLE)] | None,
        Field(description="The version of the document, from GET /v1/sites/{site}; needed without an API key"),
    ] = None
    text: Annotated[
        Annotated[str, Field(max_length=1000, pattern=_LINES)] | None,
        Field(description="The text beside the checkbox, in one line or several"),
    ] = None


class CallbackRequest(BaseModel):
    """A request to be phoned. The fields from `client_ip` on need an API key."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "site": "shop",
                    "client_phone": "8 (916) 123-45-67",
                    "active_page": "https://shop.example/catalog?utm_source=newsletter",
                    "referrer": "https://search.example/",
                    "consent": {"accepted": True, "version": "2026-01"},
                    "request_id": "5f2b6c1e-8d0f-4a57-9a34-0d6a2f6f7c11",
                },
                {
                    "site": "shop",
                    "client_phone": "+79161234568",
                    "request_id": "lead-4711",
                    "client_ip": "203.0.113.7",
                    "manager_phone": "74950000002",
                    "message_on_ring": "Lead 4711",
                    "nwt_action": "always_call",
                    "call_stack_start_hour": 10,
                    "call_stack_interval": 5,
                },
            ]
        },
    )

    site: Annotated[str, Field(max_length=64, description="The name of the site in the settings")]
    client_phone: Annotated[
        str, BeforeValidator(_number_as_text), Field(max_length=64, description="As the visitor typed it")
    ]
    active_page: Annotated[
        str | None, Field(description="URL of the page with the widget. Absent: the Referer header")
    ] = None
    referrer: Annotated[str | None, Field(description="URL of the page from which the visitor came to it")] = None
    planned_time: Annotated[
        AwareDatetime | None,
        Field(
            description="When to call: with a time zone, or in unix seconds; within 7 days and the site's working "
            "hours (with an API key: within 14 days). Absent: at once"
        ),
    ] = None
    department: Annotated[str | None, Field(max_length=64, description="One of the site's departments")] = None
    consent: Annotated[
        bool | ConsentGiven | None,
        Field(description="Needed from a page of a site that has a document to consent to; optional with an API key"),
    ] = None
    challenge: Annotated[
        str | None,
        Field(max_length=4096, description="The solution of a challenge from GET /v1/challenge, in ALTCHA's base64"),
    ] = None
    website: Annotated[
        str | None,
        Field(max_length=200, description="Leave it empty: an invisible field (honeypot) that reveals bots"),
    ] = None
    again: Annotated[
        str | None,
        Field(description="The id of an earlier request after which no phone rang, as its visitor says"),
    ] = None
    request_id: Annotated[
        str | None,
        Field(
            pattern=r"^[!-~]{1,128}$",
            description="Idempotency key, made by the caller: a repeated request with the same key is the same request",
        ),
    ] = None
    client_ip: Annotated[
        Annotated[IPv4Address | IPv6Address, BeforeValidator(_address)] | None,
        Field(description="The visitor's IP address. Absent: the address that the request came from"),
    ] = None
    # None is outside the inner type, as pydantic cannot apply a pattern to it.
    manager_phone: Annotated[
        Annotated[str, BeforeValidator(_number_as_text), Field(pattern=r"^\+?[1-9][0-9]{6,14}$")] | None,
        Field(description="Phone of the manager to connect, with the country code. Absent: the site's setting"),
    ] = None
    message_on_ring: Annotated[
        Text | None, Field(description="Text that the manager hears. Absent: the site's setting")
    ] = None
    nwt_action: Annotated[
        Literal["create_leed", "always_call"] | None,
        Field(
            description="What Chaser does outside working hours: always_call calls on the next working day and needs "
            "the site's working hours in the settings, create_leed sends an e-mail. Absent: the site's setting"
        ),
    ] = None
    call_stack_start_hour: Annotated[
        int | None,
        Field(ge=0, le=24, description="Hour of the day from which waiting calls are made; only with always_call"),
    ] = None
    call_stack_interval: Annotated[
        int | None, Field(ge=0, le=60, description="Minutes between waiting calls; only with always_call")
    ] = None

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        """Show only the site: a repr gets into tracebacks, and those into the log."""
        yield "site", self.site
