"""The pages of dossiers: complete, quiet, and safe to open."""

from base64 import b64encode
from datetime import date
from hashlib import sha256
from html.parser import HTMLParser
from uuid import UUID, uuid5

import pytest
from tests.unit.approvals.lives import CASE, MORNING, PLAN, Life, Written, condition, seat
from tests.unit.approvals.people import PORTFOLIO, PROJECT, account, person
from tests.unit.approvals.test_dossier import decided, told

from approvals.application.dossier import Dossier, accounts_in, digest_of, imported_dossier_of, persons_in
from approvals.domain.decision import DECISION
from approvals.entrypoints import pages
from govevents.approvals import Choice, DecisionRecorded, Outcome, ReviewKind
from govevents.values import Source

APPROVE, CONDITIONALLY, REJECT, RETURN, ABSTAIN = Choice
VOID = frozenset({"meta", "br"})


class Read(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.path: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.goes_on = False
        self.feed(page)
        self.close()
        assert self.path == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.goes_on = self.goes_on and tag == "bdi"
        if tag not in VOID:
            self.path.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop() == tag
        self.goes_on = self.goes_on and tag == "bdi"

    def handle_data(self, data: str) -> None:
        if self.path and self.path[-1] != "style":
            if self.goes_on:
                self.texts[-1] += data
            else:
                self.texts.append(data)
            self.goes_on = True

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def attributes(self, name: str) -> list[str]:
        return [str(given[name]) for _, given in self.elements if name in given]


def names(dossier: Dossier, *erased: str) -> pages.Names:
    known: dict[UUID, str | None] = {}
    for name in ("ana", "bo", "cy", "al", "dee", "max", "sam", "sol", "pia"):
        shown = None if name in erased else name.title()
        known |= {account(name): shown, person(name): shown}
    wanted = {*accounts_in(dossier), *persons_in(dossier)}
    return pages.Names("Main 12", "P-1", {each: known.get(each) for each in wanted})


def page_of(life: Life, *erased: str) -> str:
    dossier = told(life)
    return bytes(pages.dossier(dossier, digest_of(dossier), names(dossier, *erased)).body).decode()


def eventful() -> Life:
    life = Life().drafted(CASE).submitted(seat("ana"), seat("bo", "al"), seat("cy"))
    life.granted("ana", "dee")
    life.vote("bo", REJECT).evidence(CASE, PLAN).asked("bo", "Who pays?", "The utility.").recused("cy")
    return life.vote("dee", CONDITIONALLY, condition()).vote("al", APPROVE).revoked("dee")


def test_it_says_first_what_was_decided_when_and_why() -> None:
    text = Read(page_of(decided())).text
    assert "Main 12 (P-1) May we build? go · 2026-03-02 23:00 AEDT 2 of 3 approve, 0 reject or return" in text


def test_it_tells_the_whole_course_with_names_and_words() -> None:
    text = Read(page_of(eventful())).text
    for said in (
        "Submitted Sam, 2026-03-02 21:00 AEDT",
        "1 added, 0 taken out",
        "Sam: The case was revised. Votes cast before count no longer.",
        "Sol sponsor",
        "reject : bo has read the case.",
        "set aside by @",
        "Ana, delegate approve with conditions : dee has read the case. Condition: Obtain the permit. (by 2026-05-31)",
        "Al Bo, alternate approve",
        "its delegation was revoked afterwards: Back again.",
        "Granted Ana to Dee",
        "Who pays? Sam",
        "Cy I own the land. Cy",
        "✓ verified",
    ):
        assert said in text, said


def test_every_reference_leads_to_an_event_that_is_listed_with_its_hash() -> None:
    read = Read(page_of(eventful()))
    anchors = {given["id"] for _, given in read.elements if "id" in given}
    links = read.attributes("href")
    assert links
    assert all(link.startswith("#") and link[1:] in anchors for link in links)
    for record in told(eventful()).events:
        assert f"e-{record.event}" in anchors
        assert record.hash in read.text


def test_each_table_has_headings_and_each_element_is_closed() -> None:
    read = Read(page_of(eventful()))
    assert [tag for tag, _ in read.elements].count("table") > 8
    assert all(given.get("scope") in {"col", "row"} for tag, given in read.elements if tag == "th")


def test_it_loads_and_runs_nothing() -> None:
    read = Read(page_of(eventful()))
    tags = {tag for tag, _ in read.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "form", "object", "base"})
    assert read.attributes("src") == []
    assert not [given for _, given in read.elements for name in given if name.startswith("on") or name == "style"]


def test_the_browser_is_told_to_take_its_own_style_and_nothing_else() -> None:
    page = page_of(decided())
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    headers = pages.dossier(told(decided()), "d", names(told(decided()))).headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert "@page" in style


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"])
def test_what_people_wrote_is_shown_and_never_taken_for_markup(hostile: str) -> None:
    life = Life().drafted(question=hostile).submitted(seat("ana"), seat("bo")).vote("ana", REJECT, reason=hostile)
    read = Read(page_of(life))
    assert {tag for tag, _ in read.elements}.isdisjoint({"script", "img"})
    assert hostile in " ".join(read.texts)


