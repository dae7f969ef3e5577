"""The emulated self-hosted servers, judged by the stock OpenAI client and by ffprobe.

Usage: python upstream_openai_compatible.py path/to/filmgate

Each scenario starts `filmgate dev upstream openai-compatible` as one of its flavours. Jobs take an hour there, and
the emulator is told when that has passed, so nothing here waits. What the client understood is compared with what
the emulator says it did.
"""

import hashlib
import os
import urllib.error
import urllib.request
import warnings

import openai

from upstream import PATIENCE_SECONDS, RENDER_SECONDS, Upstream, Wrong, expect, judge, probe
from upstream import raises as raises_of

KEY = "sk-emulated"
MODEL = "Wan-AI/Wan2.2-TI2V-5B"
SIZE = "320x180"
FLAVOURS = ["openai", "vllm-omni", "sglang", "litellm"]


def raises(kind, status=None):
    return raises_of(openai.OpenAIError, kind, status)


class Server(Upstream):
    """One of a flavour, and its stock client."""

    def __init__(self, binary, flavour, *options):
        super().__init__(binary, "openai-compatible", "--flavour", flavour, "--api-key", KEY, "--model", MODEL, *options)
        self.flavour = flavour
        expect(self.told["flavour"], flavour, "flavour")
        self.client = self.client_with()

    def client_with(self, **settings):
        settings = {"api_key": KEY, "max_retries": 0, "timeout": PATIENCE_SECONDS} | settings
        return openai.OpenAI(base_url=self.base_url, **settings)

    def stop(self):
        self.client.close()
        super().stop()

    def create(self, prompt="a fox", **fields):
        return self.client.videos.create(**({"prompt": prompt, "model": MODEL, "seconds": "1", "size": SIZE} | fields))

    def ended(self, prompt="a fox", **fields):
        video = self.create(prompt, **fields)
        self.pass_seconds(RENDER_SECONDS)
        return video


# The scenarios. Each is given an emulator of one flavour.


