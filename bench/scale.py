"""Figures of many jobs and many replicas: what one process carries, and what others beside it add.

The provider is the emulator (`filmgate dev upstream openai-compatible`) in a process of its own, on the same cores.
"""
import contextlib, json, os, pathlib, signal, socket, sqlite3, statistics, subprocess, time
import urllib.request

from ground import (HELD_UP, KEY, RELEASE, ROOT, ROUNDS, SECONDS, Gate, cpu_seconds, free_port, report, running, until_answers,
                    wrk)

MODEL = "local/wan"
MASTER_KEY = "0123456789abcdef" * 4
WORKERS = 512
CLIENTS = 66
# What `engine::cadence` waits as a job of an unknown kind grows old: a tenth of its age, up to this, or `poll_every` where
# that is more, and each job by a share of its own up to an eighth longer.
LONGEST_GAP_MS = 30_000
LONGER = 1.125


class Emulator:
    """A provider that takes a job for done after `render` seconds and remembers every poll."""

    def __init__(self, render):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.command = [RELEASE / "filmgate", "dev", "upstream", "openai-compatible", "--clips", "tiny", "--listen",
                        f"127.0.0.1:{self.port}", "--render-seconds", str(render)]

    @contextlib.contextmanager
    def open(self):
        with running(self.command) as process:
            until_answers(self.base + "/_emulator/counts")
            self.pid = process.pid
            yield self

    def told(self, what):
        with urllib.request.urlopen(f"{self.base}/_emulator/{what}") as answer:
            return json.load(answer)

    def lines(self, poll_every):
        return (f'[providers.gpu-box]\nkind = "openai-compatible"\nbase_url = "{self.base}/v1"\nflavour = "openai"\n'
                f'poll_every = "{poll_every}"\n[[providers.gpu-box.models]]\nid = "{MODEL}"\nnative_model_id = "wan"\n'
                'durations = [1]\nsizes = ["320x180"]\nprice = { output_second = "0.02" }\n')


class OnFiles:
    """SQLite and a directory: for one gateway."""

    name = "SQLite and files"
    tables = "jobs", "admissions", "attempts", "timeline", "outbox", "postings", "unacknowledged"

    @contextlib.contextmanager
    def open(self, directory):
        self.directory = directory
        yield self

    def gate(self, lines, **settings):
        return Gate(self.directory / "gate", lines, **settings)

    def ask(self, question):
        database = sqlite3.connect(f"file:{self.directory}/gate/filmgate.db?mode=ro", uri=True)
        with contextlib.closing(database):
            return database.execute(question).fetchall()

    def bytes(self):
        return self.ask("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")[0][0]

    def cpu_seconds(self):
        return 0


