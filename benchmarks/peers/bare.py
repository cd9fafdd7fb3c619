"""The least that FastAPI can do with the same POST: read it, and answer 202. Nothing is stored, nobody is called."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Callback(BaseModel):
    """What a visitor asks for."""

    site: str
    client_phone: str
    active_page: str | None = None
    referrer: str | None = None


@app.post("/v1/callbacks", status_code=202)
async def callback(asked: Callback) -> dict[str, str]:  # noqa: ARG001  # reading it is the work that is measured
    """Answer."""
    return {"status": "queued"}
