"""A gateway under test: started in a directory, asked, stopped, killed, started again."""

import json
import signal
import subprocess
import threading
import time
import urllib.request

ORDER = {"model": "filmgate/testcard", "prompt": "a boat", "duration": 1, "size": "320x180"}
PATIENCE_SECONDS = 300
# Far longer than it takes to pull the plug.
SUBMIT_SECONDS = 8


class Gateway:
    """A running gateway and its first key."""

    def __init__(self, binary, directory, **settings):
        self.settings = settings
        self.directory = directory
        self.log = directory / "gateway.log"
        self.command = [binary, "--data", directory / "data", "--json", "serve", "--listen", "127.0.0.1:0"]
        self.key = self.start()["key"]
        self.authorization = {"Authorization": f"Bearer {self.key}"}

    def start(self):
        """On a free port. Gives back what it tells of itself: the key only the first time."""
        environment = {
            "FILMGATE_ENGINE__PROVIDERS_FROM_ENVIRONMENT": "false",
            # One key does here what thousands do elsewhere.
            "FILMGATE_SERVER__KEY_REQUESTS_PER_SECOND": "0",
            "FILMGATE_SERVER__FAILED_LOGINS_PER_MINUTE": "0",
            "RUST_LOG": "warn",
        } | self.settings
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        patience = threading.Timer(PATIENCE_SECONDS, self.process.kill)
        patience.start()
        told = self.process.stdout.readline()
        patience.cancel()
        if not told:
            self.stop()
            raise SystemExit(f"the gateway did not start:\n{self.log.read_text()}")
        told = json.loads(told)
        self.address = told["address"]
        return told

    def call(self, method, path, body=None, key=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
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

    def parked(self, count):
        """Videos whose jobs are parked, where one death is enough: the gateway died while it submitted them."""
        videos = [self.create(submit_seconds=SUBMIT_SECONDS) for _ in range(count)]
        for video in videos:
            path = f"/v1/videos/{video['id']}/timeline"
            self.until(lambda path=path: self.call("GET", path)["data"][-1]["to"] == "submitting", "it is submitted")
        self.kill()
        self.start()
        self.until(lambda: len(self.call("GET", "/v1/admin/jobs")["data"]) >= count, "they are parked")
        return videos

    def until(self, holds, what):
        """Asks again and again."""
        given_up = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > given_up:
                raise SystemExit(f"it never came about that {what}:\n{self.log.read_text()}")

    def alarms(self):
        """What it logged and never should."""
        return [line for line in self.log.read_text().splitlines() if "ERROR" in line or "panic" in line]

    def kill(self):
        """The plug is pulled."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
