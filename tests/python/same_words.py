"""What the gateway sends a vendor is what the vendor's own client sends for the same wish.

Usage: python same_words.py path/to/filmgate

Both make the same order of one emulated vendor, which writes down the body of each create: fields and files. The two are
compared as JSON values. Where one side may say it otherwise, the vendor's entry says so.
"""

import base64
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import wave
import zlib

from google.genai import types

import upstream_google_vertex
import upstream_runway
from gateway import Gateway
from upstream import Wrong, expect

RANDOM = random.Random(7)


def picture(width=320, height=180):
    """A PNG of noise."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    lines = b"".join(b"\0" + RANDOM.randbytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")


def clip(seconds):
    """An MP4 of as many seconds."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        made_of = ["-f", "lavfi", "-i", f"testsrc=size=320x180:rate=10:duration={seconds}", "-c:v", "mpeg4"]
        subprocess.run(["ffmpeg", "-v", "error", "-y", *made_of, file.name], check=True)
        return pathlib.Path(file.name).read_bytes()


def sound(seconds):
    """A WAV of silence."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        with wave.open(file.name, "wb") as silence:
            silence.setnchannels(1)
            silence.setsampwidth(2)
            silence.setframerate(8000)
            silence.writeframes(bytes(2 * 8000 * seconds))
        return pathlib.Path(file.name).read_bytes()


ONE, OTHER, SOUND = picture(), picture(), sound(3)
CLIP, OTHER_CLIP = clip(5), clip(4)
# More than a message may have.
LARGE = picture(1300, 1000)


def data_url(data, kind="image/png"):
    return f"data:{kind};base64," + base64.b64encode(data).decode()


def given(role, data, kind="image/png", **more):
    """An input of the gateway's."""
    place = kind.split("/")[0] + "_url"
    return {"type": place, "role": role, place: {"url": data_url(data, kind)}} | more


def clip_of(role, data, **more):
    return given(role, data, "video/mp4", **more)


class Vertex:
    """Google's client writes some words in capitals, and names /v1beta1 where the gateway names /v1."""

    name, account = "google-vertex", upstream_google_vertex.Project
    model = {"model": "google/veo-3.1"}

    @staticmethod
    def section(told, directory):
        key = directory / "key.json"
        key.write_text(json.dumps(told["service_account"]))
        return {"base_url": told["base_url"], "credentials": str(key)}

    declared = []

    @staticmethod
    def create(account, prompt, **config):
        settled = {"duration_seconds": 8, "number_of_videos": 1, "aspect_ratio": "16:9", "resolution": "720p"}
        account.create(prompt, **settled | {"generate_audio": True} | config)

    @staticmethod
    def plain(fields):
        fields = json.loads(json.dumps(fields))
        for reference in fields["instances"][0].get("referenceImages", []):
            reference["referenceType"] = reference["referenceType"].lower()
        for name in ("compressionQuality", "resizeMode", "personGeneration"):
            if name in fields["parameters"]:
                fields["parameters"][name] = fields["parameters"][name].lower()
        return fields

    image = lambda data: types.Image(image_bytes=data, mime_type="image/png")
    reference = lambda data: types.VideoGenerationReferenceImage(image=Vertex.image(data), reference_type="ASSET")


def of_runway(native_model, *sizes, **more):
    """A model of Runway's partners that the catalogue has not, as an operator declares it."""
    plain = {"durations": [5], "sizes": list(sizes), "first_frame": True}
    return {"id": f"partner/{native_model}", "native_model_id": native_model} | plain | more


