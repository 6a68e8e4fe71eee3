"""Fetch the published schemas that docker-compose.yml and infra/kubernetes are held to, by pip: `python infra/vendor-schemas.py`.

Compose's own comes in `check-jsonschema` (Apache-2.0), Kubernetes' in `kubernetes-validate` (Apache-2.0), 100 MB of which we need what our
kinds refer to, without its prose.
"""

import hashlib
import json
import subprocess  # noqa: S404
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "schemas"
PACKAGES = ("check-jsonschema==0.39.0", "kubernetes-validate==1.37.0")
KUBERNETES = "1.34.0"
KINDS = {
    "Namespace": "namespace-v1", "ServiceAccount": "serviceaccount-v1", "ConfigMap": "configmap-v1", "Service": "service-v1",
    "PersistentVolumeClaim": "persistentvolumeclaim-v1", "Deployment": "deployment-apps-v1", "Job": "job-batch-v1",
    "Ingress": "ingress-networking-v1", "NetworkPolicy": "networkpolicy-networking-v1",
    "PodDisruptionBudget": "poddisruptionbudget-policy-v1", "HorizontalPodAutoscaler": "horizontalpodautoscaler-autoscaling-v2",
}  # fmt: skip
"""Kind → the file that describes it."""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        subprocess.run([*pip, "--no-deps", "--target", folder, *PACKAGES], check=True)  # noqa: S603
        compose = next(Path(folder).rglob("vendor/compose-spec.json")).read_bytes()
        place = next(Path(folder).rglob(f"v{KUBERNETES}-local-strict"))
        kubernetes = json.dumps(subset(place), indent=0, sort_keys=True).encode()
    FOLDER.mkdir(exist_ok=True)
    for name, content in (("compose-spec.json", compose), (f"kubernetes-{KUBERNETES}.json", kubernetes)):
        (FOLDER / name).write_bytes(content if content.endswith(b"\n") else content + b"\n")
        print(f"{name}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
    return 0


def subset(place: Path) -> dict[str, Any]:
    """By kind, and the definitions that they refer to, however far."""
    definitions = json.loads((place / "_definitions.json").read_text())["$defs"]
    found: dict[str, Any] = {}

    def take(node: Any) -> Any:
        if isinstance(node, list):
            return [take(one) for one in node]
        if not isinstance(node, dict):
            return node
        made = {key: take(value) for key, value in node.items() if not (key == "description" and isinstance(value, str))}
        if isinstance(reference := node.get("$ref"), str):
            name = reference.rpartition("/")[2]
            made["$ref"] = f"#/$defs/{name}"
            if name not in found:
                found[name] = None  # it may refer to itself
                found[name] = take(definitions[name])
        return made

    kinds = {kind: take(json.loads((place / f"{file}.json").read_text())) for kind, file in KINDS.items()}
    return {"kinds": kinds, "$defs": found}


if __name__ == "__main__":
    sys.exit(main())
