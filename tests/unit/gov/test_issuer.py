"""The demonstration's issuer: only in demonstrations, for its people only, with a key that stays."""

import base64
import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from gov.issuer.__main__ import main
from gov.issuer.app import application
from gov.issuer.key import KeyRefused, load_or_make
from gov.issuer.people import accounts
from govkernel.http.auth import IssuerKeys, TokenVerifier, subject_of

ISSUER = "http://127.0.0.1:8100"


@pytest.fixture
def client(tmp_path: Path) -> httpx2.AsyncClient:
    app = application(
        issuer=ISSUER,
        address=ISSUER,
        audience="gatehouse",
        key=load_or_make(tmp_path / "issuer.pem"),
        people=accounts(),
    )
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=ISSUER)


def claims(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.parametrize("environment", [{}, {"GOV_DEMO": "0"}, {"GOV_DEMO": "true"}])
def test_it_refuses_to_start_outside_a_demonstration(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main({**environment, "GOV_ISSUER_KEY_FILE": "/nowhere/key"}) == 2
    assert "GOV_DEMO=1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"GOV_ISSUER_PORT": "http", "GOV_ISSUER_KEY_FILE": "k"}, "GOV_ISSUER_PORT"),
        ({}, "GOV_ISSUER_KEY_FILE"),
        ({"GOV_ISSUER_KEY_FILE": "/proc/none/key"}, "GOV_ISSUER_KEY_FILE"),
    ],
)
def test_a_bad_setting_is_named(environment: dict[str, str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main({"GOV_DEMO": "1", **environment}) == 2
    assert named in capsys.readouterr().err


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "issuer.pem"
    first = load_or_make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_make(path).as_dict(private=True) == first.as_dict(private=True)
    assert [file.name for file in path.parent.iterdir()] == ["issuer.pem"]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    load_or_make(path)
    path.chmod(0o644)
    with pytest.raises(KeyRefused, match="chmod 600"):
        load_or_make(path)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    path.touch(0o600)
    os.truncate(path, 0)
    with pytest.raises(KeyRefused, match="remove it"):
        load_or_make(path)


def test_the_people_of_the_demonstration() -> None:
    people = accounts()
    names = {"ana", "bo", "bo.second", "cy", "dee", "kit", "ray", "max", "mia", "sol", "vic", "olu", "eve"}
    assert set(people) == names
    assert {name for name, account in people.items() if account.administrator} == {"ana", "olu"}
    assert all(UUID(account.sub) for account in people.values())


async def test_a_token_of_the_issuer_is_one_that_services_accept(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/token", data={"grant_type": "password", "username": "bo"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    verifier = TokenVerifier(IssuerKeys(ISSUER, client=client), issuer=ISSUER, audience="gatehouse")
    caller = await verifier.caller(f"Bearer {answer.json()['access_token']}")
    assert caller.subject == subject_of(ISSUER, accounts()["bo"].sub)
    assert caller.demo
    assert not caller.administrator


async def test_the_claims_name_the_person_and_last_twelve_hours(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/token", data={"username": "ana"})
    said = claims(answer.json()["access_token"])
    assert said["gatehouse_administrator"] is True
    assert said["name"] == "Ana Alvarez"
    assert said["exp"] - said["iat"] == 12 * 3600 == answer.json()["expires_in"]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (b"username=nobody", "invalid_grant"),
        (b"", "invalid_grant"),
        (b"username=ana&username=bo", "invalid_grant"),
        (b"grant_type=client_credentials&username=ana", "unsupported_grant_type"),
        (b"\xff", "invalid_request"),
        (b"username=" + b"a" * 20_000, "invalid_request"),
    ],
)
async def test_others_get_no_token(client: httpx2.AsyncClient, form: bytes, error: str) -> None:
    answer = await client.post("/token", content=form)
    assert answer.status_code in (400, 413)
    assert answer.json()["error"] == error


async def test_the_keys_hold_nothing_private(client: httpx2.AsyncClient) -> None:
    (key,) = (await client.get("/jwks")).json()["keys"]
    assert "d" not in key
    assert key["alg"] == "ES256"
    discovery = (await client.get("/.well-known/openid-configuration")).json()
    assert discovery["issuer"] == ISSUER
    assert discovery["jwks_uri"] == f"{ISSUER}/jwks"
