"""Repeats of a create whose answer was lost: one job and one charge, whatever lies between client and gateway.

Usage: python retries.py path/to/filmgate

The stock OpenAI client is left to its own retries behind a proxy that answers in the gateway's place, cuts
connections, keeps answers to itself and pulls the gateway's plug. A client that says nothing of its retries is
played with the standard library, and speaks to the gateway directly.

Each scenario has a workspace of its own. Afterwards the videos, the ledger and the usage of that workspace are
counted in whole numbers. First of all, a proxy that hides the client's retry header must bring about two jobs, and
the counting must notice, or nothing here means anything.
"""

import collections
import concurrent.futures
import contextlib
import gzip
import http.client
import http.server
import json
import os
import pathlib
import select
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.parse

import openai

from gateway import ORDER, Gateway

PATIENCE_SECONDS = 60
PRICE_NANOS = 10_000_000
RETRY_COUNT = "x-stainless-retry-count"
REPLAYED = "x-filmgate-replayed"
ENDLESS = ORDER | {"provider_params": {"simulate": {"render_seconds": 3600}}}


class Wrong(Exception):
    """The gateway, or this test, did not do as promised."""


def expect(found, wanted, what):
    if found != wanted:
        raise Wrong(f"{what}: {found!r}, and {wanted!r} was promised")


def until(gateway, condition, what):
    """Gives up after a minute. In between, the gateway is asked how it is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Wrong(f"it never came about that {what}")
        gateway.call("GET", "/health")


def until_answer_is(gateway, word, video):
    """Nothing the gateway serves tells what became of an answer, so its database is asked."""
    path = gateway.directory / "data" / "filmgate.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE_SECONDS)) as store:
        question = "SELECT answer FROM unacknowledged WHERE job = ?"
        until(gateway, lambda: store.execute(question, [video]).fetchone() == (word,), f"the answer to {video} is {word}")


# The proxy.


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on, except that a client's tries meet `faults`: the first try the first one, and so on."""

    daemon_threads = True

    def __init__(self, gateway, faults, hidden=()):
        super().__init__(("127.0.0.1", 0), Try)
        self.gateway, self.faults, self.hidden = gateway, faults, hidden
        # Everything a client sent here, in the order of its coming.
        self.tries = []
        self.broken = []
        self.base_url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request, client_address):
        self.broken.append(repr(sys.exception()))

    def answers(self):
        """What the gateway answered, in the order of the tries."""
        return [one.answer for one in self.tries if one.answer]


class Try(http.server.BaseHTTPRequestHandler):
    """One request of a client."""

    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_SECONDS

    def do_POST(self):
        self.close_connection = True
        self.body = self.rfile.read(int(self.headers["content-length"]))
        self.number = int(self.headers[RETRY_COUNT])
        self.answer = None
        self.server.tries.append(self)
        faults = self.server.faults
        fault = faults[self.number] if self.number < len(faults) else passed_on
        fault(self)

    def forward(self):
        """Reads the gateway's answer to its end: whatever happens then, the job is stored."""
        hidden = {"host", "connection", *self.server.hidden}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in hidden}
        with connected(self.server.gateway) as connection:
            connection.request("POST", self.path, self.body, headers | {"Connection": "close"})
            self.answer = Answer(connection.getresponse())
        return self.answer

    def reply(self, status, headers, body, cut_at=None):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", len(body))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body[:cut_at])

    def cut(self):
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass


