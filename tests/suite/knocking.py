"""Requests made up from a service's document, good and bad; and one of each kind that must be answered with what it asks for."""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address
from itertools import count
from typing import Any
from uuid import uuid4

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from parvis_kit.clock import utc_now
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth

CASES = 80 if os.environ.get("SOAK") else 12
"""Requests made up for each operation."""
ANSWER_SECONDS_MAX = 10
REFUSALS = ["2xx", "400", "401", "403", "404", "409", "410", "412", "422", "429", "507"]
"""What well-formed requests may get: a document cannot say which ids there are, which dates lie ahead, or which changes are kept."""
CONFIG = SchemathesisConfig.from_dict({"checks": {"positive_data_acceptance": {"expected-statuses": REFUSALS}}})
TOMORROW = (utc_now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:00:00Z")
LATER = (utc_now() + timedelta(days=1, hours=8)).strftime("%Y-%m-%dT%H:00:00Z")
QUERIES = {"agents": 10, "from": TOMORROW, "to": LATER, "name": "note", "reason": "preuve"}
"""Where something has to be said."""
UNANSWERED = {
    # nobody moves, has left, or was refused by a file here; each service's own tests have such people
    "GET /api/directory/v1/agents/{agent_id}/move", "GET /api/directory/v1/agents/{agent_id}/departure",
    "GET /api/calendar/v1/departures/{agent_id}",
}  # fmt: skip
"""Which cannot be answered in the demonstration with what they ask for. Nor is what changes a thing that has to be made first, in its
revision or state of that moment: that is in the tests of each service, on things that are there."""


@dataclass
class Knocker:
    """By one agent, on what is there: parameter → ids."""

    base: str
    token: str
    there: dict[str, str]
    bodies: dict[str, Any]
    """Operation → what makes something."""
    answered: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    callers: Any = field(default_factory=lambda: count(1))

    def here(self) -> dict[str, str]:
        """Few failures are let in from one address."""
        return {"X-Forwarded-For": str(IPv4Address("10.0.0.0") + next(self.callers))}

    def knock_everywhere(self, service: str) -> None:
        """Every check of schemathesis; fails when something that can be answered never was."""
        document = schemathesis.openapi.from_url(f"{self.base}/api/{service}/openapi.json", config=CONFIG)
        operations = [one.ok() for one in document.get_all_operations()]
        assert operations
        for one in operations:
            if one.method.upper() == "GET" or one.label in self.bodies:
                self.ask_plainly(one)
        for one in operations:
            self.make_up(one)
        wanted = {one.label for one in operations if one.method.upper() == "GET" or one.label in self.bodies} - UNANSWERED
        never = {label: sorted(self.answered[label]) for label in wanted if min(self.answered[label]) >= 400}
        assert not never, f"{service} never did what was asked: {never}"

    def ask_plainly(self, operation: Any) -> None:
        said = operation.definition.raw.get("parameters", [])
        names = {place: [one["name"] for one in said if one["in"] == place] for place in ("path", "query")}
        required = [one["name"] for one in said if one["in"] == "query" and one.get("required")]
        known = {**QUERIES, **self.there}
        body = {"body": self.bodies[operation.label], "media_type": "application/json"} if operation.label in self.bodies else {}
        case = operation.Case(
            path_parameters={name: known.get(name, str(uuid4())) for name in names["path"]},
            query={name: known[name] for name in required},
            headers={"Idempotency-Key": uuid4().hex},
            **body,
        )
        self.call(case)

    def make_up(self, operation: Any) -> None:
        """What only reads is asked about things that are there, half of the time."""
        reads = operation.method.upper() == "GET"

        @given(case=operation.as_strategy(), is_there=st.booleans())
        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
        def knock(case: Any, is_there: bool) -> None:
            for said in (case.path_parameters, case.query) if reads and is_there else ():
                for name in set(said or ()) & set(self.there):
                    said[name] = self.there[name]
            self.call(case)
            if case.operation.definition.raw.get("security"):
                for wrong in ({}, {"Authorization": f"Bearer {self.token[:-9]}AAAAAAAAA"}):
                    assert case.call(headers=self.here() | wrong, timeout=ANSWER_SECONDS_MAX).status_code == 401

        knock()

    def call(self, case: Any) -> None:
        headers = self.here() | {"Authorization": f"Bearer {self.token}"}
        # `ignored_auth` guesses at one account again and again, and is told 429 where it asks for 401: this is asked above
        answer = case.call_and_validate(headers=headers, timeout=ANSWER_SECONDS_MAX, excluded_checks=[ignored_auth])
        self.answered[case.operation.label].add(answer.status_code)
