"""What tutorials show for calling another service from FastAPI: a client of httpx for each request."""

import os

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

CHASER = os.environ["UPSTREAM"]

app = FastAPI()


class Callback(BaseModel):
    """What a visitor asks for."""

    site: str
    client_phone: str
    active_page: str | None = None
    referrer: str | None = None


@app.post("/v1/callbacks", status_code=202)
async def callback(asked: Callback) -> dict[str, int]:
    """Ask Chaser while the visitor waits."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(CHASER, json=asked.model_dump())
    answer.raise_for_status()
    return {"status": answer.status_code}
