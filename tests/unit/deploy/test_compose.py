"""docker-compose.yml against the specification's own schema, and what this project asks of it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

ENVIRON = {"RAGSTACK_API_KEY": "k" * 32}
ALL = ("gpu", "observe")
_PINNED = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}")
_OWN = ("ragstack:", "ragstack-chroma:")
# No shell in the image; Prometheus watches it. A service that runs to its end has no health.
WITHOUT_CHECK = {"collector", "model"}


@pytest.fixture(scope="module")
def stack(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("stack")


@pytest.fixture(scope="module")
def compose(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "docker-compose.yml").read_text("utf-8"))


@pytest.fixture(scope="module")
def services(stack: ModuleType) -> dict[str, dict[str, Any]]:
    return stack.read(ENVIRON, profiles=ALL)


@pytest.fixture(scope="module")
def validator(repository: Path) -> jsonschema.protocols.Validator:
    path = repository / "tests" / "data" / "compose-spec" / "compose-spec.json"
    schema = json.loads(path.read_text("utf-8"))
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def faults(validator: jsonschema.protocols.Validator, data: Mapping[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)]


def test_the_file_is_what_the_specification_says(validator, compose) -> None:
    assert faults(validator, compose) == []


def test_it_is_so_with_every_variable_filled_in(validator, compose, stack) -> None:
    assert faults(validator, stack.interpolated(compose, ENVIRON)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"comand": ["x"]},
        {"mem_limit": ["6g"]},
        {"healthcheck": {"tests": ["CMD"]}},
        {"depends_on": {"chroma": {"condition": "healthy"}}},
    ],
)
def test_the_schema_refuses_what_is_wrong(validator, compose, change) -> None:
    server = {**compose["services"]["server"], **change}
    assert faults(validator, {**compose, "services": {"server": server}})


def test_the_services_of_each_profile(stack) -> None:
    assert set(stack.read(ENVIRON)) == {"server", "chat", "chroma"}
    assert set(stack.read(ENVIRON, profiles=["gpu"])) >= {"llama", "model"}
    assert set(stack.read(ENVIRON, profiles=["observe"])) >= {"collector", "prometheus", "grafana"}


def test_every_image_is_pinned(services) -> None:
    for name, service in services.items():
        if service["image"].startswith(_OWN):
            assert service["build"]["context"] == "."
            assert not service["image"].endswith(":latest"), name
        else:
            assert _PINNED.fullmatch(service["image"]), f"{name}: {service['image']}"


def test_our_image_has_our_version(services, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    assert services["server"]["image"] == f"ragstack:{project['version']}"
    assert services["chat"]["image"] == services["model"]["image"] == services["server"]["image"]


def test_nothing_runs_as_root_or_may_become_it(services) -> None:
    for name, service in services.items():
        user, _, group = str(service["user"]).partition(":")
        assert int(user) > 0 and int(group) > 0, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "pid", "network_mode"} & set(service), name


def test_every_root_is_read_only(services) -> None:
    assert [name for name, service in services.items() if not service.get("read_only")] == []


def test_every_service_has_limits(services) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["pids_limit"] > 0, name


def test_every_service_says_how_it_is(services, stack) -> None:
    for name, service in services.items():
        check = service["healthcheck"]
        if name in WITHOUT_CHECK:
            assert check == {"disable": True}
            continue
        assert check["test"][0] == "CMD", f"{name}: a shell of the image is asked for"
        for key in ("interval", "timeout", "start_period", "start_interval"):
            assert stack.seconds(check[key]) > 0
        assert check["retries"] >= 3


def test_who_waits_for_whom(services, stack) -> None:
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert needed not in WITHOUT_CHECK, f"{name} waits for {needed}"
    found = stack.order(services)
    assert found.index("chroma") < found.index("server") < found.index("chat")
    with pytest.raises(stack.StackFailed, match="a -> b -> a"):
        stack.order({"a": {"depends_on": {"b": {}}}, "b": {"depends_on": {"a": {}}}})


def test_ports_are_open_on_this_machine_alone(services, stack) -> None:
    published = {n: s["ports"] for n, s in services.items() if "ports" in s}
    assert set(published) == {"server", "chat", "grafana"}
    for name, (port,) in published.items():
        assert port.startswith("127.0.0.1:"), name
    opened = stack.read({**ENVIRON, "RAGSTACK_BIND": "10.0.0.1", "RAGSTACK_PORT": "80"})
    assert opened["server"]["ports"] == ["10.0.0.1:80:8000"]


def test_who_asks_nobody_is_reached_by_nobody(services, compose) -> None:
    assert compose["networks"]["inner"]["internal"] is True
    for name in ("chroma", "llama", "collector", "prometheus"):
        assert services[name]["networks"] == ["inner"], name


def test_every_volume_is_declared_and_used(services, compose, repository: Path) -> None:
    mounts = [each for service in services.values() for each in service.get("volumes", ())]
    named = {each.split(":")[0] for each in mounts if not each.startswith(".")}
    assert named == set(compose["volumes"])
    for each in mounts:
        if each.startswith("."):
            source, _, mode = each.split(":")
            assert source == "./documents" or (repository / source).exists(), each
            assert mode == "ro"


def test_a_key_has_to_be_chosen(stack) -> None:
    with pytest.raises(stack.StackFailed, match=r"RAGSTACK_API_KEY is not set: .*openssl"):
        stack.read({"RAGSTACK_API_KEY": ""})


def test_every_variable_is_explained(repository: Path, compose, stack) -> None:
    example = (repository / ".env.example").read_text("utf-8")
    told = set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", example, re.M))
    text = (repository / "docker-compose.yml").read_text("utf-8")
    read = set(re.findall(r"\$\{(\w+)", text))
    passed = {
        name
        for service in compose["services"].values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    assert read - told == set()
    assert told - read - passed == {"COMPOSE_PROFILES"}


def test_the_example_has_no_secret_and_the_file_is_kept_out(repository: Path) -> None:
    lines = (repository / ".env.example").read_text("utf-8").splitlines()
    for line in lines:
        if re.match(r"#? ?\w*(KEY|PASSWORD|TOKEN)=", line):
            assert line.endswith("="), line
    assert ".env" in (repository / ".gitignore").read_text("utf-8").splitlines()
    assert "**/.env" in (repository / ".dockerignore").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("text", "found"),
    [("${A:-x}", "1"), ("${B:-x}", "x"), ("${B-x}/${A}", "x/1"), ("$A$$A", "1$A"), ("${B}", "")],
)
def test_variables(stack, text: str, found: str) -> None:
    assert stack.interpolated([{"k": text}], {"A": "1"}) == [{"k": found}]
    with pytest.raises(stack.StackFailed, match="C is not set: no"):
        stack.interpolated("${C:?no}", {"A": "1"})


@pytest.mark.parametrize(("text", "found"), [("1m30s", 90), ("2h", 7200), ("5s", 5)])
def test_durations(stack, text: str, found: float) -> None:
    assert stack.seconds(text) == found
    with pytest.raises(stack.StackFailed, match="a duration is"):
        stack.seconds("soon")


def test_places_of_containers_become_places_here(stack, services, tmp_path: Path) -> None:
    running = stack.Running(services, tmp_path, {**ENVIRON, "RAGSTACK_GENERATE__USE": "scripted"})
    found = running.environment("server")
    port = running.ports["chroma", 8000]
    assert found["RAGSTACK_INDEX__VECTOR__URL"] == f"http://127.0.0.1:{port}"
    assert found["RAGSTACK_CACHE"] == str(tmp_path / "volumes" / "cache")
    assert found["RAGSTACK_GENERATE__USE"] == "scripted"
    bound = stack.Running(stack.read({**ENVIRON, "DOCUMENTS": str(tmp_path)}), tmp_path, {})
    assert bound._words("server", ["ls", "/documents/a"]) == ["ls", str(tmp_path / "a")]
    assert "RAGSTACK_GENERATE__MODEL" not in found  # a name alone is passed on where it is set
    command = running.command("server")
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--base") + 1] == str(tmp_path / "volumes" / "base")
    assert command[command.index("--port") + 1] == str(running.ports["server", 8000])
    assert running.command("chroma")[:2] == ["chroma", "run"]


def test_a_service_that_ends_is_told_with_its_log(stack, tmp_path: Path) -> None:
    times = {"timeout": "5s", "start_period": "9s", "start_interval": "1s"}
    check = {"test": ["CMD", "false"], **times}
    service = {"command": ["sh", "-c", "echo no disk; exit 3"], "healthcheck": check}
    running = stack.Running({"a": service}, tmp_path, {})
    with pytest.raises(stack.StackFailed, match=r"a ended with 3\nno disk"):
        running.start()
    missing = stack.Running({"a": {**service, "command": ["no-such-program"]}}, tmp_path, {})
    with pytest.raises(stack.StackFailed, match="'no-such-program' is not installed here"):
        missing.start()
