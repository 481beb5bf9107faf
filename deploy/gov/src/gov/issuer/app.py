"""The issuer's endpoints: discovery, keys, and a token for a username."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.jwk import ECKey

from gov.issuer.people import Account

TOKEN_LIFE_S: Final = 12 * 3600
LARGEST_FORM_BYTES: Final = 10_000
GRANT: Final = "password"


def application(
    *,
    issuer: str,
    address: str,
    audience: str,
    key: ECKey,
    people: Mapping[str, Account],
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The issuer as an ASGI application: `issuer` is its name in tokens, `address` where it is to be asked."""
    app = FastAPI(title="Gatehouse demonstration issuer", docs_url=None, redoc_url=None, openapi_url=None)

    def refused(error: str, description: str, status: int = 400) -> JSONResponse:
        return JSONResponse({"error": error, "error_description": description}, status, {"Cache-Control": "no-store"})

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> dict[str, Any]:
        return {
            "issuer": issuer,
            "jwks_uri": f"{address}/jwks",
            "token_endpoint": f"{address}/token",
            "grant_types_supported": [GRANT],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["none"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    @app.get("/jwks")
    async def jwks() -> dict[str, Any]:
        return {"keys": [{**key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": "ES256"}]}

    @app.get("/people")
    async def listed() -> list[dict[str, Any]]:
        return [
            {
                "username": account.username,
                "sub": account.sub,
                "name": account.name,
                "about": account.about,
                "administrator": account.administrator,
            }
            for account in people.values()
        ]

    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        raw = b""
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > LARGEST_FORM_BYTES:
                return refused("invalid_request", f"the form has more than {LARGEST_FORM_BYTES} bytes", 413)
        try:
            form = parse_qs(raw.decode("ascii"), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=10)
        except ValueError:
            return refused("invalid_request", "send a form: grant_type=password&username=<username>")
        if form.get("grant_type", [GRANT]) != [GRANT]:
            return refused("unsupported_grant_type", f"use grant_type={GRANT}")
        username, *more = form.get("username", [""])
        account = people.get(username)
        if account is None or more:
            return refused("invalid_grant", f"username is one of {', '.join(people)}")
        now = int(clock())
        claims: dict[str, Any] = {
            "iss": issuer,
            "sub": account.sub,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_LIFE_S,
            "name": account.name,
            "preferred_username": account.username,
            "gatehouse_demo": True,
        }
        if account.administrator:
            claims["gatehouse_administrator"] = True
        signed = jwt.encode({"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}, claims, key, algorithms=["ES256"])
        return JSONResponse(
            {"access_token": signed, "token_type": "Bearer", "expires_in": TOKEN_LIFE_S, "name": account.name},
            headers={"Cache-Control": "no-store"},
        )

    return app