class Answer:
    """What the gateway said to a create, whole."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()
        self.replayed = self.headers.get(REPLAYED)

    def video(self):
        text = gzip.decompress(self.body) if self.headers["content-encoding"] == "gzip" else self.body
        expect(self.status, 202, f"status of a create that was answered {text}")
        return json.loads(text)

    def id(self):
        return self.video()["id"]

    def end_to_end_headers(self):
        own = {"connection", "content-length", "transfer-encoding"}
        return [(name, value) for name, value in self.headers.items() if name.lower() not in own]


@contextlib.contextmanager
def connected(gateway):
    host = urllib.parse.urlsplit(gateway.address).netloc
    connection = http.client.HTTPConnection(host, timeout=PATIENCE_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


# The faults: what becomes of a try.


def passed_on(one):
    answer = one.forward()
    one.reply(answer.status, answer.end_to_end_headers(), answer.body)


def turned_into_503(one):
    one.forward()
    one.reply(503, [], b"upstream connect error or disconnect/reset before headers")


def cut_before_the_answer(one):
    one.forward()
    one.cut()


def cut_within_the_answer(one):
    answer = one.forward()
    one.reply(answer.status, answer.end_to_end_headers(), answer.body, cut_at=len(answer.body) // 2)
    one.wfile.flush()
    one.cut()


def kept_until_the_client_gives_up(one):
    one.forward()
    readable, _, _ = select.select([one.connection], [], [], PATIENCE_SECONDS)
    with contextlib.suppress(ConnectionResetError):
        if not readable or one.connection.recv(1):
            raise Wrong("the client waits for ever")


def refused_with(status):
    def fault(one):
        one.reply(status, [], b"the proxy is busy")

    return fault


def killed(one):
    """Before it is noted that the answer was given: its next start takes it for lost."""
    one.forward()
    one.server.gateway.kill()
    one.server.gateway.start()
    one.cut()


def killed_later(one):
    answer = one.forward()
    until_answer_is(one.server.gateway, "given", answer.id())
    one.server.gateway.kill()
    one.server.gateway.start()
    one.cut()


def side_by_side(barrier, fault):
    """Not before another client is as far."""

    def both(one):
        barrier.wait(timeout=PATIENCE_SECONDS)
        fault(one)

    return both


# The clients, and what they are charged.


class Workspace:
    """With a key of its own."""

    def __init__(self, gateway, name):
        self.gateway = gateway
        self.id = gateway.call("POST", "/v1/workspaces", {"name": name})["id"]
        self.key = gateway.call("POST", "/v1/keys", {"name": name, "workspace_id": self.id})["key"]

    def call(self, method, path):
        return self.gateway.call(method, path, key=self.key)

    def videos(self):
        page = self.call("GET", "/v1/videos?limit=200")
        expect(page["has_more"], False, "more than a page of videos")
        return [video["id"] for video in page["data"]]

    def postings(self):
        """The ledger, the oldest first."""
        page = self.gateway.call("GET", f"/v1/credits/entries?workspace_id={self.id}&limit=200")
        expect(page["has_more"], False, "more than a page of postings")
        return page["data"][::-1]

    def stock_create(self, proxy, **settings):
        """What the stock client's create gives back in the end."""
        settings = {"timeout": PATIENCE_SECONDS} | settings
        with openai.OpenAI(api_key=self.key, base_url=proxy.base_url, **settings) as client:
            return client.videos.with_raw_response.create(
                model=ORDER["model"], prompt=ORDER["prompt"], seconds="1", size=ORDER["size"]
            )

    def request(self, connection, order, **headers):
        headers |= {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/videos", json.dumps(order), headers)

    def create(self, order, **headers):
        """A create that is answered, by a client without retries."""
        with connected(self.gateway) as connection:
            self.request(connection, order, **headers)
            return Answer(connection.getresponse())

    @contextlib.contextmanager
    def waiting(self, order):
        """The id of a video whose create the gateway does not answer yet. At the end the client hangs up."""
        before = set(self.videos())
        with connected(self.gateway) as connection:
            self.request(connection, order, Prefer="wait=60")
            until(self.gateway, lambda: len(self.videos()) == len(before) + 1, "the video is stored")
            (video,) = set(self.videos()) - before
            yield video

    def lose(self, order):
        """A video whose create was never answered, once the gateway knows that."""
        with self.waiting(order) as video:
            pass
        until_answer_is(self.gateway, "lost", video)
        return video

    def cancel_all(self):
        """Endless videos end here, and cost nothing."""
        videos = self.videos()
        for video in videos:
            self.call("POST", f"/v1/videos/{video}/cancel")

        def released():
            return sum(posting["kind"] == "release" for posting in self.postings())

        until(self.gateway, lambda: released() == len(videos), "each hold is released")

    def expect_books(self, videos, charged=True):
        """Exactly these videos, each held once and captured once, or released once. Acknowledges them."""
        expect(sorted(self.videos()), sorted(videos), "the videos there are")
        amount = PRICE_NANOS if charged else 0
        for video in videos:
            ended = self.call("GET", f"/v1/videos/{video}?wait=60")
            expect(ended["status"], "completed" if charged else "cancelled", "status")
            expect(ended["billing"]["total_nanos"], amount, "charge")
        postings = self.postings()
        kinds = collections.defaultdict(list)
        sums = collections.Counter()
        for posting in postings:
            kinds[posting["video_id"]].append(posting["kind"])
            expect(sum(entry["amount_nanos"] for entry in posting["entries"]), 0, "sum of a posting")
            for entry in posting["entries"]:
                sums[entry["account"]] += entry["amount_nanos"]
        each = ["capture", "hold", "provider_cost"] if charged else ["hold", "release"]
        expect({video: sorted(found) for video, found in kinds.items()}, dict.fromkeys(videos, each), "ledger")
        total = amount * len(videos)
        wanted = {"ws:available": -total, "operator:revenue": total}
        wanted |= {"external:providers": -total, "operator:provider_cost": total}
        wanted = {account: nanos for account, nanos in wanted.items() if nanos}
        expect({account: nanos for account, nanos in sums.items() if nanos}, wanted, "sums")
        usage = self.call("GET", "/v1/usage")["total"]
        counted = (usage["jobs"], usage["user_cost_nanos"], usage["provider_cost_nanos"])
        expect(counted, (len(videos) if charged else 0, total, total), "usage")
        credits = self.call("GET", "/v1/credits")
        expect((credits["balance_nanos"], credits["reserved_nanos"]), (-total, 0), "credits")


# The scenarios. Each is given a workspace.


@contextlib.contextmanager
def proxied(workspace, *faults, **settings):
    with Proxy(workspace.gateway, faults, **settings) as proxy:
        serving = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            serving.join()
        expect(proxy.broken, [], "what went wrong in the proxy")


def expect_stock_retries(proxy, tries):
    """The client did what stock clients do, or this tests nothing."""
    expect([one.number for one in proxy.tries], tries, "tries")
    expect([one for one in proxy.tries if one.headers["idempotency-key"]], [], "tries with an idempotency key")
    expect({one.headers.get_content_type() for one in proxy.tries}, {"multipart/form-data"}, "content types")
    bodies = {one.body for one in proxy.tries}
    expect(len(bodies), len(proxy.tries), "bodies that differ: each try has a boundary of its own")


def one_call(*faults, **settings):
    """One create, as many retries as there are faults, one job."""

    def scenario(workspace):
        with proxied(workspace, *faults) as proxy:
            given = workspace.stock_create(proxy, **settings)
        video = given.parse().id
        expect_stock_retries(proxy, list(range(len(faults) + 1)))
        expect(given.retries_taken, len(faults), "retries the client counts")
        answers = proxy.answers()
        expect([answer.id() for answer in answers], [video] * len(answers), "jobs the gateway named")
        expect([answer.replayed for answer in answers], [None] + ["true"] * (len(answers) - 1), REPLAYED)
        expect(given.headers.get(REPLAYED), answers[-1].replayed, "the header, as the client sees it")
        creator = {answer.video()["request_id"] for answer in answers}
        expect(creator, {answers[0].headers["x-request-id"]}, "the request that made the job")
        workspace.expect_books([video])

    return scenario


def expect_twins(workspace, proxy, given):
    videos = [one.parse().id for one in given]
    expect(len(set(videos)), 2, "different ids of two calls")
    expect(sorted({answer.id() for answer in proxy.answers()}), sorted(videos), "jobs the gateway named")
    expect(sum(answer.replayed is None for answer in proxy.answers()), 2, "answers to what was new")
    workspace.expect_books(videos)


def twins_in_turn(*faults):
    def scenario(workspace):
        with proxied(workspace, *faults) as proxy:
            given = [workspace.stock_create(proxy) for _ in range(2)]
        expect_stock_retries(proxy, list(range(len(faults) + 1)) * 2)
        expect_twins(workspace, proxy, given)

    return scenario


def twins_at_once(*faults):
    """Both are at the same try, each time."""

    def scenario(workspace):
        barrier = threading.Barrier(2)
        paired = [side_by_side(barrier, fault) for fault in [*faults, passed_on]]
        with proxied(workspace, *paired) as proxy, concurrent.futures.ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(workspace.stock_create, proxy) for _ in range(2)]
            given = [call.result(timeout=PATIENCE_SECONDS * 4) for call in calls]
        expect_stock_retries(proxy, [number for number in range(len(faults) + 1) for _ in range(2)])
        expect_twins(workspace, proxy, given)

    return scenario