class Runway:
    """Each upload has an address of its own."""

    name, account = "runway", upstream_runway.Account
    model = {}

    @staticmethod
    def section(told, _directory):
        return {"base_url": told["base_url"], "api_key": upstream_runway.KEY}

    declared = [
        of_runway("gemini_omni_flash_1.1", "1920x1080"),
        of_runway("grok_imagine_1_5", "1920x1080"),
        of_runway("grok_imagine_1_5_lite", "848x480"),
        of_runway("h3_max", "1366x768", passthrough=["promptExpansionMode"]),
        of_runway("hailuo3", "1366x768", "2560x1440"),
        of_runway("kling2.5_turbo_pro", "1280x720"),
        of_runway("kling3.0_standard", "1280x720", audio="toggle"),
        of_runway("klingO3_pro", "1920x1080", audio="toggle"),
        of_runway("kling_4", "1280x720"),
        of_runway("seedance2_5", "1280x720", audio="toggle"),
        of_runway("wan3", "1280x720", audio="toggle"),
    ]

    @staticmethod
    def create(account, prompt, **order):
        for frame in order.get("prompt_image", []):
            if isinstance(frame["uri"], bytes):
                frame["uri"] = account.client.uploads.create_ephemeral(file=("a.png", frame["uri"], "image/png")).uri
        if "character" in order:
            # It has no prompt.
            account.client.character_performance.create(**order)
            return
        client = account.client
        kinds = {"prompt_image": client.image_to_video, "prompt_video": client.video_to_video, "video_uri": client.video_to_video}
        kind = next((kind for field, kind in kinds.items() if field in order), client.text_to_video)
        kind.create(prompt_text=prompt, **order)

    @staticmethod
    def plain(fields):
        return json.loads(re.sub(r"runway://\w+", "runway://…", json.dumps(fields, ensure_ascii=False)))

    frame = lambda position, data: {"uri": data_url(data), "position": position}
    uri = lambda data, kind="image/png": {"uri": data_url(data, kind)}
    seen = lambda data, kind: {"type": kind.split("/")[0], "uri": data_url(data, kind)}


def partner(native_model, wish, **order):
    """A wish of a declared model, and the order of the client's; both by text alone."""
    return {"model": f"partner/{native_model}"} | wish, {"model": native_model, "duration": 5} | order


def with_picture(native_model, wish, **order):
    wish = wish | {"input_references": [given("first_frame", ONE)]}
    return partner(native_model, wish, prompt_image=[Runway.frame("first", ONE)], **order)


def only_runway(model, wish):
    return {"model": model, "provider": {"only": ["runway"]}} | wish


