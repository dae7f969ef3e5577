"""Figures of the way to a provider: what the gateway adds to a submit, how often it asks, how soon it knows.

The provider is the emulator in a process of its own, on the same cores.
"""
import http.client, json, statistics, time

from ground import KEY
from scale import MODEL, WORKERS, Emulator, OnFiles, make, per

SUBMITS = 300
WARM = 20
# Seconds between them.
PAUSES = 0, 0.05
# Seconds that a job takes there, and between polls at least.
RENDER, POLL_EVERY = 30, 5
SIZES = 1, 100, 5_000


def submit(directory):
    """From the create's first byte to the provider's yes, beside the same submit without us: back to back, and with pauses."""
    with OnFiles().open(directory) as ground, Emulator(86_400).open() as emulator:
        with ground.gate(emulator.lines("1h")).open() as gate:
            straight = http.client.HTTPConnection("127.0.0.1", emulator.port)
            ours = http.client.HTTPConnection("127.0.0.1", gate.port)
            for pause in PAUSES:
                one_submit(emulator, straight, ours, pause)


def one_submit(emulator, straight, ours, pause):
    name = f"{pause} s apart"
    accepted = emulator.told("counts")["accepted"]
    direct, through = [], []
    for number in range(SUBMITS):
        body = json.dumps({"model": "wan", "prompt": f"a hen {name} {number}", "seconds": "1", "size": "320x180"})
        direct.append(timed(straight, body, {}))
        time.sleep(pause)
        body = json.dumps({"model": MODEL, "prompt": f"a boat {name} {number}", "duration": 1, "size": "320x180"})
        began = time.time()
        through.append((began, timed(ours, body, {"Authorization": f"Bearer {KEY}"})))
        accepted += 2
        while emulator.told("counts")["accepted"] < accepted:
            pass
    records = {record["prompt"]: record["accepted_at_ms"] for record in emulator.told("jobs")}
    # The emulator tells whole milliseconds, cut off: half of one is added.
    taken = [records[f"a boat {name} {number}"] + 0.5 - began * 1000 for number, (began, _) in enumerate(through)][WARM:]
    answered = [seconds * 1000 for _, seconds in through][WARM:]
    alone = [seconds * 1000 for seconds in direct][WARM:]
    middle = statistics.median
    print(f"submits {name}: straight to the emulator one is answered after {middle(alone):.2f} ms at p50; a create is answered after "
          f"{middle(answered):.2f} ms and accepted by the emulator {middle(taken):.2f} ms after it began: "
          f"{middle(taken) - middle(alone):.2f} ms more, p99 {per(sorted(taken), 0.99) - per(sorted(alone), 0.99):.2f} ms", flush=True)


def timed(connection, body, headers):
    began = time.monotonic()
    connection.request("POST", "/v1/videos", body, {"Content-Type": "application/json", **headers})
    answer = connection.getresponse()
    answer.read()
    assert answer.status in (200, 202), answer.status
    return time.monotonic() - began


def asking(directory):
    """Polls of a job and how late its end is seen: of a kind nobody has seen yet, and of one that is known."""
    for jobs in SIZES:
        place = directory / f"asking-{jobs}"
        place.mkdir()
        with OnFiles().open(place) as ground, Emulator(RENDER).open() as emulator:
            with ground.gate(emulator.lines(f"{POLL_EVERY}s"), engine__workers=WORKERS).open() as gate:
                for kind in "unknown", "known":
                    one_asking(ground, emulator, gate, place, jobs, kind)


def one_asking(ground, emulator, gate, directory, jobs, kind):
    before = {record["id"] for record in emulator.told("jobs")}
    make([gate], directory, jobs)
    while ground.ask("SELECT count(*) FROM jobs WHERE ended_at IS NULL")[0][0]:
        time.sleep(0.2)
    ended = dict(ground.ask("SELECT attempts.native, jobs.ended_at FROM jobs JOIN attempts ON attempts.job = jobs.id "
                            "WHERE jobs.state = 'completed'"))
    records = [record for record in emulator.told("jobs") if record["id"] not in before]
    polls = statistics.mean(record["polls"] for record in records)
    seen = sorted(record["told_at_ms"] - record["ready_at_ms"] for record in records)
    stored = sorted(ended[record["id"]] - record["ready_at_ms"] for record in records)
    moments = {}
    for record in records:
        for at in record["polled_at_ms"]:
            moments[at // 1000] = moments.get(at // 1000, 0) + 1
    print(f"{len(records):,} jobs of {RENDER} s of an {kind} kind, polled every {POLL_EVERY} s at most: {polls:.2f} polls a job (every "
          f"{POLL_EVERY} s would be {RENDER // POLL_EVERY}); the end is seen {per(seen, 0.5) / 1000:.1f} s late at p50, "
          f"{per(seen, 0.99) / 1000:.1f} s at p99, completed {per(stored, 0.5) / 1000:.1f} s and {per(stored, 0.99) / 1000:.1f} s; the "
          f"busiest second had {max(moments.values()):,} polls", flush=True)
