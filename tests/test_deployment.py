"""compose.yaml, the Dockerfile and deploy/nginx.conf agree with each other, with the settings and their formats."""

import re
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings.suggestions import generic_names
from app.version import VERSION
from tests.settings.conftest import NEEDED, load
from tests.settings.naming import generic

ROOT = Path(__file__).parent.parent
FILE = ROOT / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
SERVING = sorted(name for name in OURS if name != "simulator")
REPLICAS = sorted(name for name in SERVICES if name.startswith("callback-"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
NGINX = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")


def environment(service: str, more_proxies: str = "") -> dict[str, str]:
    """Return the environment of a service if only the required settings are set, and optionally more proxies."""
    variables = SERVICES[service].get("environment", {})
    filled = {name: NEEDED[name] if value is None else value for name, value in variables.items()}
    added = f",{more_proxies}" if more_proxies else ""
    return {name: value.replace("${TRUSTED_PROXIES:+,$TRUSTED_PROXIES}", added) for name, value in filled.items()}


def test_it_is_valid_by_the_compose_specification() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    checked = subprocess.run(checker, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_variable_in_it_is_a_setting() -> None:
    names = {name for service in OURS for name in SERVICES[service].get("environment", {})}
    names |= set(re.findall(r"\$\{?([A-Z_]+)", re.sub(r"^\s*#.*", "", FILE.read_text(encoding="utf-8"), flags=re.M)))
    assert len(names) > 5
    assert {generic(name) for name in names} <= set(generic_names())


def test_it_requires_only_the_required_settings() -> None:
    assert {name for name, value in SERVICES["callback"]["environment"].items() if value is None} == set(NEEDED)


@pytest.mark.parametrize("service", SERVING)
def test_each_service_starts_with_its_settings(service: str) -> None:
    settings = load({"DATABASE_URL": "sqlite:////data/callbacks.db"} | environment(service))
    assert settings.database_url.startswith("postgresql" if service in REPLICAS else "sqlite")


def test_ports_are_open_only_to_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports)) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("service", OURS)
def test_a_service_has_no_needless_permissions(service: str) -> None:
    assert SERVICES[service]["read_only"] is True
    assert SERVICES[service]["cap_drop"] == ["ALL"]


def test_three_replicas_trust_the_proxy_and_nginx_knows_all_three() -> None:
    assert len(REPLICAS) == 3
    proxy = SERVICES["proxy"]["networks"]["inside"]["ipv4_address"]
    servers = re.findall(r"^\s*server (\S+):8000 ", NGINX, re.MULTILINE)
    assert servers == REPLICAS
    inside = ip_network(COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"])
    for replica in REPLICAS:
        trusted = load(environment(replica)).trusted_proxies
        assert any(ip_address(proxy) in network for network in trusted)
        assert not any(ip_address(SERVICES[replica]["networks"]["inside"]["ipv4_address"]) in one for one in trusted)
        assert ip_address(SERVICES[replica]["networks"]["inside"]["ipv4_address"]) in inside


@pytest.mark.parametrize("service", ["callback", *REPLICAS])
def test_more_proxies_are_trusted_in_addition_to_those_of_the_file(service: str) -> None:
    own, more = load(environment(service)).trusted_proxies, ip_network("203.0.113.0/24")
    assert own
    assert set(load(environment(service, str(more))).trusted_proxies) == {*own, more}


@pytest.mark.parametrize("service", SERVICES)
def test_the_log_of_a_service_is_rotated(service: str) -> None:
    assert SERVICES[service]["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


def test_nginx_does_not_limit_the_web_server_of_this_machine() -> None:
    gateway = COMPOSE["networks"]["front"]["ipam"]["config"][0]["gateway"]
    assert re.search(rf'^ *{re.escape(gateway)} "";$', NGINX, re.MULTILINE)


def test_a_container_has_enough_time_to_stop() -> None:
    assert all(SERVICES[service]["stop_grace_period"] == "15s" for service in SERVING if service != "demo")


def test_the_image_is_labelled_with_its_version() -> None:
    assert f"ARG VERSION={VERSION}\n" in DOCKERFILE
    assert 'org.opencontainers.image.version="${VERSION}"' in DOCKERFILE


def test_the_last_stage_runs_unprivileged_with_one_volume_for_data() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert re.findall(r"^VOLUME (.*)$", last, re.MULTILINE) == ["/data"]
    assert "pip" not in last
    for instruction in ("ENTRYPOINT", "CMD"):
        assert re.search(rf"^{instruction} \[", last, re.MULTILINE), "a shell would not forward SIGTERM"


def test_only_the_files_of_the_image_are_sent_to_the_builder() -> None:
    first, *others = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    copied = {
        path for paths in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for path in paths.split()
    }
    assert copied == {line.removeprefix("!") for line in others if line.startswith("!")}
