"""The files of the profile ``observe`` fit each other, compose and the server's metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

_NAME = re.compile(r"\b((?:ragstack|process)_\w+)\b")
# What the collector counts in traces: calls, and seconds with the buckets of deploy/collector.yaml.
_SPANS = {"ragstack_spans_calls_total", "ragstack_spans_duration_seconds_bucket"}


@pytest.fixture(scope="module")
def deploy(repository: Path) -> Path:
    return repository / "deploy"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def compose(repository: Path) -> dict[str, Any]:
    return read(repository / "docker-compose.yml")["services"]


@pytest.fixture(scope="module")
def dashboard(deploy: Path) -> dict[str, Any]:
    return json.loads((deploy / "grafana" / "dashboards" / "ragstack.json").read_text("utf-8"))


def test_pipelines_name_what_is_declared(deploy: Path) -> None:
    config = read(deploy / "collector.yaml")
    bridges = set(config["connectors"])
    for pipeline in config["service"]["pipelines"].values():
        assert set(pipeline["receivers"]) <= set(config["receivers"]) | bridges
        assert set(pipeline["processors"]) <= set(config["processors"])
        assert set(pipeline["exporters"]) <= set(config["exporters"]) | bridges
        assert pipeline["processors"][0] == "memory_limiter"
    assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_every_address_is_that_of_a_service(deploy: Path, compose: dict[str, Any]) -> None:
    named = set()
    for path in (deploy / "collector.yaml", deploy / "prometheus.yaml"):
        named |= set(re.findall(r'targets: \["([a-z]+):\d+"\]', path.read_text("utf-8")))
    source = read(deploy / "grafana" / "provisioning" / "datasources" / "ragstack.yaml")
    named.add(source["datasources"][0]["url"].removeprefix("http://").partition(":")[0])
    assert named == {"server", "llama", "collector", "prometheus"}
    assert named <= set(compose)


def test_the_collector_listens_where_it_is_asked(deploy: Path, repository: Path) -> None:
    config = read(deploy / "collector.yaml")
    otlp = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    example = (repository / ".env.example").read_text("utf-8")
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:{otlp}" in example
    relayed = config["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    prometheus = read(deploy / "prometheus.yaml")["scrape_configs"]
    assert prometheus[0]["static_configs"][0]["targets"] == [f"collector:{relayed}"]
    assert prometheus[0]["honor_labels"] is True


def test_no_secret_is_written_out(deploy: Path) -> None:
    scrape = read(deploy / "collector.yaml")["receivers"]["prometheus"]["config"]["scrape_configs"]
    assert scrape[0]["authorization"]["credentials"] == "${env:RAGSTACK_API_KEY}"


def test_every_alert_says_what_to_do(deploy: Path) -> None:
    (group,) = read(deploy / "alerts.yaml")["groups"]
    for rule in group["rules"]:
        assert set(rule["annotations"]) == {"summary", "mend"}, rule["alert"]


def test_the_dashboard_is_one_that_grafana_reads(
    deploy: Path, dashboard: dict[str, Any], compose: dict[str, Any]
) -> None:
    provisioned = deploy / "grafana" / "provisioning"
    source = read(provisioned / "datasources" / "ragstack.yaml")["datasources"][0]["uid"]
    path = read(provisioned / "dashboards" / "ragstack.yaml")["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/dashboards:{path}:ro" in compose["grafana"]["volumes"]
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{path}/ragstack.json"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert all(target["datasource"]["uid"] == source for target in panel["targets"])


def test_no_two_panels_lie_on_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def asked(deploy: Path, dashboard: dict[str, Any]) -> set[str]:
    """The metrics that dashboard and alerts ask for."""
    exprs = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    exprs += [rule["expr"] for rule in read(deploy / "alerts.yaml")["groups"][0]["rules"]]
    return {name for expr in exprs for name in _NAME.findall(expr)}


def test_what_is_asked_for_is_what_the_server_tells(
    deploy: Path, dashboard: dict[str, Any]
) -> None:
    pytest.importorskip("prometheus_client", reason='pip install "ragstack[serve]"')
    metrics = pytest.importorskip(
        "ragstack_apps.server.guard.metrics", reason="the server has no metrics yet"
    )
    told = set()
    for family in metrics.Metrics().registry.collect():
        told.add(family.name)
        told |= {f"{family.name}_total", f"{family.name}_bucket"}
    assert asked(deploy, dashboard) - told - _SPANS == set()


def test_what_is_counted_in_traces(deploy: Path, dashboard: dict[str, Any]) -> None:
    spans = read(deploy / "collector.yaml")["connectors"]["span_metrics"]
    assert spans["namespace"].replace(".", "_") == "ragstack_spans"
    assert spans["histogram"]["unit"] == "s"
    labels = {each["name"].replace(".", "_") for each in spans["dimensions"]}
    exprs = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    assert labels <= set(re.findall(r"gen_ai_\w+", " ".join(exprs)))
