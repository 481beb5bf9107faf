"""Alarms, runbook and dashboard speak of figures and commands that exist, and each alarm has been tried."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from gov.cli.app import app
from govevents.registry import SERVICES
from govkernel.metrics import Metrics

ROOT: Final = Path(__file__).parents[2]
RULES_FILE: Final = ROOT / "deploy/prometheus/rules.yml"
TESTS_FILE: Final = ROOT / "deploy/prometheus/rules_test.yml"
RULES: Final = {
    rule["alert"]: rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]
}
TRIED: Final[list[dict[str, Any]]] = yaml.safe_load(TESTS_FILE.read_text())["tests"]
SCRAPED: Final = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
DASHBOARD: Final = json.loads((ROOT / "deploy/grafana/gatehouse.json").read_text())
RUNBOOK: Final = ROOT / "docs/runbook"
PAGES: Final = sorted(path for path in RUNBOOK.glob("*.md") if path.name != "README.md")

GIVEN_BY_PROMETHEUS: Final = frozenset({"job", "service", "instance", "le"})
METRIC: Final = re.compile(r"\b((?:gov|process)_[a-z_]+)(?:\{([^}]*)\})?")
COMMAND: Final = re.compile(r"^gov .+$|`(gov [^`]+)`", re.MULTILINE)


def samples() -> dict[str, frozenset[str]]:
    """Every series that a service shows, with its labels."""
    registry = Metrics("testing").registry
    found: dict[str, frozenset[str]] = {}
    for collector in registry._collector_to_names:
        for family in collector.describe() if hasattr(collector, "describe") else collector.collect():
            labels = frozenset(getattr(collector, "_labelnames", ()))
            endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {f"{family.name}{ending}": labels for ending in endings}
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES.values())
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for test in TRIED:
        yield from (series["series"] for series in test["input_series"])


def test_every_figure_that_is_spoken_of_is_one_that_services_show_with_these_labels() -> None:
    shown = samples()
    for expression in expressions():
        for name, selector in METRIC.findall(expression):
            assert name in shown, f"{name} in {expression}"
            labels = set(re.findall(r"(\w+)\s*=~?", selector))
            assert labels <= shown[name] | GIVEN_BY_PROMETHEUS, f"{name}{{{selector}}} has {sorted(shown[name])}"


def test_every_alarm_says_how_urgent_it_is_and_where_to_read_on() -> None:
    for name, rule in RULES.items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"]["summary"], name
        page = ROOT / rule["annotations"]["runbook"]
        assert page in PAGES, f"{name}: {page} is missing"
        assert page.read_text("utf-8").startswith(f"# {name}\n")


def test_every_page_of_the_runbook_has_its_alarm_and_says_all_that_an_operator_needs() -> None:
    of_alarms = {ROOT / rule["annotations"]["runbook"] for rule in RULES.values()}
    assert set(PAGES) == of_alarms
    for page in PAGES:
        text = page.read_text("utf-8")
        for part in ("**What people notice.**", "**See the cause.**", "**Do", "**Over when**"):
            assert part in text, f"{page.name} lacks {part}"


def test_the_index_of_the_runbook_is_complete_and_agrees() -> None:
    listed = re.findall(
        r"^\| \[(\w+)\]\(([\w-]+\.md)\) \| (\w+) \|", (RUNBOOK / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert listed == [
        (name, Path(rule["annotations"]["runbook"]).name, rule["labels"]["severity"]) for name, rule in RULES.items()
    ]


def test_links_between_pages_lead_somewhere() -> None:
    for page in (*PAGES, RUNBOOK / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def commands() -> list[tuple[str, str]]:
    """Every command of every page, with the page's name."""
    pages = {page.name: page.read_text("utf-8") for page in (*PAGES, RUNBOOK / "README.md")}
    return [(name, match[1] or match[0]) for name, text in pages.items() for match in COMMAND.finditer(text)]


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_of_the_runbook_exists(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    here: Any = typer.main.get_command(app)
    path = "gov"
    while hasattr(here, "commands") and words and not words[0].startswith("-"):
        path += f" {words[0]}"
        assert words[0] in here.commands, f"{page}: there is no `{path}`"
        here = here.commands[words.pop(0)]
    options = {option for parameter in here.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= options, f"{page}: `{command}`"


def test_every_alarm_is_tried_where_it_speaks_and_where_it_keeps_quiet() -> None:
    tried: dict[str, set[bool]] = {}
    for test in TRIED:
        for case in test["alert_rule_test"]:
            tried.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    assert tried == {name: {True, False} for name in RULES}


def test_prometheus_is_told_of_every_service() -> None:
    (job,) = SCRAPED
    assert job["job_name"] == "gatehouse"
    assert [(each["targets"], each["labels"]) for each in job["static_configs"]] == [
        ([f"{service}:8000"], {"service": service}) for service in SERVICES
    ]


def test_the_dashboards_panels_are_of_the_chosen_service_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert all('service=~"$service"' in target["expr"] for target in panel.get("targets", ())), panel["title"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed; it comes with Prometheus")
    return found


def test_prometheus_takes_the_rules_and_its_settings(promtool: str) -> None:
    for what, file in (("rules", RULES_FILE), ("config", RULES_FILE.with_name("prometheus.yml"))):
        checked = subprocess.run([promtool, "check", what, file], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alarm_speaks_and_keeps_quiet_when_it_should(promtool: str) -> None:
    tried = subprocess.run([promtool, "test", "rules", TESTS_FILE], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stdout + tried.stderr
