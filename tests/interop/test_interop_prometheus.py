"""Prometheus's own tools read what is exposed, and what the documents and the dashboard ask for."""

from __future__ import annotations

import json
import re
import textwrap
import urllib.request
from pathlib import Path

from mailfw.testing.process import HOST, ServerProcess

ROOT = Path(__file__).resolve().parents[2]


def test_promtoolFindsNothingWrongWithWhatIsExposed(run, tmp_path):
    server = ServerProcess(tmp_path / "data", services=("smtp", "imap", "metrics"))
    server.start()
    try:
        with urllib.request.urlopen(f"http://{HOST}:{server.ports['metrics']}/metrics", timeout=120) as answer:
            exposed = answer.read()
    finally:
        server.stop()
    assert b"mailfw_messages_total" in exposed
    assert run("promtool", "check", "metrics", stdin=exposed) == b""


def test_theAlertRulesOfTheDocumentAreRules(run, tmp_path):
    text = (ROOT / "docs" / "monitoring.md").read_text()
    [rules] = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "alert:" in block]
    (tmp_path / "rules.yml").write_text(rules)
    assert b"rules found" in run("promtool", "check", "rules", tmp_path / "rules.yml")


def test_theDashboardsQuestionsAreExpressions(run, tmp_path):
    dashboard = json.loads((ROOT / "etc" / "mailfw-grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    rules = "groups:\n- name: dashboard\n  rules:\n"
    for number, expression in enumerate(asked):
        spelt = expression.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*")
        rules += textwrap.indent(f"- record: panel:{number}\n  expr: {json.dumps(spelt)}\n", "  ")
    (tmp_path / "rules.yml").write_text(rules)
    assert b"rules found" in run("promtool", "check", "rules", tmp_path / "rules.yml")