def a_hidden_header(workspace):
    """Must go wrong: without its header the client's retry is a job of its own, and the books must tell."""
    with proxied(workspace, turned_into_503, hidden=[RETRY_COUNT]) as proxy:
        video = workspace.stock_create(proxy).parse().id
    expect_stock_retries(proxy, [0, 1])
    expect(len(workspace.videos()), 2, "videos of a client whose retry header is hidden")
    try:
        workspace.expect_books([video])
    except Wrong:
        workspace.expect_books(workspace.videos())
        return
    raise Wrong("the books show one job where there are two")


def expect_replay(answer, video):
    expect((answer.id(), answer.replayed), (video, "true"), "an identical create")


def expect_new(answer, *known):
    expect((answer.id() in known, answer.replayed), (False, None), f"whether {answer.id()} was there before")
    return answer.id()


def hung_up(workspace):
    lost = workspace.lose(ENDLESS)
    expect_replay(workspace.create(ENDLESS), lost)
    # That one was read to its end.
    other = expect_new(workspace.create(ENDLESS), lost)
    workspace.cancel_all()
    workspace.expect_books([lost, other], charged=False)


def hung_up_twice(workspace):
    lost = workspace.lose(ENDLESS)
    with connected(workspace.gateway) as connection:
        workspace.request(connection, ENDLESS, Prefer="wait=60")
        until_answer_is(workspace.gateway, "open", lost)
    until_answer_is(workspace.gateway, "lost", lost)
    expect_replay(workspace.create(ENDLESS), lost)
    workspace.cancel_all()
    workspace.expect_books([lost], charged=False)