# What is wished for: of the gateway, and of the vendor's client.
WISHES = {
    Vertex: {
        "text": ({}, {}),
        "a length": ({"duration": 4}, {"duration_seconds": 4}),
        "a size": ({"size": "1080x1920"}, {"aspect_ratio": "9:16", "resolution": "1080p"}),
        "a resolution and an aspect ratio": (
            {"resolution": "1080p", "aspect_ratio": "16:9"},
            {"aspect_ratio": "16:9", "resolution": "1080p"},
        ),
        "a seed": ({"seed": 4294967295}, {"seed": 4294967295}),
        "a negative prompt": ({"negative_prompt": "blur"}, {"negative_prompt": "blur"}),
        "no sound": ({"generate_audio": False}, {"generate_audio": False}),
        "several outputs": ({"sample_count": 3}, {"number_of_videos": 3}),
        "labels": ({"provider_params": {"labels": {"team": "films"}}}, {"labels": {"team": "films"}}),
        "a first frame": ({"input_references": [given("first_frame", ONE)]}, {"image": Vertex.image(ONE)}),
        "a first and a last frame": (
            {"input_references": [given("first_frame", ONE), given("last_frame", OTHER)]},
            {"image": Vertex.image(ONE), "last_frame": Vertex.image(OTHER)},
        ),
        "references": (
            {"input_references": [given("reference", ONE), given("reference", OTHER)]},
            {"reference_images": [Vertex.reference(ONE), Vertex.reference(OTHER)]},
        ),
        "persons": ({"person_generation": "dont_allow"}, {"person_generation": "dont_allow"}),
        "a better prompt": ({"enhance_prompt": True}, {"enhance_prompt": True}),
        "the prompt as it is": ({"enhance_prompt": False}, {"enhance_prompt": False}),
        "a frame that is cropped": (
            {"input_references": [given("first_frame", ONE)], "resize_mode": "crop"},
            {"image": Vertex.image(ONE), "resize_mode": "CROP"},
        ),
        "the best quality": ({"compression_quality": 100}, {"compression_quality": "LOSSLESS"}),
        "a smaller file": ({"compression_quality": 50}, {"compression_quality": "OPTIMIZED"}),
        "an extension": (
            {"input_references": [clip_of("source", CLIP)]},
            {"video": types.Video(video_bytes=CLIP, mime_type="video/mp4"), "duration_seconds": 7},
        ),
    },
    Runway: {
        "text": (
            {"model": "runway/gen-4.5"},
            {"model": "gen4.5", "ratio": "1280:720", "duration": 5},
        ),
        "a seed, a length and a size": (
            {"model": "runway/gen-4.5", "seed": 7, "duration": 2, "size": "720x1280"},
            {"model": "gen4.5", "ratio": "720:1280", "duration": 2, "seed": 7},
        ),
        "what is let through": (
            {
                "model": "runway/gen-4.5",
                "provider_params": {"contentModeration": {"publicFigureThreshold": "low"}},
            },
            {
                "model": "gen4.5",
                "ratio": "1280:720",
                "duration": 5,
                "content_moderation": {"public_figure_threshold": "low"},
            },
        ),
        "a first frame": (
            {"model": "runway/gen-4-turbo", "duration": 10, "input_references": [given("first_frame", ONE)]},
            {
                "model": "gen4_turbo",
                "ratio": "1280:720",
                "duration": 10,
                "prompt_image": [Runway.frame("first", ONE)],
            },
        ),
        "a picture that is uploaded first": (
            {"model": "runway/gen-4-turbo", "input_references": [given("first_frame", LARGE)]},
            {
                "model": "gen4_turbo",
                "ratio": "1280:720",
                "duration": 5,
                "prompt_image": [{"uri": LARGE, "position": "first"}],
            },
        ),
        "a ratio that wants a picture": (
            {
                "model": "runway/gen-4.5",
                "aspect_ratio": "21:9",
                "input_references": [given("first_frame", ONE)],
            },
            {
                "model": "gen4.5",
                "ratio": "1584:672",
                "duration": 5,
                "prompt_image": [Runway.frame("first", ONE)],
            },
        ),
        "a model of another maker's, without sound": (
            {"model": "google/veo-3.1", "provider": {"only": ["runway"]}, "generate_audio": False, "duration": 4},
            {"model": "veo3.1", "ratio": "1280:720", "duration": 4, "audio": False},
        ),
        "a first and a last frame, with sound": (
            {
                "model": "google/veo-3.1-fast",
                "resolution": "1080p",
                "aspect_ratio": "9:16",
                "input_references": [given("first_frame", ONE), given("last_frame", OTHER)],
            },
            {
                "model": "veo3.1_fast",
                "ratio": "1080:1920",
                "duration": 8,
                "audio": True,
                "prompt_image": [Runway.frame("first", ONE), Runway.frame("last", OTHER)],
            },
        ),
        "a negative prompt and a seed": (
            only_runway("google/veo-3.1", {"negative_prompt": "blur", "seed": 7}),
            {"model": "veo3.1", "ratio": "1280:720", "duration": 8, "audio": True, "negative_prompt": "blur", "seed": 7},
        ),
        "references of every kind": (
            only_runway(
                "bytedance/seedance-2.0",
                {
                    "seed": 7,
                    "input_references": [
                        given("reference", ONE),
                        given("reference", OTHER),
                        clip_of("reference", CLIP),
                        given("reference", SOUND, "audio/wav"),
                    ],
                },
            ),
            {
                "model": "seedance2",
                "ratio": "1280:720",
                "duration": 5,
                "audio": True,
                "seed": 7,
                "references": [Runway.uri(ONE), Runway.uri(OTHER)],
                "reference_videos": [Runway.seen(CLIP, "video/mp4")],
                "reference_audio": [Runway.seen(SOUND, "audio/wav")],
            },
        ),
        "frames and a sound": (
            only_runway(
                "bytedance/seedance-2.0",
                {
                    "resolution": "1080p",
                    "aspect_ratio": "9:16",
                    "input_references": [
                        given("first_frame", ONE),
                        given("last_frame", OTHER),
                        given("reference", SOUND, "audio/wav"),
                    ],
                },
            ),
            {
                "model": "seedance2",
                "ratio": "1080:1920",
                "duration": 5,
                "audio": True,
                "prompt_image": [Runway.frame("first", ONE), Runway.frame("last", OTHER)],
                "reference_audio": [Runway.seen(SOUND, "audio/wav")],
            },
        ),
        "a clip and references": (
            only_runway(
                "bytedance/seedance-2.0",
                {
                    "duration": 4,
                    "generate_audio": False,
                    "input_references": [
                        clip_of("source", CLIP),
                        given("reference", ONE),
                        clip_of("reference", OTHER_CLIP),
                        given("reference", SOUND, "audio/wav"),
                    ],
                },
            ),
            {
                "model": "seedance2",
                "ratio": "1280:720",
                "duration": 4,
                "audio": False,
                "prompt_video": data_url(CLIP, "video/mp4"),
                "references": [Runway.uri(ONE)],
                "reference_videos": [Runway.seen(OTHER_CLIP, "video/mp4")],
                "reference_audio": [Runway.seen(SOUND, "audio/wav")],
            },
        ),
        "seedance fast": (
            only_runway("bytedance/seedance-2.0-fast", {"resolution": "480p"}),
            {"model": "seedance2_fast", "ratio": "864:496", "duration": 5, "audio": True},
        ),
        "seedance mini": (
            only_runway("bytedance/seedance-2.0-mini", {"aspect_ratio": "21:9", "seed": 7}),
            {"model": "seedance2_mini", "ratio": "1470:630", "duration": 5, "audio": True, "seed": 7},
        ),
        "aleph": (
            {"model": "runway/aleph-2", "input_references": [clip_of("source", CLIP)]},
            {"model": "aleph2", "video_uri": data_url(CLIP, "video/mp4")},
        ),
        "aleph, with all it takes": (
            {
                "model": "runway/aleph-2",
                "aspect_ratio": "21:9",
                "seed": 7,
                "input_references": [clip_of("source", CLIP)],
                "provider_params": {"contentModeration": {"publicFigureThreshold": "auto"}},
            },
            {
                "model": "aleph2",
                "video_uri": data_url(CLIP, "video/mp4"),
                "target_aspect_ratio": "21:9",
                "seed": 7,
                "content_moderation": {"public_figure_threshold": "auto"},
            },
        ),
        "omni": (
            only_runway("google/gemini-omni-flash", {"aspect_ratio": "9:16"}),
            {"model": "gemini_omni_flash", "ratio": "720:1280", "duration": 5},
        ),
        "omni, of a picture": (
            only_runway("google/gemini-omni-flash", {"input_references": [given("first_frame", ONE)]}),
            {
                "model": "gemini_omni_flash",
                "ratio": "1280:720",
                "duration": 5,
                "prompt_image": [Runway.frame("first", ONE)],
            },
        ),
        "omni, of a clip": (
            only_runway(
                "google/gemini-omni-flash",
                {"input_references": [clip_of("source", CLIP), given("reference", ONE)]},
            ),
            {
                "model": "gemini_omni_flash",
                "video_uri": data_url(CLIP, "video/mp4"),
                "references": [Runway.uri(ONE)],
            },
        ),
        "omni 1.1": partner("gemini_omni_flash_1.1", {}, ratio="1920:1080"),
        "happyhorse": (
            only_runway("alibaba/happyhorse-1.0", {"resolution": "1080p", "aspect_ratio": "4:3"}),
            {"model": "happyhorse_1_0", "ratio": "1662:1248", "duration": 5},
        ),
        "happyhorse, of a picture": (
            only_runway(
                "alibaba/happyhorse-1.0",
                {"resolution": "1080p", "input_references": [given("first_frame", ONE)]},
            ),
            {
                "model": "happyhorse_1_0",
                "resolution": "1080p",
                "duration": 5,
                "prompt_image": [Runway.frame("first", ONE)],
            },
        ),
        "grok": partner("grok_imagine_1_5", {}, ratio="16:9", resolution="1080p"),
        "grok, of a picture": with_picture("grok_imagine_1_5", {}, resolution="1080p"),
        "grok lite": partner("grok_imagine_1_5_lite", {}, ratio="848:480"),
        "grok lite, of a picture": with_picture("grok_imagine_1_5_lite", {}, ratio="auto_480p"),
        "h3": partner(
            "h3_max",
            {"provider_params": {"promptExpansionMode": "quality"}},
            resolution="768p",
            prompt_expansion_mode="quality",
        ),
        "h3, of a picture": with_picture("h3_max", {}, resolution="768p"),
        "hailuo": partner("hailuo3", {}, ratio="16:9", resolution="768p"),
        "hailuo, in its larger size": partner("hailuo3", {"size": "2560x1440"}, ratio="16:9", resolution="2k"),
        "hailuo, in the resolution": partner("hailuo3", {"resolution": "1440p"}, ratio="16:9", resolution="2k"),
        "hailuo, of a picture": with_picture("hailuo3", {}, ratio="16:9", resolution="768p"),
        "kling 2.5": partner("kling2.5_turbo_pro", {}, ratio="1280:720"),
        "kling 2.5, of a picture": with_picture("kling2.5_turbo_pro", {}),
        "kling 3": partner("kling3.0_standard", {"generate_audio": True}, ratio="1280:720", audio=True),
        "kling O3": partner("klingO3_pro", {"generate_audio": False}, ratio="1920:1080", audio=False),
        "kling O3, of a picture": with_picture(
            "klingO3_pro", {"generate_audio": True}, ratio="1920:1080", audio=True
        ),
        "kling 4": partner("kling_4", {}, ratio="1280:720"),
        "kling 4, of a picture": with_picture("kling_4", {}, ratio="auto_720p"),
        "seedance 2.5": partner("seedance2_5", {"generate_audio": True}, ratio="1280:720", audio=True),
        "wan": partner("wan3", {"generate_audio": False}, ratio="1280:720", audio=False),
        "a performance of somebody in a picture": (
            {
                "model": "runway/act-two",
                "aspect_ratio": "9:16",
                "seed": 7,
                "input_references": [given("reference", ONE, reference_type="character"), clip_of("source", CLIP)],
                "provider_params": {
                    "bodyControl": True,
                    "expressionIntensity": 4,
                    "contentModeration": {"publicFigureThreshold": "low"},
                },
            },
            {
                "model": "act_two",
                "ratio": "720:1280",
                "seed": 7,
                "character": Runway.seen(ONE, "image/png"),
                "reference": Runway.seen(CLIP, "video/mp4"),
                "body_control": True,
                "expression_intensity": 4,
                "content_moderation": {"public_figure_threshold": "low"},
            },
        ),
        "a performance of somebody in a clip": (
            {
                "model": "runway/act-two",
                "input_references": [clip_of("reference", OTHER_CLIP), clip_of("source", CLIP)],
            },
            {
                "model": "act_two",
                "ratio": "1280:720",
                "character": Runway.seen(OTHER_CLIP, "video/mp4"),
                "reference": Runway.seen(CLIP, "video/mp4"),
            },
        ),
    },
}


