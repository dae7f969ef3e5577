"""What the figures stand on: processes that are started and stopped, the load on them, and how a figure is told.

Not here: any figure (`run`, `scale`).
"""
import contextlib, json, os, pathlib, re, signal, socket, statistics, subprocess, time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = ROOT / "target/release"
ROUNDS = 3
SECONDS = 4
KEY = "fg_bench_" + "b" * 32
WAIT_STEP = 0.005
# Held up by its first submit, with one worker: what is measured is admission, not the rendering behind it.
HELD_UP = {"model": "filmgate/testcard", "prompt": "a paper boat in the rain", "duration": 1, "size": "320x180",
           "provider_params": {"simulate": {"submit_seconds": 3600}}}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, stop=signal.SIGTERM, **kwargs):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kwargs)
    try:
        yield process
    finally:
        process.send_signal(stop)
        process.wait()


def cpu_seconds(pid):
    """Processor time of a process so far, of its children that ended too."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def until_answers(url, headers={}):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
                return answer.read()
        except OSError:
            time.sleep(WAIT_STEP)
    raise SystemExit(f"{url} does not answer")


class Gate:
    """A filmgate of the release build on a directory of its own, with `lines` in its filmgate.toml."""

    def __init__(self, directory, lines="", **settings):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.directory = pathlib.Path(directory)
        self.lines = lines
        names = {f"FILMGATE_{name.upper()}": str(value) for name, value in settings.items()}
        # One key does here what thousands do elsewhere.
        names.setdefault("FILMGATE_SERVER__KEY_REQUESTS_PER_SECOND", "0")
        self.environment = {**os.environ, "FILMGATE_BOOTSTRAP_KEY": KEY, "RUST_LOG": "error", **names}

    @contextlib.contextmanager
    def open(self, stop=signal.SIGTERM):
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "filmgate.toml"
        file.write_text(self.lines)
        command = [RELEASE / "filmgate", "--config", file, "serve", "--data", self.directory, "--listen", f"127.0.0.1:{self.port}"]
        with running(command, stop, env=self.environment) as process:
            until_answers(self.base + "/ready")
            self.pid = process.pid
            yield self

    def call(self, method, path, body=None, headers={}):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(self.base + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.read(), answer.headers

    def finished_video(self):
        body = {"model": "filmgate/testcard", "prompt": "a boat", "duration": 1, "size": "320x180"}
        made, _ = self.call("POST", "/v1/videos", body)
        video = json.loads(made)["id"]
        while True:
            seen, headers = self.call("GET", f"/v1/videos/{video}?wait=30")
            if json.loads(seen)["status"] == "completed":
                return video, seen, headers

    def cpu_seconds(self):
        return cpu_seconds(self.pid)

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def wrk(url, connections, *arguments, headers={}):
    """Requests per second, bytes per second and the number of answers that were not 2xx or 3xx."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    out = subprocess.run([*command, *arguments, url], capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    amount, unit = re.search(r"Transfer/sec:\s+([\d.]+)(\w+)", out).groups()
    scale = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}[unit]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return rate, float(amount) * scale, int(bad[1]) if bad else 0


def report(name, ours, limit, unit, of):
    pairs = [one / other for one, other in zip(ours, limit)]
    low, middle, high = min(pairs), statistics.median(pairs), max(pairs)
    print(f"{name}: {statistics.median(ours):,.0f} {unit}, {of} {statistics.median(limit):,.0f} {unit}, "
          f"ratio {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)