def still_running(workspace):
    with workspace.waiting(ENDLESS) as first:
        other = expect_new(workspace.create(ENDLESS), first)
    until_answer_is(workspace.gateway, "lost", first)
    expect_replay(workspace.create(ENDLESS), first)
    workspace.cancel_all()
    workspace.expect_books([first, other], charged=False)


def read_whole(workspace):
    first = expect_new(workspace.create(ORDER))
    second = expect_new(workspace.create(ORDER), first)
    until_answer_is(workspace.gateway, "given", first)
    third = expect_new(workspace.create(ORDER), first, second)
    workspace.expect_books([first, second, third])


def asked_for(workspace):
    """A video somebody knows of is given neither to a silent client nor to one that says it tries again."""
    lost = workspace.lose(ENDLESS)
    workspace.call("GET", f"/v1/videos/{lost}")
    silent = expect_new(workspace.create(ENDLESS), lost)
    workspace.call("GET", f"/v1/videos/{silent}")
    retry = expect_new(workspace.create(ENDLESS, **{RETRY_COUNT: "1"}), lost, silent)
    workspace.cancel_all()
    workspace.expect_books([lost, silent, retry], charged=False)


def process_died(workspace):
    with workspace.waiting(ENDLESS) as lost:
        workspace.gateway.kill()
        workspace.gateway.start()
    expect_replay(workspace.create(ENDLESS), lost)
    workspace.cancel_all()
    workspace.expect_books([lost], charged=False)


SCENARIOS = {
    "a proxy that hides the retry header makes two jobs of one call, and the books tell": a_hidden_header,
    "our answer became a 503": one_call(turned_into_503),
    "our answer became a 503 twice": one_call(turned_into_503, turned_into_503),
    "the connection was cut before our answer": one_call(cut_before_the_answer),
    "the connection was cut before our answer twice": one_call(cut_before_the_answer, cut_before_the_answer),
    "the connection was cut within our answer": one_call(cut_within_the_answer),
    "the client gave up waiting": one_call(kept_until_the_client_gives_up, timeout=2.0),
    "the proxy was busy, and we never asked": one_call(refused_with(429), refused_with(408)),
    "the proxy was busy, then our answer became a 503": one_call(refused_with(429), turned_into_503),
    "our answer became a 503, then the proxy was busy": one_call(turned_into_503, refused_with(408)),
    "the gateway was killed after it had answered": one_call(killed),
    "the gateway was killed when it had noted that it answered": one_call(killed_later),
    "the gateway was killed twice": one_call(killed, killed),
    "twins in turn": twins_in_turn(turned_into_503),
    "twins in turn, two faults each": twins_in_turn(turned_into_503, turned_into_503),
    "twins at once": twins_at_once(turned_into_503),
    "twins at once, two faults each": twins_at_once(turned_into_503, turned_into_503),
    "a silent client hung up": hung_up,
    "a silent client hung up twice": hung_up_twice,
    "a silent client's first request still runs": still_running,
    "a silent client read its answer": read_whole,
    "a silent client's video was asked for": asked_for,
    "the gateway was killed before it answered a silent client": process_died,
}


def run(gateway):
    failed = 0
    for name, scenario in SCENARIOS.items():
        try:
            scenario(Workspace(gateway, name))
            print(f"ok      {name}")
        except Exception as error:
            failed += 1
            print(f"FAILED  {name}: {error!r}")
    alarms = gateway.alarms()
    for line in alarms:
        print(f"in the gateway's log: {line}")
    print(f"{len(SCENARIOS) - failed} passed, {failed} failed")
    return 1 if failed or alarms else 0


def main(binary):
    # Nothing here is to be sent through a proxy but our own.
    os.environ["NO_PROXY"] = "*"
    with tempfile.TemporaryDirectory() as directory:
        gateway = Gateway(str(pathlib.Path(binary).resolve()), pathlib.Path(directory))
        try:
            return run(gateway)
        finally:
            gateway.stop()


if __name__ == "__main__":
    # Whoever ends this ends the gateway too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if len(sys.argv) != 2:
        raise SystemExit("usage: python retries.py path/to/filmgate")
    sys.exit(main(sys.argv[1]))