def told(vendor, record):
    files = [(file["field"], file["content_type"], file["sha256"]) for file in record["references"]]
    return {
        "model": record["model"],
        "encoding": record["encoding"],
        "prompt": record["prompt"],
        "files": files,
        "fields": vendor.plain(record["fields"]),
    }


def compare(vendor, account, gateway, name, wish, wish_of_client):
    jobs = lambda: account.control("GET", "/jobs")
    before = len(jobs())
    vendor.create(account, name, **wish_of_client)
    gateway.call("POST", "/v1/videos", vendor.model | wish | {"prompt": name})
    gateway.until(lambda: len(jobs()) == before + 2, f"{vendor.name} takes {name!r}")
    theirs, ours = jobs()[before:]
    expect(told(vendor, ours), told(vendor, theirs), "what was sent")


def configured(vendor, account, directory):
    lines = ["[security]", 'allow_private_networks = ["127.0.0.0/8"]', f"[providers.{vendor.name}]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in vendor.section(account.told, directory).items()]
    for model in vendor.declared:
        lines.append(f"[[providers.{vendor.name}.models]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in model.items()]
    (directory / "filmgate.toml").write_text("\n".join(lines))


def run(binary, vendor, wishes):
    broken = 0
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        account = vendor.account(binary)
        stack.callback(account.stop)
        configured(vendor, account, directory)
        gateway = Gateway(binary, directory)
        stack.callback(gateway.stop)
        for name, (wish, wish_of_client) in wishes.items():
            try:
                compare(vendor, account, gateway, name, wish, wish_of_client)
                print(f"ok      {vendor.name}: {name}")
            except (Exception, SystemExit) as error:
                broken += 1
                print(f"FAILED  {vendor.name}: {name}: {error!r}")
                if hasattr(error, "read"):
                    print(error.read().decode(errors="replace"))
        alarms = gateway.alarms()
        for line in alarms:
            print(f"in the gateway's log: {line}")
    return broken + len(alarms)


def notices_a_difference(binary):
    """Must go wrong, or nothing here means anything."""
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        account = Runway.account(binary)
        stack.callback(account.stop)
        configured(Runway, account, directory)
        gateway = Gateway(binary, directory)
        stack.callback(gateway.stop)
        wish = {"model": "runway/gen-4.5", "seed": 7}
        other = {"model": "gen4.5", "ratio": "1280:720", "duration": 5, "seed": 8}
        try:
            compare(Runway, account, gateway, "another seed", wish, other)
        except Wrong as wrong:
            expect("'seed': 7" in str(wrong) and "'seed': 8" in str(wrong), True, "whether the seeds are told")
            return
    raise SystemExit("two different orders passed for the same")


def main(binary):
    # Nothing here is to be sent through a proxy.
    os.environ["NO_PROXY"] = "*"
    binary = str(pathlib.Path(binary).resolve())
    notices_a_difference(binary)
    broken = sum(run(binary, vendor, wishes) for vendor, wishes in WISHES.items())
    print(f"{sum(map(len, WISHES.values())) - broken} passed, {broken} failed")
    return 1 if broken else 0


if __name__ == "__main__":
    # Whoever ends this ends the gateway and the emulators too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if len(sys.argv) != 2:
        raise SystemExit("usage: python same_words.py path/to/filmgate")
    sys.exit(main(sys.argv[1]))
