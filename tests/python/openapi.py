"""Holds the served OpenAPI document against what the server answers.

Usage: python openapi.py path/to/filmgate

Starts the binary on a free loopback port and in a temporary directory. Every answer must be one the document
describes: its status, its content type, its headers, its body. Three times over:

1. Against a document that was falsified, which must be noticed, or nothing here means anything.
2. With one good request, or several, for each operation of the document: all must succeed as described.
3. With thousands of requests schemathesis makes from the document, good and bad.
"""

import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import schemathesis
from schemathesis.checks import (
    allow_header_conformance,
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway import ORDER, PATIENCE_SECONDS, Gateway

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
BASES = ["/v1/videos", "/v1/video/generations"]
# Addresses that a provider alone is given; the tests of the binary play that provider.
GIVEN_TO_PROVIDERS = {
    "POST /v1/callbacks/{provider}/{token}",
    "GET /v1/videos/{video_id}/inputs/{index}",
    "GET /v1/video/generations/{video_id}/inputs/{index}",
}
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
ENDS_KEYS = ["update_key", "rotate_key", "revoke_key"]


def good_requests(gateway):
    """For each operation what it takes, by its method and path. All of them are to succeed."""
    given_back, ended = gateway.parked(2)
    completed = gateway.ended()
    failed = gateway.ended(fail="provider_error")
    video, failed_id, record = completed["id"], failed["id"], completed["generation_id"]
    key = gateway.call("POST", "/v1/keys", {"name": "to be revoked"})["id"]
    workspace = gateway.call("POST", "/v1/workspaces", {"name": "a neighbour's"})["id"]
    rich = ORDER | {
        "generate_audio": True,
        "seed": 7,
        "sample_count": 2,
        "metadata": {"shot": "12b"},
        "session_id": "tuesday",
        "max_cost": "0.5",
        "expires_after": 3600,
        "output": {"access": "signed_url"},
        "provider": {"only": ["testcard"], "allow_fallbacks": False},
        "callback_url": "https://example.org/notices",
    }
    yield "GET", "/health", {}
    yield "GET", "/ready", {}
    for query in [{"id": record}, {"id": failed["generation_id"]}]:
        yield "GET", "/v1/generations", {"query": query}
    for base in BASES:
        one = f"{base}/{{video_id}}"
        short = {"model": "testcard", "prompt": "short", "seconds": 1, "resolution": "180p"}
        for number, order in enumerate([ORDER, rich, short]):
            for headers in [{}, {"Prefer": "wait=60"}, {"Idempotency-Key": f"{base}-{number}"}]:
                yield "POST", base, {"body": order, "headers": headers}
            yield "POST", f"{base}/quote", {"body": order}
        for query in [{}, {"limit": 2}, {"status": "completed,failed", "order": "asc"}, {"after": video}]:
            yield "GET", base, {"query": query}
        for query in [{}, {"params": "seed"}, {"provider": "nobody"}]:
            yield "GET", f"{base}/models", {"query": query}
        for state in [completed, failed, gateway.cancelled(), gateway.create(queue_seconds=3600)]:
            path = {"video_id": state["id"]}
            yield "GET", one, {"path": path}
            yield "GET", f"{one}/timeline", {"path": path}
            if state["status"] not in ["completed", "failed"]:
                yield "POST", f"{one}/cancel", {"path": path}
            # All of them have ended: they are told, and that is all.
            for headers in [{}, {"Last-Event-ID": "0"}]:
                yield "GET", f"{one}/events", {"path": path, "headers": headers}
        yield "GET", one, {"path": {"video_id": video}, "headers": {"If-None-Match": "*"}}
        for query in [{}, {"index": 0}, {"variant": "thumbnail"}]:
            for headers in [{}, {"Range": "bytes=0-9"}]:
                yield "GET", f"{one}/content", {"path": {"video_id": video}, "query": query, "headers": headers}
        for wish in [{}, {"ttl_seconds": 60, "variant": "thumbnail", "disposition": "inline", "index": 0}]:
            yield "POST", f"{one}/download_url", {"path": {"video_id": video}, "body": wish}
        yield "POST", f"{one}/retry", {"path": {"video_id": failed_id}}
        yield "DELETE", one, {"path": {"video_id": gateway.ended()["id"]}}
    for query in [{}, {"interval_ms": 10000, "close_on_terminal": "true"}]:
        path = {"video_id": video}
        yield "GET", "/v1/async/video/{video_id}/ws", {"path": path, "query": query, "headers": HANDSHAKE}
    limited = {"name": "limited", "limit": "2.5", "limit_reset": "weekly", "max_in_flight": 3, "expires_at": 4102444800}
    for number, terms in enumerate([{"name": "a reader's", "role": "read"}, limited | {"workspace_id": workspace}]):
        for headers in [{}, {"Idempotency-Key": f"key-{number}"}, {"Idempotency-Key": f"key-{number}"}]:
            yield "POST", "/v1/keys", {"body": terms, "headers": headers}
    for query in [{}, {"workspace_id": workspace}]:
        yield "GET", "/v1/keys", {"query": query}
        yield "GET", "/v1/credits", {"query": query}
        yield "GET", "/v1/credits/entries", {"query": query | {"limit": 2}}
        yield "GET", "/v1/admin/actions", {"query": query | {"limit": 2}}
        yield "GET", "/v1/admin/jobs", {"query": query | {"limit": 2}}
        for shape in ["json", "csv"]:
            report = query | {"from": "2026-01-01", "format": shape}
            yield "GET", "/v1/activity", {"query": report}
            yield "GET", "/v1/usage", {"query": report | {"group_by": "day,model,provider,key,workspace"}}
            yield "GET", "/v1/usage", {"query": report}
    yield "GET", "/v1/admin/jobs", {"query": {"limit": 1, "after": given_back["id"]}}
    yield "POST", "/v1/admin/jobs/{video_id}/unpark", {"path": {"video_id": given_back["id"]}}
    yield "POST", "/v1/admin/jobs/{video_id}/end", {"path": {"video_id": ended["id"]}}
    yield "GET", "/v1/providers", {}
    yield "GET", "/v1/key", {}
    path = {"key_id": key}
    yield "GET", "/v1/keys/{key_id}", {"path": path}
    for terms in [limited, {"limit": None, "max_in_flight": None, "expires_at": None, "disabled": True}]:
        yield "PATCH", "/v1/keys/{key_id}", {"path": path, "body": terms}
    for headers in [{}, {"Idempotency-Key": "rotation"}, {"Idempotency-Key": "rotation"}]:
        yield "POST", "/v1/keys/{key_id}/rotate", {"path": path, "body": {"overlap_seconds": 60}, "headers": headers}
    yield "DELETE", "/v1/keys/{key_id}", {"path": path}
    own = {"provider": "testcard", "secret": "a-secret-of-nobodys", "label": "ours", "workspace_id": workspace}
    for headers in [{"Idempotency-Key": "own"}, {"Idempotency-Key": "own"}]:
        yield "POST", "/v1/provider-keys", {"body": own, "headers": headers}
    listed = gateway.call("GET", f"/v1/provider-keys?workspace_id={workspace}")["data"]
    path = {"provider_key_id": listed[0]["id"]}
    for query in [{}, {"workspace_id": workspace}]:
        yield "GET", "/v1/provider-keys", {"query": query}
    yield "GET", "/v1/provider-keys/{provider_key_id}", {"path": path}
    for headers in [{}, {"Idempotency-Key": "renewal"}, {"Idempotency-Key": "renewal"}]:
        body = {"secret": "another-secret-of-nobodys"}
        yield "POST", "/v1/provider-keys/{provider_key_id}/rotate", {"path": path, "body": body, "headers": headers}
    yield "DELETE", "/v1/provider-keys/{provider_key_id}", {"path": path}
    for amount in ["12.5", -0.5]:
        credit = {"workspace_id": workspace, "amount": amount, "reason": "an invoice"}
        yield "POST", "/v1/credits", {"body": credit, "headers": {"Idempotency-Key": f"credit{amount}"}}
        yield "POST", "/v1/credits", {"body": credit, "headers": {"Idempotency-Key": f"credit{amount}"}}
    for headers in [{"Idempotency-Key": "workspace"}, {"Idempotency-Key": "workspace"}]:
        yield "POST", "/v1/workspaces", {"body": {"name": "another"}, "headers": headers}
    yield "GET", "/v1/workspaces", {}
    yield "GET", "/v1/workspaces/{workspace_id}", {"path": {"workspace_id": workspace}}


def operations(document):
    return {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}


def expect_good_answers(gateway):
    """Sends every good request and looks at its answer. Gives back what was wrong."""
    document = gateway.document()
    schema = schemathesis.openapi.from_dict(document)
    faults, asked = [], collections.Counter()
    for method, path, parts in good_requests(gateway):
        case = schema[path][method].Case(
            path_parameters=parts.get("path"),
            query=parts.get("query"),
            headers=gateway.authorization | parts.get("headers", {}),
            **({"body": parts["body"], "media_type": "application/json"} if "body" in parts else {}),
        )
        asked[f"{method} {path}"] += 1
        answer = case.call(base_url=gateway.address)
        if answer.status_code != 101 and not 200 <= answer.status_code < 400:
            faults.append(f"{method} {answer.request.url} was answered {answer.status_code}: {answer.text}")
        try:
            # An answer of 101 would count as a server's error.
            case.validate_response(answer, checks=[check for check in CHECKS if check is not not_a_server_error])
        except schemathesis.errors.FailureGroup as group:
            faults += [f"{method} {answer.request.url}: {failure}" for failure in group.exceptions]
    for left_out in sorted(operations(document) - set(asked) - GIVEN_TO_PROVIDERS):
        faults.append(f"{left_out} is documented, and no good request of it is tried")
    print(f"good requests: {asked.total()} for {len(asked)} operations, {len(faults)} faults")
    return faults


def expect_a_lie_to_be_noticed(gateway):
    document = gateway.document()
    document["components"]["schemas"]["VideoStatus"]["properties"]["attempts"] = {"type": "string"}
    operation = schemathesis.openapi.from_dict(document)["/v1/videos/{video_id}"]["GET"]
    case = operation.Case(path_parameters={"video_id": gateway.ended()["id"]}, headers=gateway.authorization)
    try:
        case.validate_response(case.call(base_url=gateway.address), checks=CHECKS)
    except schemathesis.errors.FailureGroup:
        print("a lie in the document is noticed")
        return []
    return ["a document that tells lies about every status is believed"]


def expect_no_surprise(gateway, directory):
    """Lets schemathesis make requests of its own. What ends a key is asked apart: there it meets no key's id, and so
    does not end the one it uses."""
    faults, met = [], {}
    for choice in ["exclude", "include"]:
        chosen = [part for operation in ENDS_KEYS for part in [f"--{choice}-operation-id", operation]]
        faults += made_requests(gateway, directory / f"{choice}.ndjson", chosen, met)
    for operation, counts in sorted(met.items()):
        print(f"  {operation}: " + ", ".join(f"{status} {count} times" for status, count in sorted(counts.items())))
    print(f"made by schemathesis: {sum(counts.total() for counts in met.values())} requests")
    return faults + [f"{operation} was never asked" for operation in operations(gateway.document()) - set(met)]


def made_requests(gateway, report, chosen, met):
    """Requests of schemathesis' own making. Ids it has met in answers are used again."""
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", f"{gateway.address}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {gateway.key}"]
    command += ["--checks", ",".join([check.__name__ for check in CHECKS] + ["ignored_auth"])]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--seed", "1"]
    command += ["--generation-database", "none", "--warnings", "off", "--continue-on-failure"]
    command += ["--report", "ndjson", "--report-ndjson-path", str(report), *chosen]
    environment = {name: os.environ[name] for name in ["PATH", "HOME", "LANG"] if name in os.environ}
    done = subprocess.run(
        command,
        cwd=report.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    met |= statuses(report)
    return [] if done.returncode == 0 else [done.stdout]


def statuses(report):
    """How often each operation was answered with each status."""
    met = collections.defaultdict(collections.Counter)
    for line in report.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for interaction in recorder.get("interactions", {}).values():
            if interaction.get("response"):
                met[recorder["label"]][interaction["response"]["status_code"]] += 1
    return met


def check(gateway, directory):
    faults = expect_a_lie_to_be_noticed(gateway)
    faults += expect_good_answers(gateway)
    # No job is left running, nor one that would run as long if it were tried again: a request that waits for its end
    # would be held for a minute, and one that follows it for ever.
    for video in gateway.call("GET", "/v1/videos?limit=200&status=queued,processing,cancelled")["data"]:
        gateway.call("POST", f"/v1/videos/{video['id']}/cancel")
        gateway.call("DELETE", f"/v1/videos/{video['id']}")
    faults += expect_no_surprise(gateway, directory)
    alarms = [line for line in gateway.alarms() if " is parked: " not in line]
    faults += [f"in the gateway's log: {line}" for line in alarms]
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


def main(binary):
    binary = str(pathlib.Path(binary).resolve())
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        # Whatever is left lying about is left there.
        os.chdir(directory)
        gateway = Gateway(binary, directory, FILMGATE_ENGINE__PARK_AFTER="1")
        try:
            return check(gateway, directory)
        finally:
            gateway.stop()


if __name__ == "__main__":
    # Whoever ends this ends the gateway too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if len(sys.argv) != 2:
        raise SystemExit("usage: python openapi.py path/to/filmgate")
    sys.exit(main(sys.argv[1]))
