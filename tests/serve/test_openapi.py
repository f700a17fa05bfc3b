"""The OpenAPI document, held against the server by someone else's tool: schemathesis, with all of its checks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.serve.running import Server, tillage
from tillage.serve.application import Application
from tillage.serve.metrics import Metrics

EXAMPLES = 1000 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 150


def operations(server: Server) -> list[Any]:
    """Every operation of the document, as schemathesis understands it."""
    import schemathesis.openapi

    schema = schemathesis.openapi.from_dict(server.ask("GET", "/openapi.json")[1])
    schema.config.update(base_url=server.address)
    every: Any = schema.get_all_operations()
    return [result.ok() for result in every]


def test_every_operation_under_all_checks(server: Server) -> None:
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    every = operations(server)
    assert len(every) == 23

    token = json.loads(tillage(server.folder, "token", "new", "--scope", "admin", "--json"))["token"]
    statuses: dict[int, int] = {}

    @seed(7)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=False
    )
    @given(case=st.one_of([operation.as_strategy() for operation in every]))
    def hold(case: Any) -> None:
        response = case.call(headers={"Authorization": f"Bearer {token}"})
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        skipped = [positive_data_acceptance] if case.path.endswith("/infer") else []  # tensors of one height: no schema
        case.validate_response(response, excluded_checks=skipped, headers={"Authorization": f"Bearer {token}"})

    hold()
    assert statuses[200] > EXAMPLES / 20
    assert max(statuses) < 500


def test_every_route_is_in_the_document(server: Server) -> None:
    application = Application({}, None, Metrics(), "1")  # type: ignore[arg-type]
    document = server.ask("GET", "/openapi.json")[1]["paths"]
    missing = []
    for route, _ in application._routes:
        method = next(m for m in route.methods or () if m != "HEAD").lower()
        name = "double" if route.path.startswith("/v1/models/") else "desk"
        if method not in document.get(route.path.replace("{name}", name), {}):
            missing.append(f"{method} {route.path}")
    assert missing == []


def test_the_tool_would_notice(server: Server) -> None:
    """A document that promises what the server does not keep is found out."""
    import schemathesis.openapi
    from schemathesis.core.failures import FailureGroup

    document = server.ask("GET", "/openapi.json")[1]
    document["paths"]["/v1/services"]["get"]["responses"]["200"]["content"]["application/json"]["schema"] = {
        "type": "object",
        "required": ["nothing of the kind"],
    }
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=server.address)
    case = schema["/v1/services"]["GET"].Case()
    headers = {"Authorization": f"Bearer {server.token}"}
    with pytest.raises(FailureGroup):
        case.validate_response(case.call(headers=headers))
    assert Path(server.folder).exists()