@pytest.mark.parametrize("control", [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))])
def test_controls_that_turn_the_direction_of_text_are_shown_and_do_nothing(control: str) -> None:
    life = Life().drafted(question=f"May {control}we?").submitted(seat("ana"), seat("bo")).vote("ana", REJECT)
    dossier = told(life)
    hostile = pages.Names(f"Main {control}12", f"{control}P-1", dict.fromkeys(names(dossier).people, f"A{control}na"))
    page = bytes(pages.dossier(dossier, digest_of(dossier), hostile).body).decode()
    shown = f"[U+{ord(control):04X}]"
    assert control not in page
    for said in (f"May {shown}we?", f"Main {shown}12 ({shown}P-1)", f"A{shown}na"):
        assert said in Read(page).text
    assert f"<title>Decision dossier: May {shown}we?</title>" in page


def test_names_and_texts_are_isolated_so_that_their_direction_turns_nothing_beside_them() -> None:
    right_to_left = "\u05d0\u05d1\u05d2 1"
    life = (
        Life()
        .drafted(question=right_to_left)
        .submitted(seat("ana"), seat("bo"))
        .vote("ana", REJECT, reason=right_to_left)
    )
    dossier = told(life)
    called = pages.Names(right_to_left, right_to_left, dict.fromkeys(names(dossier).people, right_to_left))
    page = bytes(pages.dossier(dossier, digest_of(dossier), called).body).decode()
    _, _, body = page.partition("</title>")
    assert body.count(f"<bdi>{right_to_left}</bdi>") == body.count(right_to_left) > 5


def test_the_same_ledger_and_names_give_the_same_page() -> None:
    assert page_of(eventful()) == page_of(eventful())


def test_an_erased_person_leaves_their_id_and_changes_nothing_else() -> None:
    page, erased = page_of(eventful()), page_of(eventful(), "bo")
    account_, person_ = (f"(no name) {str(each)[:8]}" for each in (account("bo"), person("bo")))
    assert "Bo" not in Read(erased).text.split()
    assert erased.replace(account_, "Bo").replace(person_, "Bo") == page


@pytest.mark.parametrize(
    ("life", "said"),
    [
        (Life().drafted(), "Not decided yet · draft"),
        (Life().drafted().submitted(seat("ana"), seat("bo")), "Not decided yet · open"),
    ],
)
def test_what_is_not_decided_says_so_at_the_top(life: Life, said: str) -> None:
    assert said in Read(page_of(life)).text


def test_a_dossier_of_many_votes_repeats_the_headings_of_its_tables_and_keeps_rows_together() -> None:
    people = ["ana", "bo", "cy"]
    life = Life().drafted(CASE).submitted(*map(seat, people))
    for turn in range(40):
        life.evidence(*([CASE, PLAN] if turn % 2 else [CASE])).vote("ana", REJECT)
    page = page_of(life)
    read = Read(page)
    assert len(told(life).votes) == 40
    assert [tag for tag, _ in read.elements].count("table") == [tag for tag, _ in read.elements].count("tbody")
    assert "thead { display: table-header-group; }" in page
    assert "tr { break-inside: avoid; }" in page


def test_an_unknown_time_zone_is_shown_as_utc() -> None:
    life = Life().drafted().submitted(seat("ana"), seat("bo"), time_zone="Nowhere/At_All")
    assert "2026-03-02 10:00 UTC" in Read(page_of(life)).text


def test_a_time_zone_without_a_name_is_shown_by_its_distance_from_utc() -> None:
    life = Life().drafted().submitted(seat("ana"), seat("bo"), time_zone="America/Sao_Paulo")
    assert "2026-03-02 07:00 UTC-03" in Read(page_of(life)).text


def test_the_page_of_a_decision_that_was_made_elsewhere_says_what_its_source_says() -> None:
    written = Written(DECISION, uuid5(PROJECT, "decision"))
    source = Source("gates.csv", "a" * 64, 7)
    day = date(2019, 5, 6)
    said = DecisionRecorded(PROJECT, PORTFOLIO, ReviewKind.GATE, "G1", day, "Council", Outcome.GO, source)
    written.write(said, MORNING, str(account("pia")))
    dossier = imported_dossier_of(written.recorded)
    known = pages.Names(None, None, {account("pia"): "Pia"})
    read = Read(bytes(pages.imported_dossier(dossier, digest_of(dossier), known).body).decode())
    assert "gate G1 go · 2019-05-06 Nobody voted on it here." in read.text
    assert "Source gates.csv, row 7" in read.text
    assert "Pia, 2026-03-02 08:00 UTC" in read.text
