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
import urllib.request

import schemathesis
from schemathesis.checks import (
    allow_header_conformance,
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
BASES = ["/v1/videos", "/v1/video/generations"]
ORDER = {"model": "filmgate/testcard", "prompt": "a boat", "duration": 1, "size": "320x180"}
PATIENCE_SECONDS = 300


class Gateway:
    """A running gateway and its first key."""

    def __init__(self, binary, directory):
        self.log = directory / "gateway.log"
        environment = {"FILMGATE_ENGINE__PROVIDERS_FROM_ENVIRONMENT": "false", "RUST_LOG": "warn"}
        command = [binary, "--data", directory / "data", "--json", "serve", "--listen", "127.0.0.1:0"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        told = self.process.stdout.readline()
        if not told:
            raise SystemExit(f"the gateway did not start:\n{self.log.read_text()}")
        told = json.loads(told)
        self.address, self.key = told["address"], told["key"]
        self.authorization = {"Authorization": f"Bearer {self.key}"}

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = self.authorization | {"Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def document(self):
        return self.call("GET", "/openapi.json")

    def create(self, **simulate):
        order = ORDER | ({"provider_params": {"simulate": simulate}} if simulate else {})
        return self.call("POST", "/v1/videos", order)

    def ended(self, **simulate):
        """A video that has ended by itself."""
        return self.call("GET", f"/v1/videos/{self.create(**simulate)['id']}?wait=60")

    def cancelled(self):
        return self.call("POST", f"/v1/videos/{self.create(render_seconds=3600)['id']}/cancel")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def good_requests(gateway):
    """For each operation what it takes, by its method and path. All of them are to succeed."""
    completed = gateway.ended()
    failed = gateway.ended(fail="provider_error")
    video, failed_id, record = completed["id"], failed["id"], completed["generation_id"]
    key = gateway.call("POST", "/v1/keys", {"name": "to be revoked"})["id"]
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
        yield "GET", one, {"path": {"video_id": video}, "headers": {"If-None-Match": "*"}}
        for query in [{}, {"index": 0}, {"variant": "thumbnail"}]:
            for headers in [{}, {"Range": "bytes=0-9"}]:
                yield "GET", f"{one}/content", {"path": {"video_id": video}, "query": query, "headers": headers}
        for wish in [{}, {"ttl_seconds": 60, "variant": "thumbnail", "disposition": "inline", "index": 0}]:
            yield "POST", f"{one}/download_url", {"path": {"video_id": video}, "body": wish}
        yield "POST", f"{one}/retry", {"path": {"video_id": failed_id}}
        yield "DELETE", one, {"path": {"video_id": gateway.ended()["id"]}}
    yield "POST", "/v1/keys", {"body": {"name": "a reader's", "role": "read"}}
    yield "GET", "/v1/keys", {}
    yield "DELETE", "/v1/keys/{key_id}", {"path": {"key_id": key}}
    yield "POST", "/v1/workspaces", {"body": {"name": "another"}}
    yield "GET", "/v1/workspaces", {}


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
        if not 200 <= answer.status_code < 400:
            faults.append(f"{method} {answer.request.url} was answered {answer.status_code}: {answer.text}")
        try:
            case.validate_response(answer, checks=CHECKS)
        except schemathesis.errors.FailureGroup as group:
            faults += [f"{method} {answer.request.url}: {failure}" for failure in group.exceptions]
    for left_out in sorted(operations(document) - set(asked)):
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
    """Lets schemathesis make requests of its own. Ids it has met in answers are used again."""
    report = directory / "report.ndjson"
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "run", f"{gateway.address}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {gateway.key}"]
    command += ["--checks", ",".join([check.__name__ for check in CHECKS] + ["ignored_auth"])]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "12", "--seed", "1"]
    command += ["--generation-database", "none", "--warnings", "off", "--continue-on-failure"]
    command += ["--report", "ndjson", "--report-ndjson-path", str(report)]
    environment = {name: os.environ[name] for name in ["PATH", "HOME", "LANG"] if name in os.environ}
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    met = statuses(report)
    for operation, counts in sorted(met.items()):
        print(f"  {operation}: " + ", ".join(f"{status} {count} times" for status, count in sorted(counts.items())))
    print(f"made by schemathesis: {sum(counts.total() for counts in met.values())} requests")
    faults = [] if done.returncode == 0 else [done.stdout]
    return faults + [f"{operation} was never asked" for operation in operations(gateway.document()) - set(met)]


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
    # No job is left running: a request that waits for its end would be held for a minute.
    for video in gateway.call("GET", "/v1/videos?limit=200&status=queued,processing")["data"]:
        gateway.call("POST", f"/v1/videos/{video['id']}/cancel")
    faults += expect_no_surprise(gateway, directory)
    log = gateway.log.read_text().splitlines()
    faults += [f"in the gateway's log: {line}" for line in log if "ERROR" in line or "panic" in line]
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
        gateway = Gateway(binary, directory)
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
