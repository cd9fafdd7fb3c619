"""The tutorials' proxy with httpx2 instead of httpx."""

import os

import httpx2
from fastapi import FastAPI
from pydantic import BaseModel

CHASER = os.environ["UPSTREAM"]

app = FastAPI()


class Callback(BaseModel):
    """The request body."""

    site: str
    client_phone: str
    active_page: str | None = None
    referrer: str | None = None


@app.post("/v1/callbacks", status_code=202)
async def callback(body: Callback) -> dict[str, int]:
    """Send the call to Chaser while the visitor waits."""
    async with httpx2.AsyncClient() as client:
        response = await client.post(CHASER, json=body.model_dump())
    response.raise_for_status()
    return {"status": response.status_code}
