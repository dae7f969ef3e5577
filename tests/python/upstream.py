"""What the judges of emulated vendors share: starting one, telling it what happens, and looking at its films."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request

PATIENCE_SECONDS = 60
RENDER_SECONDS = 3600


class Wrong(Exception):
    """The emulator did not do as promised."""


def expect(found, wanted, what):
    if found != wanted:
        raise Wrong(f"{what}: {found!r}, and {wanted!r} was promised")


@contextlib.contextmanager
def raises(base, kind, status=None):
    """A client, whose errors are all `base`, has to raise just this. Gives back what it raised."""
    caught = []
    try:
        yield caught
    except base as error:
        expect(type(error).__name__, kind.__name__, f"what was raised, {error}")
        caught.append(error)
        if status is not None:
            expect(error.status_code, status, "status")
        return
    raise Wrong(f"{kind.__name__} was promised, and nothing was raised")


class Upstream:
    """A running emulator. Jobs take an hour there, and it is told when that has passed."""

    def __init__(self, binary, vendor, *options):
        command = [binary, "dev", "upstream", vendor, "--listen", "127.0.0.1:0"]
        command += ["--render-seconds", str(RENDER_SECONDS), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        patience = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        patience.start()
        told = self.process.stdout.readline()
        patience.cancel()
        if not told:
            self.process.wait()
            raise Wrong("the emulator did not start")
        self.told = json.loads(told)
        self.base_url, self.control_url = self.told["base_url"], self.told["control_url"]

    def stop(self):
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
        expect(code, 0, "the emulator's exit code")

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.control_url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def counts(self, prompt=None):
        return self.control("GET", "/counts" + ("?" + urllib.parse.urlencode({"prompt": prompt}) if prompt else ""))

    def record(self, prompt):
        jobs = self.control("GET", "/jobs?" + urllib.parse.urlencode({"prompt": prompt}))
        expect(len(jobs), 1, f"jobs of {prompt!r}")
        return jobs[0]

    def pass_seconds(self, seconds):
        self.control("POST", "/clock", {"advance_seconds": seconds})


def probe(film):
    """Width, height and seconds of a film, and the codecs of its streams; ffprobe says what it thinks of it."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(film)
        file.flush()
        command = ["ffprobe", "-v", "error", "-count_frames", "-of", "json", "-show_format", "-show_streams", file.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    expect(done.stderr, "", "what ffprobe complains about")
    found = json.loads(done.stdout)
    (picture,) = [stream for stream in found["streams"] if stream["codec_type"] == "video"]
    codecs = [stream["codec_name"] for stream in found["streams"]]
    return picture["width"], picture["height"], float(found["format"]["duration"]), codecs


def judge(scenarios):
    """Runs each scenario: its name, what it does, and who starts the emulator it is given, from the binary."""
    # Whoever ends this ends the emulator too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: python {sys.argv[0]} path/to/filmgate")
    # Nothing here is to be sent through a proxy.
    os.environ["NO_PROXY"] = "*"
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    broken = 0
    for name, scenario, start in scenarios:
        try:
            upstream = start(binary)
            try:
                scenario(upstream)
            finally:
                upstream.stop()
            print(f"ok      {name}")
        except Exception as error:
            broken += 1
            print(f"FAILED  {name}: {error!r}")
    print(f"{len(scenarios) - broken} passed, {broken} failed")
    sys.exit(1 if broken else 0)
