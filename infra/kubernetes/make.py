"""The manifests of infra/kubernetes, made from what differs between services: `python infra/kubernetes/make.py` writes parvis.yaml anew."""

import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
IMAGE = "registry.example.org/parvis:0.1.0"
PORT, METRICS_PORT, PROXY_METRICS_PORT = 8080, 9090, 8404
WORKERS = {"files": 2, "calendar": 2}
REPLICAS = 2
"""So that one may go: a node is emptied, an upgrade rolls."""
SERVICES = ("directory", "files", "calendar", "messaging", "billing", "portal")
ENVIRONMENT = {
    "PARVIS_PUBLIC_URL": "https://parvis.example.org",
    "PARVIS_TRUSTED_PROXIES": '["10.0.0.0/8"]',
    "PARVIS_AUDIT_ANCHORS": "/anchors",
    "PARVIS_DIRECTORY_LOCAL_SIGN_IN": "false",  # "true" is the only way in until ProConnect is: docs/operating-begin.md
    "PARVIS_DATABASE_URL": "postgresql://postgres.example.org/parvis?sslmode=require",
    "PARVIS_DATABASE_PASSWORD_FILE": "/run/secrets/parvis/database-password",
    "PARVIS_KAFKA_BOOTSTRAP_SERVERS": "kafka-1.example.org:9093,kafka-2.example.org:9093,kafka-3.example.org:9093",
    "PARVIS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "PARVIS_KAFKA_USERNAME": "parvis",
    "PARVIS_KAFKA_PASSWORD_FILE": "/run/secrets/parvis/kafka-password",
    "PARVIS_FILES_BLOBS_URL": "https://parvis@s3.example.org/parvis",
    "PARVIS_FILES_BLOBS_SECRET_FILE": "/run/secrets/parvis/blobs-secret",
    "PARVIS_PORTAL_SERVICES": "{" + ", ".join(f'"{name}": "http://{name}:{PORT}"' for name in SERVICES[:-1]) + "}",
    "PARVIS_PORTAL_BLOBS_ORIGIN": "https://s3.example.org",
}
ADMINISTRATION = {
    "PARVIS_DATABASE_ADMIN_URL": "postgresql://postgres@postgres.example.org/parvis?sslmode=require",
    "PARVIS_DATABASE_ADMIN_PASSWORD_FILE": "/run/secrets/parvis-admin/postgres-password",
}
"""Of `parvis migrate` alone."""
WATCHER = {"parvis/scrapes": "true"}
"""The label of the namespace from which Prometheus reads figures."""
NOBODY = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
UPSTREAMS = {name: f"{name}:{PORT}" for name in SERVICES} | {"homeserver": "synapse:8008", "blobs": "s3.example.org:443"}
OF_ONE = {"messaging": {
    "PARVIS_MESSAGING_SERVER_NAME": "parvis.example.org",
    "PARVIS_MESSAGING_HOMESERVER_URL": "http://synapse:8008",
    "PARVIS_MESSAGING_REGISTRATION_FILE": "/run/secrets/homeserver/registration.json",
}}  # fmt: skip
"""What one service alone is told."""


def labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "parvis", "app.kubernetes.io/name": name}


def thing(version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels(name)} | ({} if kind == "Namespace" else {"namespace": "parvis"})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def container(command: list[str], **more: Any) -> dict[str, Any]:
    return {
        "name": "parvis", "image": IMAGE, "args": command, "securityContext": LOCKED,
        "envFrom": [{"configMapRef": {"name": "parvis"}}],
        "resources": {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}},
        **more,
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            # the folder, not single files: what is mounted by `subPath` is never renewed
            {"name": "secrets", "mountPath": "/run/secrets/parvis", "readOnly": True},
            *more.get("volumeMounts", []),
        ],
    }  # fmt: skip


