"""One request followed across processes: the proxy's line, the service's, the fact, and what another process did about it, in order."""

import json
import urllib.request
from typing import Any
from uuid import uuid4

from .shape import Shape
from .test_up import eventually


def test_a_request_is_followed_from_the_proxy_to_what_came_of_it(distributed: Shape) -> None:
    agents = json.loads((distributed.folder / "demo.json").read_text())["agents"]
    giver = agents[3]
    taker = next(one for one in agents if one["ministry"] == giver["ministry"] and one["id"] != giver["id"])

    def ask(method: str, path: str, body: Any = None) -> tuple[Any, str]:
        known = {"Authorization": f"Bearer {giver['token']}", "Idempotency-Key": uuid4().hex}
        headers = known | {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{distributed.base}{path}", json.dumps(body).encode() if body else None, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer), answer.headers["X-Request-Id"]

    space, _ = ask("GET", "/api/files/v1/spaces/personal")
    folder, _ = ask("POST", f"/api/files/v1/folders/{space['root_id']}/folders", {"name": "Suivi d'une demande"})
    grant = {"grantee_kind": "agent", "grantee_id": taker["id"], "role": "reader"}
    _, request_id = ask("POST", f"/api/files/v1/items/{folder['id']}/shares", grant)
    story: list[str] = []

    def told() -> bool:
        story[:] = distributed.command("trace", request_id, "--since", "10m").splitlines()
        return any("messaging" in one and "has done its part" in one for one in story) and any("  proxy " in one for one in story)

    eventually("messaging has told of the share", told)
    words = [
        "  proxy      POST /api/files",
        "  files      POST /api/files",
        "said files.share.granted.v1",
        "has done its part about files.share",
    ]
    places = [next((number for number, line in enumerate(story) if word in line), -1) for word in words]
    assert -1 not in places and places == sorted(places), "\n".join(story)
    assert request_id in story[0]
    fact = next(line for line in story if "said files.share.granted.v1" in line).rpartition(" ")[2]
    assert distributed.command("trace", fact, "--since", "10m").splitlines()[:3] == story[:3], "the fact's id leads back to the request"
