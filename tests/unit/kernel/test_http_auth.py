"""Which tokens speak for whom, and what happens while their issuer is away."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from govkernel.http.auth import KEYS_LIVE_S, IssuerKeys, TokenVerifier, subject_of
from govkernel.http.problems import Refused

ISSUER = "https://issuer.example"
EC = ECKey.generate_key("P-256", {"kid": "ec"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OKP = OKPKey.generate_key("Ed25519", {"kid": "okp"})
OTHER = ECKey.generate_key("P-256", {"kid": "ec"})


class Issuer:
    """An issuer behind a transport: it names keys, counts questions, and can be away."""

    def __init__(self, *keys: Any) -> None:
        self.keys = keys
        self.asked = 0
        self.away = False
        self.says_it_is = ISSUER

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        if self.away:
            raise httpx2.ConnectError("away")
        if request.url.path == "/.well-known/openid-configuration":
            return httpx2.Response(200, json={"issuer": self.says_it_is, "jwks_uri": f"{ISSUER}/jwks"})
        self.asked += 1
        return httpx2.Response(
            200, json={"keys": [{**key.as_dict(private=False), "kid": key.kid} for key in self.keys]}
        )


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Issuer:
    return Issuer(EC, RSA, OKP)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(issuer: Issuer, clock: Clock) -> TokenVerifier:
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(issuer.handle))
    keys = IssuerKeys(ISSUER, client=client, monotonic=clock)
    return TokenVerifier(keys, issuer=ISSUER, audience="gatehouse", clock=clock)


def token(key: Any = EC, algorithm: str = "ES256", *, typ: str = "JWT", kid: str | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "gatehouse", "sub": "ana", "iat": now, "exp": now + 600, "name": "Ana", **changes}
    present = {name: value for name, value in claims.items() if value is not None}
    header = {"alg": algorithm, "kid": kid or key.kid}
    return "Bearer " + jwt.encode(header, present, key, algorithms=[algorithm], default_type=typ)


async def refusal(verifier: TokenVerifier, authorization: str | None) -> Refused:
    with pytest.raises(Refused) as caught:
        await verifier.caller(authorization)
    return caught.value


@pytest.mark.parametrize(("key", "algorithm"), [(EC, "ES256"), (RSA, "RS256"), (OKP, "Ed25519")])
async def test_a_good_token_speaks_for_its_subject(verifier: TokenVerifier, key: Any, algorithm: str) -> None:
    caller = await verifier.caller(token(key, algorithm))
    assert caller.subject == subject_of(ISSUER, "ana")
    assert not caller.administrator
    assert caller.name == "Ana"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_the_older_name_of_ed25519_is_understood(verifier: TokenVerifier) -> None:
    assert (await verifier.caller(token(OKP, "EdDSA"))).name == "Ana"


async def test_the_first_administrator_comes_from_the_token_and_only_as_true(verifier: TokenVerifier) -> None:
    assert (await verifier.caller(token(gatehouse_administrator=True))).administrator
    assert not (await verifier.caller(token(gatehouse_administrator="true"))).administrator


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic YTpi",
        "Bearer",
        "Bearer  ",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer " + "a" * 20_000,
        "Bearer \u00e9.e.e",
    ],
)
async def test_what_is_no_token_is_asked_for_one(verifier: TokenVerifier, authorization: str | None) -> None:
    error = await refusal(verifier, authorization)
    assert error.problem.status == 401
    assert error.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    "forged",
    [
        lambda: token(iss="https://elsewhere.example"),
        lambda: token(iss=None),
        lambda: token(aud="another"),
        lambda: token(aud=None),
        lambda: token(exp=None),
        lambda: token(exp=int(time.time()) - 3600),
        lambda: token(nbf=int(time.time()) + 3600),
        lambda: token(sub=None),
        lambda: token(typ="logout+jwt"),
        lambda: token(OTHER),
        lambda: token(EC, kid="rsa"),
        lambda: token(RSA, "RS512"),
        lambda: token(RSA, "PS256"),
        lambda: token(OctKey.import_key(json.dumps(EC.as_dict(private=False))), "HS256", kid="ec"),
        lambda: token()[:-6] + "AAAAAA",
        lambda: "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEifQ.",
    ],
    ids=lambda _forged: "",
)
async def test_a_forged_or_foreign_token_is_refused(verifier: TokenVerifier, forged: Callable[[], str]) -> None:
    assert (await refusal(verifier, forged())).problem.status == 401


async def test_an_audience_among_several_is_enough(verifier: TokenVerifier) -> None:
    assert (await verifier.caller(token(aud=["other", "gatehouse"]))).name == "Ana"


async def test_a_remembered_token_still_expires(verifier: TokenVerifier, clock: Clock) -> None:
    authorization = token()
    await verifier.caller(authorization)
    clock.now += 700
    assert (await refusal(verifier, authorization)).problem.status == 401


async def test_an_unknown_key_id_refreshes_at_most_every_30_s(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    await verifier.caller(token())
    new = ECKey.generate_key("P-256", {"kid": "new"})
    for _ in range(5):
        assert (await refusal(verifier, token(new))).problem.status == 401
    assert issuer.asked == 1
    issuer.keys = (new,)
    clock.now += 31
    assert (await verifier.caller(token(new))).name == "Ana"
    assert issuer.asked == 2


async def test_a_key_that_the_issuer_withdrew_is_trusted_no_more(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    authorization = token(exp=int(time.time()) + 7200)
    await verifier.caller(authorization)
    issuer.keys = (RSA,)
    clock.now += 601
    await verifier.caller(token(RSA, "RS256", exp=int(clock.now) + 600))
    assert (await refusal(verifier, authorization)).problem.status == 401


async def test_while_the_issuer_is_away_its_known_keys_serve_and_then_nobody_enters(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    await verifier.caller(token())
    issuer.away = True
    clock.now += 3600
    assert (await verifier.caller(token(exp=int(clock.now) + 600))).name == "Ana"
    clock.now += KEYS_LIVE_S
    closed = await refusal(verifier, token(exp=int(clock.now) + 600))
    assert closed.problem.status == 503
    assert "Retry-After" in closed.headers


async def test_before_the_first_keys_came_the_answer_is_503_and_heals(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    issuer.away = True
    assert (await refusal(verifier, token())).problem.status == 503
    issuer.away = False
    clock.now += 2
    assert (await verifier.caller(token())).name == "Ana"


async def test_a_discovery_document_of_another_issuer_is_not_believed(verifier: TokenVerifier, issuer: Issuer) -> None:
    issuer.says_it_is = "https://elsewhere.example"
    assert (await refusal(verifier, token())).problem.status == 503
