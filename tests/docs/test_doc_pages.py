"""Swagger UI and Redoc work without any outside host."""

from __future__ import annotations

import re
import urllib.parse

import pytest
import requests
import yaml

from tests.server_process import ServerProcess


@pytest.mark.parametrize("path", ["/api/docs/", "/api/redoc/"])
def test_a_page_asks_no_other_host_for_anything(server: ServerProcess, path: str) -> None:
    page = requests.get(server.url + path, timeout=20)

    assert page.status_code == 200
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert sources
    for source in sources:
        url = urllib.parse.urljoin(server.url + path, source)
        assert url.startswith(server.url + "/"), source
        assert requests.get(url, timeout=20).status_code == 200, source
    assert re.findall(r"@import|url\(", page.text) == []
    # What the scripts themselves might want, the policy refuses.
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_both_ways_to_authorize_are_offered(server: ServerProcess) -> None:
    document = yaml.safe_load(requests.get(f"{server.url}/api/schema/", timeout=20).text)
    schemes = document["components"]["securitySchemes"]

    assert schemes["ApiKey"] == {"type": "apiKey", "in": "header", "name": "x-api-key"}
    assert schemes["Bearer"] == {"type": "http", "scheme": "bearer"}
    for path, item in document["paths"].items():
        if path.startswith("/api/v1/") and path != "/api/v1/health":
            for operation in item.values():
                ticket = [{"Ticket": []}] if operation["operationId"] == "followSession" else []
                assert operation["security"] == [{"ApiKey": []}, {"Bearer": []}, *ticket], path
    assert schemes["Ticket"]["name"] == "ticket"
