"""The emulated project at Google's cloud, judged by Google's own client and by ffprobe.

Usage: python upstream_google_vertex.py path/to/filmgate

The client gets its tokens by itself, with the key that the emulator tells. Operations take an hour at the emulator, which is
told when that has passed, so nothing here waits. What the client understood is compared with what the emulator says it did.
"""

import contextlib
import hashlib
import os
import urllib.error
import urllib.parse
import urllib.request

import google.auth.exceptions
import google.auth.transport.requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from google.genai import errors, types
from google.oauth2 import service_account

from upstream import PATIENCE_SECONDS, RENDER_SECONDS, Upstream, expect, judge, probe
from upstream import raises as raises_of

MODEL = "veo-3.1-generate-001"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
BUCKET = "gs://films/here/"


@contextlib.contextmanager
def raises(kind, code):
    with raises_of(errors.APIError, kind) as caught:
        yield caught
    expect(caught[0].code, code, "status")


def client_of(told, key=None, **place):
    """Google's client for the emulator that told this."""
    credentials = service_account.Credentials.from_service_account_info(key or told["service_account"], scopes=SCOPES)
    options = types.HttpOptions(base_url=told["base_url"], timeout=PATIENCE_SECONDS * 1000)
    place = {"project": told["service_account"]["project_id"], "location": "us-central1"} | place
    return genai.Client(vertexai=True, credentials=credentials, http_options=options, **place)


class Project(Upstream):
    """One project, and its stock client."""

    def __init__(self, binary, *options):
        super().__init__(binary, "google-vertex", *options)
        self.client = client_of(self.told)

    def create(self, prompt="a fox", model=MODEL, image=None, video=None, client=None, **config):
        config = {"duration_seconds": 4} | config
        source = types.GenerateVideosSource(prompt=prompt, image=image, video=video)
        config = types.GenerateVideosConfig(**{name: value for name, value in config.items() if value is not None})
        return (client or self.client).models.generate_videos(model=model, source=source, config=config)

    def ended(self, prompt="a fox", **config):
        operation = self.create(prompt, **config)
        self.pass_seconds(RENDER_SECONDS)
        return self.client.operations.get(operation)

    def token(self):
        key = self.told["service_account"]
        credentials = service_account.Credentials.from_service_account_info(key, scopes=SCOPES)
        credentials.refresh(google.auth.transport.requests.Request())
        return credentials.token

    def fetch(self, uri, token=None):
        bucket, name = uri.removeprefix("gs://").split("/", 1)
        address = f"{self.base_url}/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"} if token else {})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.read()


