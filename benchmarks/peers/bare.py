"""The minimum that FastAPI can do with the same POST: parse it and answer 202. Nothing is stored or sent."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Callback(BaseModel):
    """The request body."""

    site: str
    client_phone: str
    active_page: str | None = None
    referrer: str | None = None


@app.post("/v1/callbacks", status_code=202)
async def callback(body: Callback) -> dict[str, str]:  # noqa: ARG001  # parsing it is the work that is measured
    """Answer 202."""
    return {"status": "queued"}
