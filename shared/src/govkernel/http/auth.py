"""Who asks: bearer tokens of one OIDC issuer, verified with its keys."""

import asyncio
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from govkernel.domain import SubjectId
from govkernel.http.problems import TOKEN_MISSING, UNAVAILABLE_HERE, Refused
from govkernel.logging import logger
from govkernel.postgres import Uuid

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA", "Ed25519")
TYPES: Final = ("jwt", "at+jwt", "application/at+jwt")
LEEWAY_S: Final = 30
REFRESH_AFTER_S: Final = 600.0
UNKNOWN_KEY_WAIT_S: Final = 30.0
FIRST_KEYS_WAIT_S: Final = 1.0
KEYS_LIVE_S: Final = 86_400.0
LONGEST_TOKEN: Final = 16_384
REMEMBERED_TOKENS: Final = 2_048

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has sent a request, as the token says."""

    subject: SubjectId
    administrator: bool
    demo: bool
    name: str | None
    expires_at: int


def subject_of(issuer: str, sub: str) -> SubjectId:
    """The account's id in events: opaque, the same wherever this issuer's token comes up."""
    return SubjectId(Uuid(uuid5(NAMESPACE_URL, f"{issuer}|{sub}").bytes))


def unauthenticated(detail: str, error: str | None = "invalid_token") -> Refused:
    """A 401 that says, in the way of RFC 6750, what is wanted."""
    challenge = 'Bearer realm="gatehouse"' + (f', error="{error}"' if error else "")
    return Refused(TOKEN_MISSING, detail, headers={"WWW-Authenticate": challenge})


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header. Raises Refused (401)."""
    if not authorization:
        raise unauthenticated("send a token: Authorization: Bearer <token>", None)
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or not token.isascii() or len(token) > LONGEST_TOKEN:
        raise unauthenticated("Authorization is malformed; send Bearer and one token", "invalid_request")
    return token