def first_to_last(upstream):
    """A job from its create to a film that is as long and as large as it was ordered."""
    video = upstream.create(seconds="2", size="640x360")
    expect((video.object, video.status), ("video", "queued"), "a new job")
    expect(video.model, MODEL, "model")
    for seconds, status in [(RENDER_SECONDS // 2, "in_progress"), (RENDER_SECONDS // 2, "completed")]:
        upstream.pass_seconds(seconds)
        polled = upstream.client.videos.retrieve(video.id)
        expect((polled.id, polled.status), (video.id, status), "a polled job")
        expect((polled.seconds, polled.size, polled.error), ("2", "640x360", None), "a polled job")
        halfway = 0 if upstream.flavour == "vllm-omni" else 50
        expect(polled.progress, 100 if status == "completed" else halfway, "progress")
    expect(polled.completed_at - polled.created_at, RENDER_SECONDS, "time it took")
    film = upstream.client.videos.download_content(video.id).read()
    sound = ["aac"] if upstream.flavour in ("openai", "litellm") else []
    expect(probe(film), (640, 360, 2.0, ["h264", *sound]), "the film")
    record = upstream.record("a fox")
    expect((record["sha256"], record["content_bytes"]), (hashlib.sha256(film).hexdigest(), len(film)), "bytes")
    expect((record["polls"], record["contents"]), (2, 1), "calls")


def created_and_polled(upstream):
    """The client's own loop ends when the job does."""
    order = {"prompt": "a fox #fault=render=0", "model": MODEL, "seconds": "1", "size": SIZE}
    video = upstream.client.videos.create_and_poll(**order, poll_interval_ms=1)
    expect(video.status, "completed", "status")


def with_a_picture(upstream):
    """Every byte of a reference arrives."""
    picture = os.urandom(1_000_000)
    upstream.create(input_reference=("first.png", picture, "image/png"))
    record = upstream.record("a fox")
    digest = hashlib.sha256(picture).hexdigest()
    wanted = {"field": "input_reference", "file_name": "first.png", "content_type": "image/png", "url": None}
    expect(record["references"], [wanted | {"bytes": len(picture), "sha256": digest}], "references")
    expect(record["encoding"], "multipart/form-data", "encoding")


def listed(upstream):
    """The client walks through all pages, in both directions."""
    made = [upstream.create(f"fox {number}").id for number in range(5)]
    oldest_first = [video.id for video in upstream.client.videos.list(limit=2, order="asc")]
    newest_first = [video.id for video in upstream.client.videos.list(limit=100)]
    # SGLang does not say that there is more, and the client stops there.
    expect(oldest_first, made[:2] if upstream.flavour == "sglang" else made, "oldest first")
    expect(newest_first, made[::-1], "newest first")


def deleted(upstream):
    video = upstream.create()
    if upstream.flavour == "litellm":
        with raises(openai.APIStatusError, 405):
            upstream.client.videos.delete(video.id)
        return
    gone = upstream.client.videos.delete(video.id)
    expect(gone.id, video.id, "id")
    if upstream.flavour == "sglang":
        expect((gone.object, gone.status), ("video", "deleted"), "answer")
    else:
        expect((gone.object, gone.deleted), ("video.deleted", True), "answer")
    with raises(openai.NotFoundError):
        upstream.client.videos.retrieve(video.id)
    # SGLang works on.
    expect(upstream.counts()["running"], 1 if upstream.flavour == "sglang" else 0, "jobs running")


def remixed(upstream):
    video = upstream.create()
    if upstream.flavour in ("vllm-omni", "sglang"):
        with raises(openai.NotFoundError):
            upstream.client.videos.remix(video.id, prompt="a fox at night")
        return
    again = upstream.client.videos.remix(video.id, prompt="a fox at night")
    expect(again.remixed_from_video_id, video.id, "where it comes from")


def refused(upstream):
    """The client raises what it has for each status."""
    with upstream.client_with(api_key="sk-wrong") as stranger, raises(openai.AuthenticationError):
        stranger.videos.retrieve("video_unknown")
    with raises(openai.NotFoundError):
        upstream.client.videos.retrieve("video_unknown")
    with raises(openai.NotFoundError):
        upstream.client.videos.download_content(upstream.create().id)
    with raises(openai.BadRequestError):
        upstream.create("a fox #fault=fial")
    if upstream.flavour == "sglang":
        expect(upstream.create(model="another").model, "another", "model")
    else:
        with raises(openai.BadRequestError):
            upstream.create(model="another")
    with raises(openai.UnprocessableEntityError if upstream.flavour == "vllm-omni" else openai.BadRequestError):
        upstream.create(seconds="0")
    for directive, kind in [
        ("submit-401", openai.AuthenticationError),
        ("submit-429", openai.RateLimitError),
        ("submit-500", openai.InternalServerError),
        ("submit-503", openai.InternalServerError),
        ("drop-before-accept", openai.APIConnectionError),
    ]:
        prompt = f"a fox #fault={directive}"
        with raises(kind):
            upstream.create(prompt)
        expect(upstream.counts(prompt), {"submits": 1, "accepted": 0}, "counts")
    with raises(openai.RateLimitError) as caught:
        upstream.create("a fox #fault=submit-429-retry-after=7")
    expect(caught[0].response.headers["retry-after"], "7", "retry-after")
    with raises(openai.BadRequestError) as caught:
        upstream.create("a fox #fault=submit-400-moderation")
    if upstream.flavour == "openai":
        expect(caught[0].code, "moderation_blocked", "code")


def failed(upstream):
    """One server makes an error of a job that failed, which the client cannot look into; the others tell it."""
    for directive, status in [("fail", 500), ("fail-429", 429), ("fail-moderation", 400)]:
        video = upstream.ended(f"a fox #fault={directive}")
        if upstream.flavour == "vllm-omni":
            kinds = {500: openai.InternalServerError, 429: openai.RateLimitError, 400: openai.BadRequestError}
            with raises(kinds[status], status) as caught:
                upstream.client.videos.retrieve(video.id)
            told = caught[0].response.json()
            expect((told["id"], told["status"]), (video.id, "failed"), "the job in the error")
            expect(told["error"]["code"], status, "code")
            continue
        told = upstream.client.videos.retrieve(video.id)
        expect(told.status, "failed", "status")
        expect(getattr(told.error, "code", None) is None, upstream.flavour == "sglang", "whether there is no code")
        expect(bool(told.error.message), True, "whether there is a message")


def left_to_its_retries(upstream):
    """The client sends a create again, and the emulator tells who paid twice for it."""
    with upstream.client_with(max_retries=2) as client:
        order = {"model": MODEL, "seconds": "1", "size": SIZE}
        harmless, costly = "a fox #fault=submit-503-times=2", "an owl #fault=drop-after-accept-once"
        client.videos.create(prompt=harmless, **order)
        client.videos.create(prompt=costly, **order)
    expect(upstream.counts(harmless), {"submits": 3, "accepted": 1}, "a create that was refused twice")
    expect(upstream.counts()["duplicates"], {costly: 2}, "prompts with more than one job")


def cut_off(upstream):
    """A film that breaks off is an error to the client; one that was always short is not."""
    whole = upstream.client.videos.download_content(upstream.ended("a fox").id).read()
    video = upstream.ended("an owl #fault=short-file-lying-once #fault=short-chunked-once #fault=short-file-honest")
    for _ in range(2):
        with raises(openai.APIConnectionError):
            upstream.client.videos.download_content(video.id)
    short = upstream.client.videos.download_content(video.id).read()
    expect(short == whole[: len(whole) // 2], True, "whether it is the first half")


def restarted(upstream):
    video = upstream.create()
    upstream.control("POST", "/restart")
    with raises(openai.NotFoundError):
        upstream.client.videos.retrieve(video.id)
    expect(upstream.record("a fox")["status"], "lost", "status in the book")


def uploaded(upstream):
    """A film in a bucket is had by its address, without the key."""
    video = upstream.ended()
    with raises(openai.BadRequestError):
        upstream.client.videos.download_content(video.id)
    address = upstream.client.videos.retrieve(video.id).url
    with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:
        expect(probe(answer.read()), (320, 180, 1.0, ["h264"]), "the film")


def crowded(upstream):
    """No more jobs at once than the emulator was told to take."""
    upstream.create("one")
    with raises(openai.RateLimitError):
        upstream.create("two")
    upstream.pass_seconds(RENDER_SECONDS)
    upstream.create("two")
    expect(upstream.counts()["most_running"], 1, "jobs at once")


EVERYWHERE = {
    "a job from first to last": first_to_last,
    "the client's own loop": created_and_polled,
    "a picture to begin with": with_a_picture,
    "lists": listed,
    "deletes": deleted,
    "remixes": remixed,
    "refusals": refused,
    "jobs that fail": failed,
    "a client left to its retries": left_to_its_retries,
    "films cut off": cut_off,
    "a restart": restarted,
}

SCENARIOS = [(name, scenario, flavour, []) for flavour in FLAVOURS for name, scenario in EVERYWHERE.items()]
SCENARIOS += [
    ("a bucket", uploaded, "sglang", ["--cloud-storage"]),
    ("a full house", crowded, "vllm-omni", ["--max-running", "1"]),
]


def starter(flavour, options):
    return lambda binary: Server(binary, flavour, *options)


if __name__ == "__main__":
    # OpenAI has ended its own service; the dialect goes on.
    warnings.simplefilter("ignore", DeprecationWarning)
    judge([(f"{flavour}: {name}", scenario, starter(flavour, options)) for name, scenario, flavour, options in SCENARIOS])