class OnPostgres:
    """A PostgreSQL server of its own and a directory that all gateways share."""

    name = "PostgreSQL and files"
    tables = *OnFiles.tables, "work"

    @contextlib.contextmanager
    def open(self, directory):
        self.directory = directory
        self.gates = 0
        programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.port = free_port()
        # The server refuses to run as root; Debian's package brings a user for it.
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        keeper = (ROOT / "crates/testbed/src/cluster.sh").read_text()
        command = [*user, "sh", "-c", keeper, "cluster", programs, str(self.port)]
        process = subprocess.Popen(command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            if process.stdout.readline() != "ready\n":
                raise SystemExit("no PostgreSQL server could be started")
            self.url = f"postgres://filmgate@127.0.0.1:{self.port}/postgres"
            self.server = int(self.ask("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")[0][0])
            self.fresh()
            yield self
        finally:
            # The end of its input is the end of the server and its files.
            process.stdin.close()
            process.wait()

    def fresh(self):
        """From here on, an empty database."""
        self.gates += 1
        server = self.url.rsplit("/", 1)[0]
        self.ask(f"CREATE DATABASE bench_{self.gates}")
        self.url = f"{server}/bench_{self.gates}"

    def gate(self, lines, **settings):
        self.gates += 1
        return Gate(self.directory / f"gate-{self.gates}", lines, store__url=self.url, security__master_key=MASTER_KEY,
                    assets__url=f"file:{self.directory}/assets", **settings)

    def ask(self, question):
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", question]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        number = lambda field: int(field) if field.lstrip("-").isdigit() else field
        return [tuple(map(number, line.split("|"))) for line in out.splitlines()]

    def bytes(self):
        return self.ask("SELECT pg_database_size(current_database())")[0][0]

    def cpu_seconds(self):
        total = cpu_seconds(self.server)
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if stat.read_text().rsplit(")", 1)[1].split()[1] == str(self.server):
                    total += cpu_seconds(stat.parent.name)
        return total

    def pgbench(self, directory, statement, connections):
        """Statements a second: what the server gives without HTTP and without us."""
        script = directory / "statement.sql"
        script.write_text(statement)
        command = ["pgbench", "-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-T", str(SECONDS), "-f", script, self.url]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return float(out.split("tps = ")[1].split()[0])


def make(gates, directory, count):
    """Creates `count` videos, each with a prompt of its own, at all of `gates` at once. Answers when it began."""
    began = time.monotonic()
    loads = []
    for turn, gate in enumerate(gates):
        share = count // len(gates) + (turn < count % len(gates))
        body = json.dumps({"model": MODEL, "prompt": f"a boat {turn}-#", "duration": 1, "size": "320x180"})
        before, after = body.split("#")
        script = directory / f"make-{turn}.lua"
        script.write_text(
            f"local made, answered = 0, 0\nlocal headers = {{['Content-Type'] = 'application/json', ['Authorization'] = 'Bearer {KEY}'}}\n"
            f"request = function() made = made + 1 return wrk.format('POST', nil, headers, '{before}' .. made .. '{after}') end\n"
            "response = function(status) if status ~= 202 then io.stderr:write(status, '\\n') os.exit(1) end\n"
            f"answered = answered + 1 if answered == {share} then os.exit(0) end end\n")
        connections = max(1, min(CLIENTS // len(gates), share))
        loads.append(subprocess.Popen(["wrk", "-t1", f"-c{connections}", "-d3600s", "-s", script, gate.base + "/v1/videos"],
                                      stdout=subprocess.DEVNULL))
    for load in loads:
        assert load.wait() == 0, "a create was not answered with 202"
    return began


def per(values, share):
    return values[min(len(values) - 1, int(len(values) * share))]


def late(records, poll_every_ms, begin, end):
    """How late each poll between `begin` and `end` came, in order; those that did not come yet count as if they had at `end`."""
    found, due = [], 0
    for record in records:
        polls = record["polled_at_ms"]
        for before, after in zip(polls, [*polls[1:], None]):
            old = min(LONGEST_GAP_MS, (before - record["accepted_at_ms"]) // 10)
            wanted = before + max(poll_every_ms, old) * LONGER
            if begin <= wanted < end:
                due += 1
                found.append(max(0, round((end if after is None else min(after, end)) - wanted)))
    return sorted(found), due


# Seconds between polls, and jobs; of each, until a number does not hold any more.
FLIGHTS = {10: (10_000, 20_000, 50_000, 80_000, 100_000), 30: (100_000,)}
SETTLING_SECONDS = 15
WINDOW_SECONDS = 60
HOLDS_MS = 1000


def flight(directory, grounds=(OnFiles, OnPostgres), flights=FLIGHTS):
    for ground in grounds:
        print(f"in flight on one replica, {ground.name}, {WORKERS} workers, {WINDOW_SECONDS} s each", flush=True)
        for poll_every, sizes in flights.items():
            for jobs in sizes:
                place = directory / f"{ground.__name__}-{poll_every}-{jobs}"
                place.mkdir()
                if one_flight(ground(), place, jobs, poll_every) >= HOLDS_MS:
                    break


def one_flight(ground, directory, jobs, poll_every):
    with ground.open(directory), Emulator(86_400).open() as emulator:
        with ground.gate(emulator.lines(f"{poll_every}s"), engine__workers=WORKERS).open(signal.SIGKILL) as gate:
            empty, idle = ground.bytes(), gate.resident_mib()
            began = make([gate], directory, jobs)
            created = time.monotonic() - began
            while emulator.told("counts")["accepted"] < jobs:
                time.sleep(0.5)
            submitted = time.monotonic() - began
            time.sleep(SETTLING_SECONDS)
            costs = lambda: (gate.cpu_seconds(), cpu_seconds(emulator.pid), ground.cpu_seconds(), emulator.told("counts")["polls"])
            before, begin = costs(), time.time() * 1000
            time.sleep(WINDOW_SECONDS)
            after, end = costs(), time.time() * 1000
            seconds = (end - begin) / 1000
            ours, theirs, server, polls = ((now - then) / seconds for then, now in zip(before, after))
            resident = (gate.resident_mib() - idle) * 1024 / jobs
            stored = (ground.bytes() - empty) / jobs
            rows = sum(ground.ask(f"SELECT count(*) FROM {table}")[0][0] for table in ground.tables) / jobs
        records = emulator.told("jobs")
        found, due = late(records, poll_every * 1000, begin, end)
        url = f"{emulator.base}/v1/videos/{records[0]['id']}"
        alone, _, _ = wrk(url, 64)
    print(f"  {jobs:,} jobs every {poll_every} s: created in {created:.0f} s, submitted in {submitted:.0f} s; polls {polls:,.0f}/s of "
          f"{due / seconds:,.0f} due (the emulator alone answers {alone:,.0f}/s); late by {per(found, 0.5)} ms at p50, "
          f"{per(found, 0.99)} ms at p99; cores: gateway {ours:.2f}, emulator {theirs:.2f}, database server {server:.2f}; "
          f"CPU per poll {ours / polls * 1e6:.0f} us; resident {resident:.2f} KiB a job over {idle:.0f} MiB, "
          f"database {stored:,.0f} bytes and {rows:.1f} rows a job", flush=True)
    return per(found, 0.99)


LIMIT_TABLES = """CREATE TABLE limit_jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
    CREATE TABLE limit_events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job bigint NOT NULL, body text NOT NULL)"""
# As large as the row of a job, in one statement and one commit.
TWO_ROWS = """WITH job AS (INSERT INTO limit_jobs (body) VALUES (repeat('x', 2000)) RETURNING id)
    INSERT INTO limit_events (job, body) SELECT id, 'created' FROM job;"""
CONNECTIONS = 20


def replicas(directory):
    numbers = 1, 3
    creates, reads, inserts, points = ({number: [] for number in numbers} for _ in range(4))
    with OnPostgres().open(directory) as ground:
        for turn in range(ROUNDS):
            for number in numbers:
                ground.fresh()
                ground.ask(LIMIT_TABLES)
                inserts[number].append(ground.pgbench(directory, TWO_ROWS, CONNECTIONS * number))
                # A gateway takes no database with tables of others.
                ground.fresh()
                with contextlib.ExitStack() as fleet:
                    settings = {"engine__workers": 1, "store__connections": CONNECTIONS}
                    gates = [fleet.enter_context(ground.gate("", **settings).open(signal.SIGKILL)) for _ in range(number)]
                    video, _, _ = gates[0].finished_video()
                    point = f"SELECT life, version FROM jobs WHERE id = '{video}';"
                    points[number].append(ground.pgbench(directory, point, CONNECTIONS * number))
                    reads[number].append(together(gates, f"/v1/videos/{video}"))
                    script = directory / "create.lua"
                    script.write_text(f"wrk.method, wrk.body = 'POST', '{json.dumps(HELD_UP)}'\nwrk.headers['Content-Type'] = 'application/json'\n")
                    creates[number].append(together(gates, "/v1/videos", "-s", str(script)))
    for number in numbers:
        replicas = f"{number} replica{'s' if number > 1 else ''}, PostgreSQL, {CLIENTS} clients"
        report(f"creates, {replicas}", creates[number], inserts[number], "/s", f"two-row inserts of {CONNECTIONS * number} connections")
        report(f"status by id, {replicas}", reads[number], points[number], "/s", f"point reads of {CONNECTIONS * number} connections")
    report("creates, three replicas against one", creates[3], creates[1], "/s", "one")
    report("status by id, three replicas against one", reads[3], reads[1], "/s", "one")


def together(gates, path, *arguments):
    """Requests a second that all of `gates` answer at once."""
    loads = []
    for gate in gates:
        command = ["wrk", "-t1", f"-c{CLIENTS // len(gates)}", f"-d{SECONDS}s", "-H", f"Authorization: Bearer {KEY}", *arguments]
        loads.append(subprocess.Popen([*command, gate.base + path], stdout=subprocess.PIPE, text=True))
    rate = 0
    for load in loads:
        out, _ = load.communicate()
        assert load.returncode == 0 and "Non-2xx" not in out, out
        rate += float(out.split("Requests/sec:")[1].split()[0])
    return rate


JOURNEYS = (OnFiles, 1), (OnPostgres, 3)
JOURNEY_JOBS = 500, 5_000


def journey(directory, journeys=JOURNEYS):
    for ground, number in journeys:
        for jobs in JOURNEY_JOBS:
            place = directory / f"{ground.__name__}-{jobs}"
            place.mkdir()
            one_journey(ground(), place, number, jobs)


def one_journey(ground, directory, number, jobs):
    with ground.open(directory), Emulator(1).open() as emulator, contextlib.ExitStack() as fleet:
        gate = lambda: ground.gate(emulator.lines("1s"), engine__workers=WORKERS).open()
        gates = [fleet.enter_context(gate()) for _ in range(number)]
        before = sum(gate.cpu_seconds() for gate in gates)
        make(gates, directory, jobs)
        while ground.ask("SELECT count(*) FROM jobs WHERE ended_at IS NULL")[0][0]:
            time.sleep(0.2)
        costs = (sum(gate.cpu_seconds() for gate in gates) - before) / jobs * 1000
        ended = ground.ask("SELECT attempts.native, jobs.ended_at, jobs.created_at FROM jobs JOIN attempts ON attempts.job = jobs.id "
                           "WHERE jobs.state = 'completed'")
        settled = ground.ask("SELECT count(*) FROM postings WHERE kind = 'capture'")[0][0]
        records = {record["id"]: record for record in emulator.told("jobs")}
    # A create under way when the last answer came is a job as well.
    assert jobs <= len(ended) == settled == len(records), (jobs, len(ended), settled, len(records))
    seconds = (max(end for _, end, _ in ended) - min(begin for _, _, begin in ended)) / 1000
    delays = sorted(end - records[native]["ready_at_ms"] for native, end, _ in ended)
    whole = sorted(end - begin for _, end, begin in ended)
    polls = statistics.mean(record["polls"] for record in records.values())
    print(f"{len(ended):,} jobs of a second, {number} replica{'s' if number > 1 else ''}, {ground.name}, poll_every 1 s: all stored and "
          f"settled after {seconds:.1f} s ({len(ended) / seconds:,.0f}/s); {polls:.2f} polls a job; from the provider's end to completed "
          f"{per(delays, 0.5)} ms at p50, {per(delays, 0.99)} ms at p99; from create to completed {per(whole, 0.5)} ms at p50, "
          f"{per(whole, 0.99)} ms at p99; gateways' CPU {costs:.1f} ms a job", flush=True)


WATCHED_JOBS = 1_000
WATCHERS = 10_000


def watchers(directory):
    for ground in OnFiles, OnPostgres:
        place = directory / ground.__name__
        place.mkdir()
        idle_watchers(ground(), place)


def idle_watchers(ground, directory):
    """What a stream costs that waits for a job of which nothing is new."""
    with ground.open(directory), Emulator(86_400).open() as emulator, contextlib.ExitStack() as streams:
        settings = {"server__live_watchers_per_key": 0, "server__key_burst": 1_000_000}
        with ground.gate(emulator.lines("1h"), **settings).open(signal.SIGKILL) as gate:
            make([gate], directory, WATCHED_JOBS)
            while emulator.told("counts")["accepted"] < WATCHED_JOBS:
                time.sleep(0.5)
            spent = lambda: (gate.cpu_seconds(), ground.cpu_seconds())

            def rest():
                before = spent()
                time.sleep(SETTLING_SECONDS)
                return [(now - then) / SETTLING_SECONDS for then, now in zip(before, spent())]

            alone, resident = rest(), gate.resident_mib()
            videos = [video for (video,) in ground.ask(f"SELECT id FROM jobs LIMIT {WATCHED_JOBS}")]
            for number in range(WATCHERS):
                stream = streams.enter_context(socket.create_connection(("127.0.0.1", gate.port)))
                path = f"/v1/videos/{videos[number % len(videos)]}/events"
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
                seen = b""
                while b"\n\n" not in seen.split(b"\r\n\r\n", 1)[-1]:
                    seen += stream.recv(65536)
                assert seen.startswith(b"HTTP/1.1 200"), seen
            held = (gate.resident_mib() - resident) * 1024 / WATCHERS
            ours, server = (busy - idle for busy, idle in zip(rest(), alone))
    print(f"{WATCHERS:,} event streams on {WATCHED_JOBS:,} jobs at rest, {ground.name}: resident {held:.1f} KiB each; "
          f"all together {ours * 100:.1f} % of a core in the gateway, {server * 100:.1f} % in the database server", flush=True)
