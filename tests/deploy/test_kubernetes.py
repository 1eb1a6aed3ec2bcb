"""deploy/kubernetes: by Kubernetes' own schemas, and by what the service does at a SIGTERM."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from sse_push.cli.main import main
from sse_push.handlers.app import build_app
from sse_push.handlers.http.server import UNANSWERED_REQUESTS_S
from sse_push.handlers.ndjson import LINGER_S
from sse_push.service.addresses import parse_network
from sse_push.service.group_chat.bullmq_worker import SHUTDOWN_JOBS_S
from sse_push.service.settings import load_settings
from tests.conftest import SettingsFactory
from tests.deploy.settings import AFTER_A_DRAIN_S, DEPLOY, settings_of

FOLDER = DEPLOY / "kubernetes"
OLDEST = "1.30"  # the first with preStop's sleep on by default
DOCUMENTS: list[dict[str, Any]] = [
    document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]
NODES, WORKERS = [document for document in DOCUMENTS if document["kind"] == "Deployment"]
BY_KIND = {document["kind"]: document for document in DOCUMENTS if document is not WORKERS}
POD, WORKER = NODES["spec"]["template"], WORKERS["spec"]["template"]
[CONTAINER] = POD["spec"]["containers"]
[WORKING] = WORKER["spec"]["containers"]


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: f"{document['kind']} {document['metadata']['name']}"
)
def test_document_is_what_kubernetes_understands(document: dict[str, Any], version: str) -> None:
    assert kubernetes_validate.validate(document, version, strict=True)


def test_schemas_find_a_fault() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**BY_KIND["Service"], "specs": {}}, OLDEST, strict=True)


def test_all_are_of_one_namespace_and_one_name() -> None:
    for document in DOCUMENTS:
        assert document["metadata"]["name"] == ("sse-push-worker" if document is WORKERS else "sse-push")
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "sse-push"


def test_pods_are_those_that_the_others_mean() -> None:
    labels = POD["metadata"]["labels"]
    assert BY_KIND["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert BY_KIND["Service"]["spec"]["selector"] == labels
    assert BY_KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    [spread] = POD["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    target = BY_KIND["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", BY_KIND["Deployment"]["metadata"]["name"])
    sources = [next(iter(source.values()))["name"] for source in CONTAINER["envFrom"]]
    assert sources == [BY_KIND[kind]["metadata"]["name"] for kind in ("ConfigMap", "Secret")]


def test_settings_can_be_and_leave_time_for_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of({**BY_KIND["ConfigMap"]["data"], **BY_KIND["Secret"]["stringData"]}, monkeypatch)
    assert settings.database_url.get_secret_value().startswith("postgresql:")
    stopping = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = POD["spec"]["terminationGracePeriodSeconds"]
    assert grace >= stopping + settings.shutdown_timeout_s + AFTER_A_DRAIN_S
    assert AFTER_A_DRAIN_S >= LINGER_S + UNANSWERED_REQUESTS_S


def test_no_network_of_many_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of({**BY_KIND["ConfigMap"]["data"], **BY_KIND["Secret"]["stringData"]}, monkeypatch)
    for network in map(parse_network, settings.trusted_proxies):
        assert network.num_addresses <= 256


def test_probes_ask_what_is_there(settings_for: SettingsFactory) -> None:
    paths = {resource.canonical for resource in build_app(settings_for()).router.resources()}
    [port] = CONTAINER["ports"]
    for name, path in {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}.items():
        probe = CONTAINER[f"{name}Probe"]["httpGet"]
        assert probe == {"path": path, "port": port["name"]}
        assert path in paths


def test_readiness_is_lost_before_streams_are_refused() -> None:
    """The endpoint goes when the pod is deleted; the sleep is for that to be known everywhere."""
    assert (
        CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"] >= CONTAINER["readinessProbe"]["periodSeconds"]
    )


def test_workers_are_not_taken_for_nodes() -> None:
    labels = WORKER["metadata"]["labels"]
    assert WORKERS["spec"]["selector"]["matchLabels"] == labels
    for chosen in (BY_KIND["Service"]["spec"]["selector"], NODES["spec"]["selector"]["matchLabels"]):
        assert not chosen.items() <= labels.items()


def test_worker_is_one_with_settings_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WORKING["image"] == CONTAINER["image"]
    assert WORKING["args"] == ["worker"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*WORKING["args"], "--help"])
    secrets, config = (BY_KIND[kind] for kind in ("Secret", "ConfigMap"))
    [source] = WORKING["envFrom"]
    assert source["configMapRef"]["name"] == config["metadata"]["name"]
    keys = [entry["valueFrom"]["secretKeyRef"] for entry in WORKING["env"]]
    assert [entry["name"] for entry in WORKING["env"]] == [key["key"] for key in keys]
    assert {key["name"] for key in keys} == {secrets["metadata"]["name"]}
    given = {key["key"]: secrets["stringData"][key["key"]] for key in keys}
    assert not any("JWT" in name or "DATABASE" in name for name in given), (
        "it needs neither tokens nor accounts"
    )
    for name, value in {**config["data"], **given}.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(auth_mode="demo", host="127.0.0.1")  # as cli/worker.py does
    assert settings.on_redis and settings.ai_worker_concurrency > 0
    assert WORKER["spec"]["terminationGracePeriodSeconds"] >= SHUTDOWN_JOBS_S + AFTER_A_DRAIN_S


@pytest.mark.parametrize("template", [POD, WORKER], ids=["node", "worker"])
def test_pod_keeps_to_the_restricted_standard(template: dict[str, Any]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    [of_it] = template["spec"]["containers"]
    pod, container = template["spec"]["securityContext"], of_it["securityContext"]
    assert pod["runAsNonRoot"] and pod["runAsUser"] == 10001
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True
    assert template["spec"]["automountServiceAccountToken"] is False
