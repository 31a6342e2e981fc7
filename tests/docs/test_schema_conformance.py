"""The OpenAPI document against a live server: what it allows works, what it forbids does not."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any
from uuid import UUID

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    PositiveDataAcceptanceConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.config._checks import NegativeDataRejectionConfig
from schemathesis.specs.openapi.checks import ignored_auth

from tests.docs.conftest import Api
from tests.server_process import ALICE, ROOT, ServerProcess

pytestmark = pytest.mark.slow

DOCUMENT = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
EXAMPLES = 4
NOBODY = "00000000-0000-4000-8000-000000000000"


def tightened(document: dict[str, Any]) -> dict[str, Any]:
    """Clients skip fields they do not know; here, one that is not documented is a failure."""
    document = deepcopy(document)
    for schema in document["components"]["schemas"].values():
        _close(schema)
    return document


def _close(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    if schema.get("type") in ("object", ["object", "null"]) and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    for child in (*schema.get("properties", {}).values(), schema.get("items")):
        _close(child)


STATUSES = ["2xx", "401", "402", "403", "404", "408", "409", "410", "422", "429", "5xx"]
# A text may be too long for its field and the body for the server: both are refused.
REFUSALS = ["400", "401", "403", "404", "406", "413", "415", "422", "5xx"]

CONFIG = SchemathesisConfig(
    projects=ProjectsConfig(
        default=ProjectConfig(
            generation=GenerationConfig(
                max_examples=EXAMPLES,
                deterministic=True,
                with_security_parameters=False,
                allow_x00=False,
            ),
            checks=ChecksConfig(
                positive_data_acceptance=PositiveDataAcceptanceConfig(expected_statuses=STATUSES),
                negative_data_rejection=NegativeDataRejectionConfig(expected_statuses=REFUSALS),
            ),
        )
    )
)

schema = schemathesis.openapi.from_dict(tightened(DOCUMENT), config=CONFIG)


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,  # what a change is refused for must be there on every machine
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
def test_the_server_keeps_what_the_document_says(case: Any, api: Api) -> None:
    make_possible(case, api)
    case.call_and_validate(
        base_url=api.url,
        headers={"x-api-key": ALICE},
        timeout=20,
        # Tried below: failed credentials are limited per address.
        excluded_checks=[ignored_auth],
    )


def test_every_operation_with_a_key_refuses_a_request_without(server: ServerProcess) -> None:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if any(operation.get("security", ())):
                url = server.url + re.sub(r"\{\w+\}", NOBODY, path)
                answer = requests.request(method, url, timeout=10)
                assert answer.status_code == 401, (method, path)
                assert answer.json()["error"]["code"] == "MISSING_API_KEY"


def make_possible(case: Any, api: Api) -> None:
    """What no document can say: ids that exist, and values that come from earlier answers."""
    if _is_uuid(case.path_parameters.get("sessionId")):
        case.path_parameters["sessionId"] = _session(case, api)
    if case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    for name in ("cursor", "after", "to", "from"):
        (case.query or {}).pop(name, None)
    (case.headers or {}).pop("Last-Event-ID", None)
    if isinstance(case.body, dict):
        if "metadata" in case.body:
            case.body["metadata"] = _without_huge_numbers(case.body["metadata"])
        for name in ("cwd", "allowedTools", "disallowedTools", "atMessage"):
            case.body.pop(name, None)
        # 5.0 is an integer to JSON Schema, but not to this server.
        case.body.update(
            {n: int(v) for n, v in case.body.items() if isinstance(v, float) and v.is_integer()}
        )


def _without_huge_numbers(value: Any) -> Any:
    """The document says in words only that a number fits into 64 bits."""
    if isinstance(value, dict):
        return {name: _without_huge_numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_huge_numbers(each) for each in value]
    if isinstance(value, int | float) and not -(2**63) < value < 2**64:
        return 0
    return value


def _session(case: Any, api: Api) -> str:
    session_id = api.new_session()
    if case.operation.definition.raw["operationId"] == "followSession":
        api.call("DELETE", f"/sessions/{session_id}")  # or its stream would never end
    return session_id


def _is_uuid(text: Any) -> bool:
    try:
        return bool(UUID(text))
    except (ValueError, TypeError, AttributeError):
        return False