class IssuerKeys:
    """The issuer's public keys, fetched when they are first needed and kept while the issuer is away.

    They are looked up again every ten minutes, and at most every 30 s for a key id that is unknown. After a day without
    the issuer they are trusted no more.
    """

    def __init__(
        self,
        issuer: str,
        *,
        client: httpx2.AsyncClient,
        jwks_url: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._client = client
        self._jwks_url = jwks_url
        self._monotonic = monotonic
        self._keys: dict[str | None, Any] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        self.generation = 0

    async def key(self, kid: str | None) -> Any:
        """The public key of that id. Raises Refused: 401 for an unknown one, 503 where the issuer is away."""
        now = self._monotonic()
        age = None if self._fetched_at is None else now - self._fetched_at
        if age is None or age > REFRESH_AFTER_S or kid not in self._keys:
            await self._refresh(now, urgent=age is None)
            age = None if self._fetched_at is None else self._monotonic() - self._fetched_at
        if age is None or age > KEYS_LIVE_S:
            raise Refused(
                UNAVAILABLE_HERE,
                "the issuer of tokens can't be reached, so none can be verified; send the same request again",
                headers={"Retry-After": "5"},
            )
        if kid not in self._keys:
            raise unauthenticated("the token was signed with a key that its issuer does not name; ask for a new token")
        return self._keys[kid]

    async def _refresh(self, seen_at: float, *, urgent: bool) -> None:
        async with self._fetching:
            wait = FIRST_KEYS_WAIT_S if urgent else UNKNOWN_KEY_WAIT_S
            if self._tried_at is not None and (self._tried_at > seen_at or seen_at - self._tried_at < wait):
                return
            self._tried_at = self._monotonic()
            try:
                keys = await self._fetch()
            except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
                log.warning("issuer_unreachable", issuer=self._issuer, reason=f"{type(error).__name__}: {error}")
                return
            self._keys = keys
            self._fetched_at = self._monotonic()
            self.generation += 1

    async def _fetch(self) -> dict[str | None, Any]:
        url = self._jwks_url
        if url is None:
            discovery = await self._get(f"{self._issuer}/.well-known/openid-configuration")
            if str(discovery["issuer"]).rstrip("/") != self._issuer:
                raise ValueError(f"the discovery document is of {discovery['issuer']!r}")
            url = str(discovery["jwks_uri"])
            if self._issuer.startswith("https:") and not url.startswith("https:"):
                raise ValueError("the keys of an https issuer must come over https")
        found: dict[str | None, Any] = {}
        for described in (await self._get(url))["keys"]:
            if described.get("kty") not in ("RSA", "EC", "OKP") or described.get("use", "sig") != "sig":
                continue
            try:
                found[described.get("kid")] = JWKRegistry.import_key(described)
            except (JoseError, ValueError) as error:
                log.warning("issuer_key_refused", kid=described.get("kid"), reason=str(error))
        if not found:
            raise ValueError("the issuer names no key to verify with")
        if len(found) == 1:
            found[None] = next(iter(found.values()))
        return found

    async def _get(self, url: str) -> Any:
        answer = await self._client.get(url, timeout=5.0, follow_redirects=False)
        answer.raise_for_status()
        if len(answer.content) > 1_000_000:
            raise ValueError("the issuer's answer is too long")
        return answer.json()


class TokenVerifier:
    """Turns an Authorization header into a caller: issuer, audience, type, expiry and algorithm are pinned."""

    def __init__(self, keys: IssuerKeys, *, issuer: str, audience: str, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._issuer = issuer
        self._clock = clock
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._verified: OrderedDict[bytes, Caller] = OrderedDict()
        self._generation = -1

    async def caller(self, authorization: str | None) -> Caller:
        """Who the token speaks for. Raises Refused: 401, or 503 where the issuer's keys can't be had."""
        fingerprint = sha256((authorization or "").encode()).digest()
        if self._generation != self._keys.generation:
            self._verified.clear()
            self._generation = self._keys.generation
        known = self._verified.get(fingerprint)
        if known is not None:
            if known.expires_at + LEEWAY_S > self._clock():
                return known
            del self._verified[fingerprint]
        caller = await self._verify(bearer(authorization))
        self._verified[fingerprint] = caller
        if len(self._verified) > REMEMBERED_TOKENS:
            self._verified.popitem(last=False)
        return caller

    async def _verify(self, token: str) -> Caller:
        try:
            header = _header(token)
        except (JoseError, ValueError, KeyError, TypeError):
            raise unauthenticated("this is not a signed token; ask its issuer for one") from None
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise unauthenticated(f"the token's algorithm is not one of {', '.join(ALGORITHMS)}")
        if str(header.get("typ", "JWT")).lower() not in TYPES:
            raise unauthenticated("the token is not an access token; its type must be JWT or at+jwt")
        kid = header.get("kid")
        key = await self._keys.key(kid if isinstance(kid, str) else None)
        wanted: Any = {"RS256": RSAKey, "ES256": ECKey}.get(str(algorithm), OKPKey)
        if not isinstance(key, wanted):
            raise unauthenticated("the token's algorithm does not belong to its key")
        try:
            with warnings.catch_warnings():
                # Issuers go on writing EdDSA for Ed25519, which RFC 9864 renames.
                warnings.simplefilter("ignore")
                decoded = jwt.decode(token, key, algorithms=[str(algorithm)])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            raise unauthenticated(f"the token is refused: {_reason(error)}; ask its issuer for a new one") from None
        claims = decoded.claims
        name = claims.get("name")
        return Caller(
            subject=subject_of(self._issuer, str(claims["sub"])),
            administrator=claims.get("gatehouse_administrator") is True,
            demo=claims.get("gatehouse_demo") is True,
            name=name if isinstance(name, str) else None,
            expires_at=int(claims["exp"]),
        )


def _header(token: str) -> dict[str, Any]:
    import base64
    import json

    first, _, rest = token.partition(".")
    if rest.count(".") != 1:
        raise ValueError("not three parts")
    header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    if not isinstance(header, dict):
        raise TypeError("the header is not an object")
    return header


def _reason(error: Exception) -> str:
    described = getattr(error, "description", None) or getattr(error, "error", None) or type(error).__name__
    return str(described).rstrip(".")[:120]
