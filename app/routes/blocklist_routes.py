"""GET, POST and DELETE /v1/blocklist: phones that are never called and networks that are refused."""

import logging
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from app.edge.api_keys import require_unbound
from app.edge.request_body import JsonRoute
from app.errors import NotFoundError
from app.intake.blocklist_entry import read_entry
from app.intake.callback_request import Text
from app.logs import event, mask_phone
from app.outbox import blocklist_store
from app.routes.dependencies import ServicesDep, require_key
from app.routes.exception_handlers import responses

log = logging.getLogger(__name__)

router = APIRouter(route_class=JsonRoute, tags=["blocklist"])

Reader = Annotated[str, Depends(require_key("callbacks:read"))]
Writer = Annotated[str, Depends(require_key("callbacks:write"))]
EntryText = Annotated[
    str,
    Field(
        max_length=64, description="A phone with + and its country code, an IP address, or a network in CIDR notation"
    ),
]
_EXAMPLE: dict[str, Any] = {
    "entry": "79161234567",
    "note": "asked never to be phoned",
    "created_at": "2026-01-31T07:00:00.120000Z",
}


class BlocklistEntry(BaseModel):
    """A blocked phone (in digits) or network (in CIDR notation), and since when it is blocked."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    entry: str
    note: str | None
    created_at: datetime


class Blocklist(BaseModel):
    """All entries, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"entries": [_EXAMPLE]}]})

    entries: list[BlocklistEntry]


class BlocklistEntryCreate(BaseModel):
    """The phone or network to block, and an optional note, such as the name of the person who asked for it."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"entry": "+7 916 123-45-67", "note": "asked never to be phoned"}]},
    )

    entry: EntryText
    note: Annotated[Text | None, Field(max_length=200, description="A note for operators")] = None


def _masked(entry: str) -> str:
    return entry if "/" in entry else mask_phone(entry)


@router.get("/v1/blocklist", responses=responses(401, 403, 429, 503), summary="List the blocklist")
async def show_blocklist(services: ServicesDep, key: Reader) -> Blocklist:
    """List all entries, newest first.

    Needs the scope `callbacks:read`, and a key that is not bound to sites.
    """
    require_unbound(key, services.api_keys)
    entries = await services.outbox.read(blocklist_store.entries)
    return Blocklist(
        entries=[BlocklistEntry(entry=each.entry, note=each.note, created_at=each.created_at) for each in entries]
    )


@router.post(
    "/v1/blocklist",
    status_code=201,
    responses=responses(401, 403, 415, 422, 429, 503),
    summary="Block a phone or a network",
)
async def block(body: BlocklistEntryCreate, services: ServicesDep, key: Writer) -> BlocklistEntry:
    """Block a phone or a network: requests for it or from it are refused with 403 `blocked`.

    Callbacks that wait for a blocked phone are cancelled. The entry takes effect at once in the replica that answers,
    within two seconds in all others. Blocking an entry again replaces its note and keeps `created_at`.

    Needs the scope `callbacks:write`, and a key that is not bound to sites.
    """
    require_unbound(key, services.api_keys)
    entry = read_entry(body.entry)
    add = partial(blocklist_store.add, entry=entry, note=body.note, now=services.clock())
    since = await services.outbox.change_blocklist(add)
    event(log, "blocklist.added", entry=_masked(entry), api_key=key)
    return BlocklistEntry(entry=entry, note=body.note, created_at=since)


@router.delete(
    "/v1/blocklist",
    status_code=204,
    responses=responses(401, 403, 404, 422, 429, 503),
    summary="Unblock a phone or a network",
)
async def unblock(services: ServicesDep, entry: Annotated[EntryText, Query()], key: Writer) -> None:
    """Remove an entry, written as it was blocked or as the blocklist shows it.

    Needs the scope `callbacks:write`, and a key that is not bound to sites.
    """
    require_unbound(key, services.api_keys)
    parsed = read_entry(entry, listed=True)
    if not await services.outbox.change_blocklist(partial(blocklist_store.remove, entry=parsed)):
        raise NotFoundError("not_found", "The blocklist has no such entry.")
    event(log, "blocklist.removed", entry=_masked(parsed), api_key=key)
