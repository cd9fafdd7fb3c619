"""GET /v1/challenge: the work that comes before a request."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from app.errors import NotFoundError
from app.routes.dependencies import ServicesDep
from app.routes.exception_handlers import responses

router = APIRouter(tags=["visitors"])


class ChallengeGiven(BaseModel):
    """An ALTCHA challenge of the second version. Solve it, and send it back in ``challenge``: see altcha.org."""

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


@router.get("/v1/challenge", responses=responses(404, 422, 429), summary="The work that comes before a request")
async def give_challenge(
    site: Annotated[str, Query(description="The name of the site in the settings")],
    request: Request,
    response: Response,
    services: ServicesDep,
) -> ChallengeGiven:
    """Give a challenge for a site: good for one request, from one second to ten minutes old.

    It is harder for whoever asks for many, and for everybody while a site is flooded; it falls again by itself.
    """
    if site not in services.settings.sites:
        raise NotFoundError("unknown_site", "There is no such site in the settings of this service.")
    difficulty = services.difficulty.next(site, request.state.client_buckets)
    response.headers["Cache-Control"] = "no-store"
    return ChallengeGiven.model_validate(services.challenges.issue(site, difficulty))