def pod(name: str, one: dict[str, Any], volumes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    spec = {
        "serviceAccountName": "parvis", "automountServiceAccountToken": False, "enableServiceLinks": False, "securityContext": NOBODY,
        "containers": [one],
        "volumes": [
            {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            {"name": "secrets", "secret": {"secretName": "parvis", "defaultMode": 0o440}}, *volumes,
        ],
        **more,
    }  # fmt: skip
    return {"metadata": {"labels": labels(name)}, "spec": spec}


def metrics_ports(workers: int) -> list[dict[str, Any]]:
    """Each process says figures of its own, on the port that follows."""
    return [{"name": f"metrics-{n + 1}" if n else "metrics", "containerPort": METRICS_PORT + n} for n in range(workers)]


def scraped(port: int) -> dict[str, str]:
    """As many a Prometheus finds pods; one that looks for ports called `metrics…` finds every process of them."""
    return {"prometheus.io/scrape": "true", "prometheus.io/port": str(port), "prometheus.io/path": "/metrics"}


def service_of(name: str) -> list[dict[str, Any]]:
    workers = WORKERS.get(name, 1)
    knows = [("homeserver", "/run/secrets/homeserver", {"secret": {"secretName": "registration", "defaultMode": 0o440}})]
    further = [("anchors", "/anchors", {"persistentVolumeClaim": {"claimName": "anchors"}}), *(knows if name == "messaging" else [])]
    probe = {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5, "timeoutSeconds": 3}
    one = container(
        ["serve", name, *(["--workers", str(workers)] if workers > 1 else [])],
        ports=[{"name": "http", "containerPort": PORT}, *metrics_ports(workers)],
        startupProbe=probe | {"failureThreshold": 60},
        readinessProbe=probe,
        livenessProbe={"httpGet": {"path": "/livez", "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        # Endpoints are told of a pod's end while it ends already: wait until nobody sends anything here any more.
        lifecycle={"preStop": {"exec": {"command": ["python", "-c", "import time; time.sleep(5)"]}}},
        volumeMounts=[{"name": one, "mountPath": place} for one, place, _ in further],
        **({"env": environment(OF_ONE[name])} if name in OF_ONE else {}),
    )
    volumes = [{"name": one, **source} for one, _, source in further]
    apart = [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
              "labelSelector": {"matchLabels": labels(name)}}]  # fmt: skip
    template = pod(name, one, volumes, terminationGracePeriodSeconds=60, topologySpreadConstraints=apart)
    template["metadata"]["annotations"] = scraped(METRICS_PORT)
    spec = {
        "replicas": REPLICAS, "revisionHistoryLimit": 3, "selector": {"matchLabels": labels(name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": template,
    }  # fmt: skip
    where = {"selector": labels(name), "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]}
    return [
        thing("apps/v1", "Deployment", name, spec=spec),
        thing("v1", "Service", name, spec=where),
        thing("policy/v1", "PodDisruptionBudget", name, spec={"maxUnavailable": 1, "selector": {"matchLabels": labels(name)}}),
    ]


def environment(told: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in told.items()]


def synapse() -> list[dict[str, Any]]:
    """One process, its media on a volume of its own; files lie where they lie in docker-compose.yml, so that its secrets are the same."""
    configuration = "/etc/parvis/synapse"
    health = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5, "timeoutSeconds": 3}
    one = {
        "name": "synapse", "image": "registry.example.org/synapse:v1.163.2", "securityContext": LOCKED,
        "command": ["python", "-m", "synapse.app.homeserver", "-c", f"{configuration}/homeserver.yaml", "-c", "/run/secrets/synapse.yaml"],
        "env": environment({"PYTHONPATH": configuration, "PYTHONDONTWRITEBYTECODE": "1"}),
        "ports": [{"name": "http", "containerPort": 8008}, {"name": "metrics", "containerPort": METRICS_PORT}],
        "startupProbe": health | {"failureThreshold": 60}, "readinessProbe": health, "livenessProbe": health | {"failureThreshold": 6},
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "volumeMounts": [
            {"name": "configuration", "mountPath": configuration, "readOnly": True},
            {"name": "secrets", "mountPath": "/run/secrets", "readOnly": True},
            {"name": "media", "mountPath": "/matrix-media"}, {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }  # fmt: skip
    secrets = [{"secret": {"name": name}} for name in ("synapse", "registration")]
    spec = {
        "automountServiceAccountToken": False, "enableServiceLinks": False, "terminationGracePeriodSeconds": 60, "securityContext": NOBODY,
        "containers": [one],
        "volumes": [
            {"name": "configuration", "configMap": {"name": "synapse"}},
            {"name": "secrets", "projected": {"sources": secrets, "defaultMode": 0o440}},
            {"name": "media", "persistentVolumeClaim": {"claimName": "media"}}, {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
        ],
    }  # fmt: skip
    deployment = {
        "replicas": 1, "selector": {"matchLabels": labels("synapse")}, "strategy": {"type": "Recreate"},
        "template": {"metadata": {"labels": labels("synapse"), "annotations": scraped(METRICS_PORT)}, "spec": spec},
    }  # fmt: skip
    where = {"selector": labels("synapse"), "ports": [{"name": "http", "port": 8008, "targetPort": "http"}]}
    return [
        claim("media", "ReadWriteOnce", "50Gi"),
        thing("apps/v1", "Deployment", "synapse", spec=deployment),
        thing("v1", "Service", "synapse", spec=where),
        thing("policy/v1", "PodDisruptionBudget", "synapse", spec={"maxUnavailable": 1, "selector": {"matchLabels": labels("synapse")}}),
    ]


def claim(name: str, mode: str, size: str) -> dict[str, Any]:
    return thing("v1", "PersistentVolumeClaim", name, spec={"accessModes": [mode], "resources": {"requests": {"storage": size}}})


def proxy() -> list[dict[str, Any]]:
    """The same file as everywhere, from the ConfigMap that docs/operating-kubernetes.md makes of it."""
    told = {"PROXY_BIND": ":8080", "PROXY_METRICS_BIND": ":8404", "PROXY_TRUSTED": "10.0.0.0/8"}  # the Ingress, which ends TLS
    told |= {f"PROXY_{name.upper()}": at for name, at in UPSTREAMS.items()}
    one = {
        "name": "haproxy", "image": "registry.example.org/haproxy:2.6.12-alpine", "securityContext": LOCKED,
        "env": environment(told),
        "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": PROXY_METRICS_PORT}],
        "readinessProbe": {"httpGet": {"path": "/metrics", "port": "metrics"}, "periodSeconds": 5},
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "sleep 5; kill -USR1 1; sleep 55"]}}},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "configuration", "mountPath": "/usr/local/etc/haproxy", "readOnly": True}],
    }  # fmt: skip
    spec = {
        "automountServiceAccountToken": False, "enableServiceLinks": False, "terminationGracePeriodSeconds": 75,
        "securityContext": NOBODY | {"runAsUser": 99, "runAsGroup": 99, "fsGroup": 99}, "containers": [one],
        "volumes": [{"name": "configuration", "configMap": {"name": "proxy"}}],
    }  # fmt: skip
    template = {"metadata": {"labels": labels("proxy"), "annotations": scraped(PROXY_METRICS_PORT)}, "spec": spec}
    rule = {"host": "parvis.example.org", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "proxy", "port": {"name": "http"}}}},
    ]}}  # fmt: skip
    deployment = {
        "replicas": REPLICAS, "selector": {"matchLabels": labels("proxy")}, "template": template,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
    }  # fmt: skip
    where = {"selector": labels("proxy"), "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]}
    tls = [{"hosts": ["parvis.example.org"], "secretName": "parvis-tls"}]
    return [
        thing("apps/v1", "Deployment", "proxy", spec=deployment),
        thing("v1", "Service", "proxy", spec=where),
        thing("policy/v1", "PodDisruptionBudget", "proxy", spec={"maxUnavailable": 1, "selector": {"matchLabels": labels("proxy")}}),
        thing("networking.k8s.io/v1", "Ingress", "parvis", spec={"tls": tls, "rules": [rule]}),
    ]


def manifests() -> list[dict[str, Any]]:
    admin = [{"name": "administration", "secret": {"secretName": "parvis-admin", "defaultMode": 0o440}}]
    migrate = container(
        ["migrate"],
        env=environment(ADMINISTRATION),
        volumeMounts=[{"name": "administration", "mountPath": "/run/secrets/parvis-admin", "readOnly": True}],
    )
    inside = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}
    front = {"podSelector": {"matchLabels": labels("proxy")}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 8080}]}]}
    processes = {"port": METRICS_PORT, "endPort": METRICS_PORT + max(WORKERS.values()) - 1}
    watched = {"from": [{"namespaceSelector": {"matchLabels": WATCHER}}], "ports": [processes, {"port": PROXY_METRICS_PORT}]}
    figures = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [watched]}
    return [
        thing("v1", "Namespace", "parvis"),
        thing("v1", "ServiceAccount", "parvis", automountServiceAccountToken=False),
        thing("v1", "ConfigMap", "parvis", data=ENVIRONMENT),
        claim("anchors", "ReadWriteMany", "1Gi"),
        thing("networking.k8s.io/v1", "NetworkPolicy", "inside", spec=inside),
        thing("networking.k8s.io/v1", "NetworkPolicy", "front", spec=front),
        thing("networking.k8s.io/v1", "NetworkPolicy", "figures", spec=figures),
        thing("batch/v1", "Job", "migrate", spec={
            "backoffLimit": 3, "ttlSecondsAfterFinished": 3600, "template": pod("migrate", migrate, admin, restartPolicy="OnFailure"),
        }),
        *(made for name in SERVICES for made in service_of(name)),
        *synapse(),
        *proxy(),
    ]  # fmt: skip


class Plain(yaml.SafeDumper):
    """Without anchors: what is the same twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def rendered() -> str:
    head = "# Made by infra/kubernetes/make.py: change it there. How to use it: docs/operating-kubernetes.md\n"
    return head + yaml.dump_all(manifests(), Dumper=Plain, sort_keys=False, allow_unicode=True, width=140)


if __name__ == "__main__":
    (HERE / "parvis.yaml").write_text(rendered())
    sys.exit(0)
