"""The emulated account at Runway, judged by Runway's own client and by ffprobe.

Usage: python upstream_runway.py path/to/filmgate

The client validates strictly: an answer that lacks what its types promise is an error. Tasks take an hour at the emulator,
which is told when that has passed, so nothing here waits. What the client understood is compared with what the emulator
says it did.
"""

import base64
import hashlib
import os
import urllib.error
import urllib.request

import runwayml

from upstream import PATIENCE_SECONDS, RENDER_SECONDS, Upstream, expect, judge, probe
from upstream import raises as raises_of

KEY = "key_" + "0" * 128
TEXT = {"model": "gen4.5", "ratio": "1280:720", "duration": 2}


def raises(kind, status=None):
    return raises_of(runwayml.RunwayMLError, kind, status)


class Account(Upstream):
    """One account, and its stock client."""

    def __init__(self, binary, *options):
        super().__init__(binary, "runway", "--api-key", KEY, *options)
        self.client = self.client_with()

    def client_with(self, **settings):
        settings = {"api_key": KEY, "max_retries": 0, "timeout": PATIENCE_SECONDS} | settings
        return runwayml.RunwayML(base_url=self.base_url, _strict_response_validation=True, **settings)

    def stop(self):
        self.client.close()
        super().stop()

    def create(self, prompt="a fox", **fields):
        return self.client.text_to_video.create(**(TEXT | {"prompt_text": prompt} | fields))

    def ended(self, prompt="a fox", **fields):
        task = self.create(prompt, **fields)
        self.pass_seconds(RENDER_SECONDS)
        return self.client.tasks.retrieve(task.id)


