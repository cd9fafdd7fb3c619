"""GET /v1/challenge: a proof of work for a visitor's browser."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from app.errors import NotFoundError
from app.routes.dependencies import ServicesDep
from app.routes.exception_handlers import responses

router = APIRouter(tags=["visitors"])


class ChallengeResponse(BaseModel):
    """An ALTCHA challenge, version 2 (altcha.org). Send its solution in `challenge` of POST /v1/callbacks."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "parameters": {
                        "algorithm": "PBKDF2/SHA-256",
                        "cost": 2000,
                        "data": {"given": 1700000000000, "site": "shop"},
                        "expiresAt": 1700000600,
                        "keyLength": 32,
                        "keyPrefix": "a63c7d0a1b32ff4dd2d7a1b0f5c1f8de",
                        "keySignature": "9f2c…",
                        "nonce": "0c1db1e2e13a45719bc1e517c003edcf",
                        "salt": "5d2f4be1c6c14c7c8d3a2bb0b7f5b9aa",
                    },
                    "signature": "41b0…",
                }
            ]
        }
    )

    parameters: dict[str, Any]
    signature: str


@router.get("/v1/challenge", responses=responses(404, 422, 429), summary="Get a proof-of-work challenge")
async def get_challenge(
    site: Annotated[str, Query(description="The name of the site in the settings")],
    request: Request,
    response: Response,
    services: ServicesDep,
) -> ChallengeResponse:
    """Return a proof-of-work challenge for a site, valid for one request from one second to ten minutes after issue.

    The difficulty rises for a network that requests many challenges, and for all visitors of a site under a flood. It
    falls again within minutes.
    """
    if site not in services.settings.sites:
        raise NotFoundError("unknown_site", "There is no such site in the settings of this service.")
    difficulty = services.difficulty.next(site, request.state.client_buckets)
    response.headers["Cache-Control"] = "no-store"
    return ChallengeResponse.model_validate(services.challenges.issue(site, difficulty))
