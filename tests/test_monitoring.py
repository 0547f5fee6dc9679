"""The dashboard and the rules of `docs/monitoring.md` ask for figures that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from mailfw.app.exposition import METRICS

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"\b(?:mailfw|process)_\w+")
SELECTED = re.compile(r"(?P<name>\b(?:mailfw|process)_\w+)(?:\{(?P<labels>[^}]*)\})?")
BY = re.compile(r"\bby \(([^)]*)\)")


def names() -> dict[str, tuple[str, ...]]:
    """Every name that can be asked for, with its labels."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    found: dict[str, tuple[str, ...]] = {sample.name: () for family in registry.collect() for sample in family.samples}
    for metric in METRICS:
        if metric.kind == "histogram":
            found[f"{metric.name}_bucket"] = (*metric.labels, "le")
            found[f"{metric.name}_count"] = found[f"{metric.name}_sum"] = metric.labels
        else:
            found[metric.name] = metric.labels
    return found


def fault(expression: str) -> str:
    """What an expression asks for in vain; empty: nothing."""
    known = names()
    asked = list(SELECTED.finditer(expression))
    if not asked and "up{" not in expression:
        return f"nothing of ours in {expression}"
    labels: set[str] = {"instance", "job"}
    for each in asked:
        if each["name"] not in known:
            return f"there is no {each['name']}"
        labels.update(known[each["name"]])
        for label in re.findall(r"(\w+)\s*[=!]~?", each["labels"] or ""):
            if label not in {"instance", "job", *known[each["name"]]}:
                return f"{each['name']} has no label {label}"
    for group in BY.findall(expression):
        for label in group.split(","):
            if label.strip() not in labels:
                return f"nothing there has a label {label.strip()}"
    return ""


def panels() -> list[Any]:
    dashboard = json.loads((ROOT / "etc" / "mailfw-grafana.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_thePanelsShowWhatThereIs(panel: Any) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert fault(target["expr"]) == ""
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert label in target["expr"]


def test_theDashboardsVariablesComeFromAFigureThatIsThere() -> None:
    dashboard = json.loads((ROOT / "etc" / "mailfw-grafana.json").read_text())
    asked = [each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    assert [name for query in asked for name in NAME.findall(query)] == ["mailfw_ready", "mailfw_ready"]


def rules() -> list[str]:
    return re.findall(r"^ +expr: (.*)$", (ROOT / "docs" / "monitoring.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("expression", rules())
def test_theAlertRulesAskForWhatThereIs(expression: str) -> None:
    assert fault(expression) == ""


def test_thereAreRules() -> None:
    assert len(rules()) > 8


@pytest.mark.parametrize(
    "expression, why",
    [
        ("rate(mailfw_mesages_total[5m])", "there is no mailfw_mesages_total"),
        ("mailfw_messages_total{outcom='x'}", "mailfw_messages_total has no label outcom"),
        ("sum by (le, hook) (rate(mailfw_command_duration_seconds_bucket[5m]))", "nothing there has a label hook"),
    ],
)
def test_whatIsNotThereIsNoticed(expression: str, why: str) -> None:
    assert fault(expression) == why


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_namesAreAsPrometheusWantsThem(metric: Any) -> None:
    assert re.fullmatch(r"mailfw_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(milliseconds|minutes|kilobytes|mib|percent)(_|$)", metric.name)
    if metric.kind == "histogram":
        assert metric.name.endswith("_seconds")
    assert metric.help.endswith(".")
    assert len(metric.labels) <= 2