def first_to_last(account):
    """A task from its create to a film that is as long and as large as it was ordered."""
    task = account.create(seed=7)
    expect(task.estimated_cost.credits, 24, "estimate")
    account.pass_seconds(RENDER_SECONDS // 2)
    polled = account.client.tasks.retrieve(task.id)
    expect((type(polled).__name__, polled.status, polled.progress), ("AwaitableRunning", "RUNNING", 0.5), "a task under way")
    account.pass_seconds(RENDER_SECONDS // 2)
    polled = account.client.tasks.retrieve(task.id)
    expect((type(polled).__name__, polled.status, polled.cost.credits), ("AwaitableSucceeded", "SUCCEEDED", 24), "an ended task")
    (link,) = polled.output
    with urllib.request.urlopen(link, timeout=PATIENCE_SECONDS) as answer:
        film = answer.read()
    expect(probe(film), (1280, 720, 2.0, ["h264"]), "the film")
    record = account.record("a fox")
    expect((record["sha256"], record["content_bytes"]), (hashlib.sha256(film).hexdigest(), len(film)), "bytes")
    expect(record["fields"], {"model": "gen4.5", "ratio": "1280:720", "duration": 2, "seed": 7}, "fields")


def queued(account):
    task = account.create("a fox #fault=queue=60")
    polled = account.client.tasks.retrieve(task.id)
    expect((type(polled).__name__, polled.status), ("AwaitablePending", "PENDING"), "a task that waits")


def with_pictures(account):
    """Every byte of a first and a last frame arrives, and sound is charged."""
    frames = {position: os.urandom(100_000) for position in ("first", "last")}
    uri = lambda picture: "data:image/png;base64," + base64.b64encode(picture).decode()
    images = [{"uri": uri(picture), "position": position} for position, picture in frames.items()]
    order = {"model": "veo3.1", "prompt_image": images, "prompt_text": "a fox", "ratio": "1280:720", "duration": 8, "audio": True}
    task = account.client.image_to_video.create(**order)
    expect(task.estimated_cost.credits, 320, "estimate")
    references = account.record("a fox")["references"]
    found = [(reference["field"], reference["content_type"], reference["sha256"]) for reference in references]
    wanted = [(position, "image/png", hashlib.sha256(picture).hexdigest()) for position, picture in frames.items()]
    expect(found, wanted, "references")


def uploaded(account):
    """The client uploads a clip and a picture, and makes tasks of them by the addresses it was given."""
    clip, picture = os.urandom(300_000), os.urandom(200_000)
    file = lambda name, data, kind: account.client.uploads.create_ephemeral(file=(name, data, kind)).uri
    clip_uri = file("a.mp4", clip, "video/mp4")
    order = {"model": "seedance2", "prompt_video": clip_uri, "prompt_text": "a fox", "ratio": "1280:720", "duration": 5}
    references = [{"uri": file("a.png", picture, "image/png")}]
    task = account.client.video_to_video.create(**order, references=references, audio=False)
    expect(task.estimated_cost.credits, 180, "estimate")
    found = [(reference["field"], reference["content_type"], reference["sha256"]) for reference in account.record("a fox")["references"]]
    wanted = [("promptVideo", "video/mp4", clip), ("references", "image/png", picture)]
    expect(found, [(field, kind, hashlib.sha256(data).hexdigest()) for field, kind, data in wanted], "references")
    account.client.video_to_video.create(model="aleph2", video_uri=clip_uri, prompt_text="a hen", target_aspect_ratio="16:9")
    fields = {"model": "aleph2", "videoUri": clip_uri, "targetAspectRatio": "16:9"}
    expect(account.record("a hen")["fields"], fields, "fields")
    for wrong in [{"prompt_video": "runway://nobody-uploaded-this"}, {"model": "gen4.5"}, {"duration": 3}]:
        with raises(runwayml.BadRequestError):
            account.client.video_to_video.create(**order | wrong)


def performed(account):
    """A character, in a picture or in a clip, does what is seen in another clip."""
    picture, clip = os.urandom(100_000), os.urandom(300_000)
    uri = lambda kind, data: f"data:{kind};base64," + base64.b64encode(data).decode()
    seen = {"type": "image", "uri": uri("image/png", picture)}
    done = {"type": "video", "uri": uri("video/mp4", clip)}
    told = {"ratio": "720:1280", "body_control": True, "expression_intensity": 4, "seed": 7}
    task = account.client.character_performance.create(model="act_two", character=seen, reference=done, **told)
    expect(task.estimated_cost.credits, 25, "estimate")
    record = account.record("")
    found = [(reference["field"], reference["content_type"], reference["sha256"]) for reference in record["references"]]
    wanted = [("character", "image/png", picture), ("reference", "video/mp4", clip)]
    expect(found, [(field, kind, hashlib.sha256(data).hexdigest()) for field, kind, data in wanted], "references")
    fields = {name: record["fields"][name] for name in ("ratio", "bodyControl", "expressionIntensity", "seed")}
    expect(fields, {"ratio": "720:1280", "bodyControl": True, "expressionIntensity": 4, "seed": 7}, "fields")
    account.pass_seconds(RENDER_SECONDS)
    expect(account.client.tasks.retrieve(task.id).cost.credits, 25, "cost")
    order = {"model": "act_two", "character": {"type": "video", "uri": done["uri"]}, "reference": done}
    account.client.character_performance.create(**order)
    for wrong in [{"character": {"type": "audio", "uri": done["uri"]}}, {"reference": seen}, {"expression_intensity": 6}, {"ratio": "1920:1080"}]:
        with raises(runwayml.BadRequestError):
            account.client.character_performance.create(**order | wrong)


def refused(account):
    """The client raises what it has for each status."""
    with account.client_with(api_key="key_wrong") as stranger, raises(runwayml.AuthenticationError):
        stranger.tasks.retrieve("17f20503-6c24-4c16-946b-35dbbce2af2f")
    with raises(runwayml.NotFoundError):
        account.client.tasks.retrieve("17f20503-6c24-4c16-946b-35dbbce2af2f")
    for wrong in [{"ratio": "1104:832"}, {"duration": 11}, {"model": "gen4_turbo"}, {"audio": True}, {"prompt": "x" * 1001}]:
        with raises(runwayml.BadRequestError) as caught:
            account.create(**wrong)
        expect(len(caught[0].body["issues"]), 1, "issues")
    for directive, kind in [
        ("submit-401", runwayml.AuthenticationError),
        ("submit-429", runwayml.RateLimitError),
        ("submit-500", runwayml.InternalServerError),
        ("drop-before-accept", runwayml.APIConnectionError),
    ]:
        prompt = f"a fox #fault={directive}"
        with raises(kind):
            account.create(prompt)
        expect(account.counts(prompt), {"submits": 1, "accepted": 0}, "counts")


def failed(account):
    task = account.ended("a fox #fault=fail-moderation")
    told = (type(task).__name__, task.status, task.failure_code, task.cost.credits)
    expect(told, ("AwaitableFailed", "FAILED", "SAFETY.INPUT.TEXT", 24), "a moderated task")
    task = account.ended("a hen #fault=fail")
    expect((task.status, task.failure_code, task.cost.credits), ("FAILED", "INTERNAL", 0), "a broken task")


def deleted(account):
    task = account.create()
    account.client.tasks.delete(task.id)
    with raises(runwayml.NotFoundError):
        account.client.tasks.retrieve(task.id)
    expect(account.record("a fox")["status"], "cancelled", "status")


def left_to_its_retries(account):
    """Left to its own, the client buys a second task when the answer to the first one is lost."""
    with account.client_with(max_retries=2) as client:
        client.text_to_video.create(**TEXT, prompt_text="a fox #fault=drop-after-accept-once")
    expect(account.counts()["duplicates"], {"a fox #fault=drop-after-accept-once": 2}, "duplicates")


def links(account):
    """A link is for whoever has it, until the task is deleted."""
    task = account.ended()
    (link,) = task.output
    account.client.tasks.delete(task.id)
    try:
        urllib.request.urlopen(link, timeout=PATIENCE_SECONDS)
        expect("an answer", "a refusal", "the link of a deleted task")
    except urllib.error.HTTPError as error:
        expect(error.code, 403, "status")


SCENARIOS = {
    "first to last": first_to_last,
    "a task that waits": queued,
    "pictures": with_pictures,
    "uploads": uploaded,
    "performances": performed,
    "refusals": refused,
    "tasks that fail": failed,
    "a task that is deleted": deleted,
    "a client left to its retries": left_to_its_retries,
    "links": links,
}

if __name__ == "__main__":
    judge([(name, scenario, Account) for name, scenario in SCENARIOS.items()])
