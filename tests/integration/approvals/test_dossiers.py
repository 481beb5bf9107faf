"""Dossiers over HTTP: complete from the ledger, the same each time, and without the names of those who were erased."""

from uuid import UUID, uuid4

from tests.integration.approvals.room import EVIDENCE, Room
from tests.support.services import done, person, problem, subject

CONDITION = {
    "text": "Obtain the permit.",
    "owner": str(subject("max")),
    "due": "2099-05-31",
    "shown_by": "The permit.",
    "on_lapse": "hold",
}


async def test_a_decision_is_told_in_one_document_that_anyone_who_may_read_it_can_check(room: Room) -> None:
    review = await room.opened()
    done(await room.vote(review, "ana", seen=2, choice="reject", reason="No budget."))
    manager = await room.as_("max")
    revised = {**EVIDENCE, "sha256": "c" * 64}
    body = {"evidence": [revised], "remark": "The budget is there."}
    done(await manager.post(f"/reviews/{review}/evidence", json=body, headers={"If-Match": '"3"'}))
    done(await room.vote(review, "ana", seen=4, choice="approve_with_conditions", conditions=[CONDITION]))
    done(await room.vote(review, "bo", seen=5))
    told = await (await room.as_("aud")).get(f"/reviews/{review}/dossier")
    answer = done(told)
    dossier, names = answer["dossier"], answer["names"]
    assert (told.headers["gov-version"], "etag" in told.headers) == (f"{review}@7", False)
    assert (dossier["state"], dossier["decided"], dossier["outcome"]["outcome"]) == (
        "concluded",
        True,
        "conditional_go",
    )
    assert dossier["policy"]["seen"]["verified"] is True
    assert dossier["policy"]["edition"]["gate"] == "G1"
    assert [(vote["choice"], vote["standing"]) for vote in dossier["votes"]] == [
        ("reject", "set_aside"),
        ("approve_with_conditions", "stands"),
        ("approve", "stands"),
    ]
    assert [sight["verified"] for vote in dossier["votes"] for sight in vote["seen"]] == [True] * 3
    assert [seat["authority"] for seat in dossier["voters"][0]["electorate"]] == [
        "chair of Board",
        "member of Board",
        "member of Board",
    ]
    assert dossier["voters"][0]["body_name"] == "Board"
    assert dossier["evidence"][-1]["evidence"][0]["sha256"] == "c" * 64
    assert [each["condition"]["text"] for each in dossier["conditions"]] == ["Obtain the permit."]
    assert (names["project"], names["reference"]) == ("Main 12", "P-1")
    assert names["accounts"][str(subject("ana"))] == names["persons"][str(person("ana"))] == "Ana"
    recorded = await room.service.runtime.ledger.events(UUID(review))
    assert [(each["event"], each["hash"]) for each in dossier["events"]] == [
        (one.id, one.hash.hex()) for one in recorded
    ]
    assert dossier["head"] == recorded[-1].hash.hex()


async def test_the_same_ledger_gives_the_same_bytes_and_erasing_a_person_changes_their_name_only(room: Room) -> None:
    review = await room.opened()
    done(await room.vote(review, "ana", seen=2))
    auditor = await room.as_("aud")
    first = await auditor.get(f"/reviews/{review}/dossier")
    assert (await auditor.get(f"/reviews/{review}/dossier")).content == first.content
    page = await auditor.get(f"/reviews/{review}/dossier.html")
    assert "<bdi>Ana</bdi>" in page.text
    erasure = {"reason": "Has left."}
    done(await room.service.root.post(f"/directory/{person('ana')}/erasures", json=erasure))
    before, after = done(first), done(await auditor.get(f"/reviews/{review}/dossier"))
    assert before["names"]["persons"].pop(str(person("ana"))) == "Ana"
    assert after["names"]["persons"].pop(str(person("ana"))) is None
    assert before["names"]["accounts"].pop(str(subject("ana"))) == "Ana"
    assert after["names"]["accounts"].pop(str(subject("ana"))) is None
    assert after == before
    assert "<bdi>Ana</bdi>" not in (await auditor.get(f"/reviews/{review}/dossier.html")).text


async def test_the_page_says_the_same_and_lets_a_browser_load_nothing(room: Room) -> None:
    review = await room.opened()
    page = await (await room.as_("aud")).get(f"/reviews/{review}/dossier.html")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert page.headers.get_list("content-security-policy") == [page.headers["content-security-policy"]]
    assert page.headers["gov-version"] == f"{review}@2"
    assert "Not decided yet" in page.text
    assert "chair of Board" in page.text


async def test_a_claim_to_have_seen_what_is_not_in_this_ledger_is_shown_as_such(room: Room) -> None:
    review = await room.opened()
    basis = (await room.service.runtime.ledger.events(UUID(review)))[1]
    own = {"stream": review, "version": 2, "hash": basis.hash.hex()}
    foreign = {"stream": str(uuid4()), "version": 1, "hash": "d" * 64}
    wrong = {"stream": room.board, "version": 1, "hash": "d" * 64}
    beyond = {"stream": review, "version": 2**40, "hash": "d" * 64}
    many = [{**foreign, "version": version} for version in range(1, 1001)]
    done(await room.vote(review, "ana", seen=2, claims=[own, foreign, wrong, beyond, *many]))
    told = done(await (await room.as_("aud")).get(f"/reviews/{review}/dossier"))
    assert [sight["verified"] for sight in told["dossier"]["votes"][0]["seen"]] == [
        True,
        None,
        False,
        False,
        *[None] * 1000,
    ]


async def test_a_decision_that_was_made_elsewhere_has_a_short_dossier(room: Room) -> None:
    pmo = await room.as_("pia")
    source = {"file": "gates.csv", "sha256": "a" * 64, "row": 7}
    body = {
        "project": room.project,
        "kind": "gate",
        "gate": "G0",
        "decided_on": "2019-05-06",
        "body_name": "Council",
        "source": source,
    }
    decision = done(await pmo.post("/decisions", json=body), 201)["stream"]
    told = done(await pmo.get(f"/decisions/{decision}/dossier"))
    assert (told["dossier"]["body_name"], told["dossier"]["outcome"], told["dossier"]["source"]) == (
        "Council",
        None,
        source,
    )
    assert told["names"]["accounts"] == {str(subject("pia")): "Pia"}
    page = await pmo.get(f"/decisions/{decision}/dossier.html")
    assert (page.status_code, "<bdi>gates.csv</bdi>, row 7" in page.text) == (200, True)


async def test_only_who_may_read_the_project_gets_its_dossiers(room: Room) -> None:
    review = await room.opened()
    stranger = await room.as_("stranger")
    for address in (f"/reviews/{review}/dossier", f"/reviews/{review}/dossier.html"):
        problem(await stranger.get(address), 403, "not-allowed")
        problem(await stranger.get(address.replace(review, str(uuid4()))), 404, "not-found")
    for address in (f"/decisions/{uuid4()}/dossier", f"/decisions/{uuid4()}/dossier.html"):
        problem(await stranger.get(address), 404, "not-found")
