"""What a run has shown, as JSON and for people."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.faults.checker import board_pairs, lost_doubled_misordered
from tests.faults.history import AGAIN, Operation
from tests.faults.recovery import (
    API_BOUND_S,
    BROKER_BOUND_S,
    HEALED_LAG_BOUND_S,
    POSTGRES_BOUND_S,
    STEADY_LAG_BOUND_S,
    api_recoveries,
    lags_after_healing,
    leader_recoveries,
    percentile,
    postgres_recoveries,
    steady_lags,
)
from tests.faults.round import Result


def of(result: Result) -> dict[str, Any]:
    """Everything that is to be known of a round, ready for JSON."""
    case, entries = result.case, result.case.entries
    recoveries = {
        "api_s": (api_recoveries(entries), API_BOUND_S),
        "broker_leader_s": (leader_recoveries(entries), BROKER_BOUND_S),
        "postgres_s": (postgres_recoveries(entries), POSTGRES_BOUND_S),
    }
    lags = {
        "steady_s": (steady_lags(entries), STEADY_LAG_BOUND_S),
        "after_healing_s": (lags_after_healing(entries), HEALED_LAG_BOUND_S),
    }
    return {
        "seed": result.plan.seed,
        "seconds": result.plan.seconds,
        "bug": result.plan.bug,
        "injections": dict(sorted(result.injections.items())),
        "injections_in_all": sum(result.injections.values()),
        "besides": dict(sorted(result.besides.items())),
        "commands": commands(list(case.operations.values())),
        "attempts": sum(len(each.invoked) for each in case.operations.values()),
        "events": {kind: len(rows.events) for kind, rows in case.evidence.ledgers.items()},
        "records": {name: len(records) for name, records in case.evidence.topics.items()},
        **lost_doubled_misordered(result.findings),
        "recovery": {
            name: {
                "times": len(times),
                "p50": percentile(times, 0.5),
                "longest": max(times, default=None),
                "bound": bound,
            }
            for name, (times, bound) in recoveries.items()
        },
        "lag": {
            name: {"samples": len(lags_), "p50": percentile(lags_, 0.5), "p99": percentile(lags_, 0.99), "bound": bound}
            for name, (lags_, bound) in lags.items()
        },
        "digests": {
            name: {"live": live.digest(), "replay": replay.digest()}
            for name, (live, replay) in board_pairs(case).items()
        },
        "restless": result.restless,
        "findings": [{"rule": finding.rule, "text": finding.text} for finding in result.findings],
    }


def text_of_all(reports: Sequence[dict[str, Any]]) -> str:
    """Several rounds in a few lines."""
    injections: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for each in reports:
        injections.update(each["injections"])
        answers.update(each["commands"])
    seconds = sum(each["seconds"] for each in reports)
    longest = {
        name: max((each["recovery"][name]["longest"] or 0 for each in reports), default=0)
        for name in reports[0]["recovery"]
    }
    found = {each["seed"]: len(each["findings"]) for each in reports if each["findings"]}
    lost = ", ".join(f"{name} {sum(each[name] for each in reports)}" for name in ("lost", "doubled", "misordered"))
    return "\n".join(
        [
            f"in all {len(reports)} rounds, {seconds / 60:.1f} minutes",
            f"injections  {sum(injections.values())}: {_listed(dict(sorted(injections.items())))}",
            f"commands    {_listed(dict(sorted(answers.items())))}",
            lost,
            "longest     " + ", ".join(f"{name.removesuffix('_s')} {value:.1f} s" for name, value in longest.items()),
            f"findings    {sum(found.values())}" + (f", by seed: {found}" if found else ""),
        ]
    )


def commands(operations: list[Operation]) -> dict[str, int]:
    """How many requests were answered how; what was left open at first counts by what it was told in the end."""
    counted: Counter[str] = Counter()
    for operation in operations:
        if not operation.invoked:
            continue
        definite = operation.definite
        if not definite:
            counted["read without answer" if operation.asked.key is None else "unknown"] += 1
            continue
        status = definite[0].status
        name = {200: "acknowledged", 201: "acknowledged", 412: "conflict"}.get(status or 0, "refused")
        counted["read" if operation.asked.key is None else name] += 1
        attempts = operation.answered.values()
        counted["unavailable at first"] += any(each.status in AGAIN for each in attempts)
        counted["unknown at first"] += any(each.status is None for each in attempts)
        # The answer that was kept is of an attempt before, and each of those was told that nothing was done.
        counted["unavailable, and done"] += definite[0].repeated and all(
            each.status in AGAIN for each in attempts if each.at < definite[0].at
        )
    return {name: count for name, count in sorted(counted.items()) if count}


def text(report: dict[str, Any], *, most_findings: int = 40) -> str:
    """The report for people."""

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} s"

    lines = [
        f"seed {report['seed']}, {report['seconds']:.0f} s"
        + (f", with the bug {report['bug']}" if report["bug"] else ""),
        f"injections  {report['injections_in_all']}: " + _listed(report["injections"]),
        f"besides     {_listed(report['besides']) or '-'}",
        f"commands    {_listed(report['commands'])}; {report['attempts']} requests",
        f"events      {_listed(report['events'])}; records {_listed(report['records'])}",
        f"lost {report['lost']}, doubled {report['doubled']}, misordered {report['misordered']}",
    ]
    for name, each in report["recovery"].items():
        over = "  OVER" if (each["longest"] or 0) > each["bound"] else ""
        lines.append(
            f"recovery    {name.removesuffix('_s')}: {each['times']} times, median {seconds(each['p50'])}, longest "
            f"{seconds(each['longest'])} (bound {each['bound']:.0f} s){over}"
        )
    for name, each in report["lag"].items():
        over = "  OVER" if (each["p99"] or 0) > each["bound"] else ""
        lines.append(
            f"lag         {name.removesuffix('_s')}: {each['samples']} samples, median {seconds(each['p50'])}, p99 "
            f"{seconds(each['p99'])} (bound {each['bound']:.0f} s){over}"
        )
    lines += [
        f"read model  {name}: live {each['live'][:16]} {'=' if each['live'] == each['replay'] else 'IS NOT'} "
        f"replay {each['replay'][:16]}"
        for name, each in report["digests"].items()
    ]
    rules = Counter(finding["rule"] for finding in report["findings"])
    lines.append(f"findings    {len(report['findings'])}" + (f": {_listed(rules)}" if rules else ""))
    lines += [f"  {finding['rule']}: {finding['text'][:400]}" for finding in report["findings"][:most_findings]]
    if len(report["findings"]) > most_findings:
        lines.append(f"  and {len(report['findings']) - most_findings} more")
    return "\n".join(lines)


def _listed(counts: Any) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