def first_to_last(project):
    """An operation from its create to a film in the answer, as long and as large as it was ordered."""
    operation = project.create(seed=7, generate_audio=False)
    project.pass_seconds(RENDER_SECONDS // 2)
    polled = project.client.operations.get(operation)
    expect((polled.name, bool(polled.done)), (operation.name, False), "an operation under way")
    project.pass_seconds(RENDER_SECONDS // 2)
    polled = project.client.operations.get(operation)
    expect((polled.done, polled.error, polled.response.rai_media_filtered_count), (True, None, 0), "an ended operation")
    (made,) = polled.response.generated_videos
    film = made.video.video_bytes
    expect(made.video.mime_type, "video/mp4", "type")
    expect(probe(film), (1280, 720, 4.0, ["h264"]), "the film")
    record = project.record("a fox")
    expect(record["sha256"], hashlib.sha256(film).hexdigest(), "bytes")
    parameters = {"durationSeconds": 4, "seed": 7, "generateAudio": False}
    expect(record["fields"], {"instances": [{}], "parameters": parameters}, "fields")


def in_a_bucket(project):
    """Several films lie in the bucket that was named, for whoever has the token."""
    order = {"number_of_videos": 2, "output_gcs_uri": BUCKET, "aspect_ratio": "9:16", "resolution": "1080p"}
    polled = project.ended(**order)
    uris = [made.video.uri for made in polled.response.generated_videos]
    expect([uri.startswith(BUCKET) for uri in uris], [True, True], "where they are")
    films = [project.fetch(uri, project.token()) for uri in uris]
    expect(probe(films[0]), (1080, 1920, 4.0, ["h264", "aac"]), "the film")
    expect(films[0] == films[1], False, "whether both are the same")
    for uri, token, code in [(uris[0], None, 401), (uris[0].replace("sample_0", "sample_2"), project.token(), 404)]:
        try:
            project.fetch(uri, token)
            expect("an answer", "a refusal", uri)
        except urllib.error.HTTPError as error:
            expect(error.code, code, uri)


def with_files(project):
    """Every byte of frames, references and a source arrives."""
    picture = lambda: types.Image(image_bytes=os.urandom(100_000), mime_type="image/png")
    first, last, one, other = picture(), picture(), picture(), picture()
    clip = types.Video(video_bytes=os.urandom(100_000), mime_type="video/mp4")
    project.create("frames", image=first, last_frame=last, resize_mode="PAD", generate_audio=True)
    images = [types.VideoGenerationReferenceImage(image=image, reference_type="ASSET") for image in (one, other)]
    project.create("references", reference_images=images, duration_seconds=8)
    project.create("extension", video=clip, duration_seconds=None, output_gcs_uri=BUCKET)
    style = types.VideoGenerationReferenceImage(image=picture(), reference_type="STYLE")
    project.create("style", model="veo-2.0-generate-001", reference_images=[style], duration_seconds=8)
    for prompt, wanted in [
        ("frames", {"image": first.image_bytes, "lastFrame": last.image_bytes}),
        ("references", {"referenceImages[0]": one.image_bytes, "referenceImages[1]": other.image_bytes}),
        ("extension", {"video": clip.video_bytes}),
    ]:
        references = project.record(prompt)["references"]
        found = {reference["field"]: reference["sha256"] for reference in references}
        expect(found, {field: hashlib.sha256(data).hexdigest() for field, data in wanted.items()}, prompt)
    project.pass_seconds(RENDER_SECONDS)


def refused(project):
    """The client raises what it has for each status."""
    for wrong in [
        {"duration_seconds": 5},
        {"aspect_ratio": "1:1"},
        {"resolution": "2k"},
        {"number_of_videos": 5},
        {"seed": 1 << 32},
        {"person_generation": "everybody"},
        {"resize_mode": "PAD"},
        {"model": "veo-3.1-lite-generate-001", "resolution": "4k"},
        {"model": "veo-2.0-generate-001", "duration_seconds": 8, "generate_audio": True},
    ]:
        with raises(errors.ClientError, 400) as caught:
            project.create(**wrong)
        expect(caught[0].status, "INVALID_ARGUMENT", f"status of {wrong}")
    with raises(errors.ClientError, 404):
        project.create(model="veo-9.9-generate-001")
    with raises(errors.ClientError, 403):
        project.create(client=client_of(project.told, project="another-project"))
    for directive, kind, code in [
        ("submit-403", errors.ClientError, 403),
        ("submit-429-retry-after=7", errors.ClientError, 429),
        ("submit-503", errors.ServerError, 503),
    ]:
        prompt = f"a fox #fault={directive}"
        with raises(kind, code):
            project.create(prompt)
        expect(project.counts(prompt)["accepted"], 0, "jobs")
    with raises(errors.ClientError, 400) as caught:
        project.create("a fox #fault=submit-400-moderation")
    expect("Support codes" in caught[0].message, True, "whether it says why")
    gone = project.create("a fox #fault=lost")
    with raises(errors.ClientError, 404):
        project.client.operations.get(gone)


def failed(project):
    broken = project.ended("a hen #fault=fail")
    expect((broken.done, broken.error["code"], broken.response), (True, 13, None), "a broken operation")
    filtered = project.ended("a fox #fault=fail-moderation").response
    expect((filtered.generated_videos, filtered.rai_media_filtered_count), (None, 1), "what was kept back")
    expect("Support codes" in filtered.rai_media_filtered_reasons[0], True, "whether it says why")
    partly = project.ended("a dog #fault=filtered=1", number_of_videos=3, output_gcs_uri=BUCKET).response
    expect((len(partly.generated_videos), partly.rai_media_filtered_count), (2, 1), "what was kept back of three")


def tokens(project):
    """A token is for whoever has the key; one that was called in is good no more, and the client gets another."""
    operation = project.create()
    expect(project.control("GET", "/tokens"), {"issued": 1, "good": 1}, "tokens")
    project.control("DELETE", "/tokens")
    with raises(errors.ClientError, 401):
        project.client.operations.get(operation)
    fresh = client_of(project.told)
    expect(bool(fresh.operations.get(operation).done), False, "an operation under way")
    expect(project.control("GET", "/tokens"), {"issued": 2, "good": 1}, "tokens")
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = stranger.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    forged = client_of(project.told, project.told["service_account"] | {"private_key": pem.decode()})
    with raises_of(google.auth.exceptions.GoogleAuthError, google.auth.exceptions.RefreshError) as caught:
        project.create("a forged fox", client=forged)
    expect("invalid_grant" in str(caught[0]), True, "whether it says why")
    expect(project.counts("a forged fox")["submits"], 0, "creates")


SCENARIOS = {
    "first to last": first_to_last,
    "a bucket": in_a_bucket,
    "files": with_files,
    "refusals": refused,
    "operations that fail": failed,
    "tokens": tokens,
}

if __name__ == "__main__":
    judge([(name, scenario, Project) for name, scenario in SCENARIOS.items()])
