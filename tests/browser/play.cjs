// Opens a browser on what the gateway serves: videos must play to their end and show a picture, and the page of the
// API must show its operations without asking anybody else for anything.
//
// Usage: node play.cjs path/to/filmgate. Needs playwright-core (NODE_PATH) and Debian's Chromium.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { mkdtempSync, openSync, readFileSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const { chromium } = require('playwright-core');

const CHROMIUM = '/usr/bin/chromium';
const PATIENCE_MS = 60_000;

/** Starts the binary in `directory`, on a free port; resolves once it is ready. */
async function start(binary, directory) {
  const log = path.join(directory, 'gateway.log');
  const child = spawn(binary, ['--data', path.join(directory, 'data'), '--json', 'serve', '--listen', '127.0.0.1:0'], {
    cwd: directory,
    env: { FILMGATE_ENGINE__PROVIDERS_FROM_ENVIRONMENT: 'false', RUST_LOG: 'warn' },
    stdio: ['ignore', 'pipe', openSync(log, 'w')],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const told = new Promise((resolve) => readline.createInterface({ input: child.stdout }).once('line', resolve));
  const line = await Promise.race([told, ended.then(() => undefined)]);
  if (line === undefined) {
    throw new Error(`the gateway did not start:\n${readFileSync(log, 'utf8')}`);
  }
  const { address, key } = JSON.parse(line);
  const call = async (target, body) => {
    const answer = await fetch(address + target, {
      method: body ? 'POST' : 'GET',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', prefer: 'wait=60' },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${target} was answered ${answer.status}: ${text}`);
    return JSON.parse(text);
  };
  const stop = async () => {
    child.kill('SIGTERM');
    const patience = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
    await ended;
    clearTimeout(patience);
  };
  return { address, call, stop };
}

/** A browser of its own: nothing of the user's, and no name is resolved. */
function open(directory) {
  return chromium.launch({
    executablePath: CHROMIUM,
    headless: true,
    env: { ...process.env, HOME: directory, XDG_CONFIG_HOME: directory, XDG_CACHE_HOME: directory },
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    ],
  });
}

/** A page whose requests are written down; whatever would leave loopback is stopped. */
async function newPage(browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const seen = { left: [], errors: [], requests: 0 };
  await context.route('**/*', (route) => {
    const url = new URL(route.request().url());
    seen.requests += 1;
    if (['127.0.0.1', ''].includes(url.hostname) || ['data:', 'blob:', 'about:'].includes(url.protocol)) {
      return route.continue();
    }
    seen.left.push(url.href);
    return route.abort();
  });
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && seen.errors.push(message.text()));
  return { page, seen };
}

/** Orders a video of two seconds and waits for its end. */
async function order(gateway, fields) {
  const body = { model: 'filmgate/testcard', prompt: 'a paper boat', duration: 2, size: '640x360', ...fields };
  const video = await gateway.call('/v1/videos', body);
  assert.equal(video.status, 'completed', JSON.stringify(video));
  return video;
}

/**
 * Plays a link in a page of the gateway's own origin: seeks to the middle and looks at the picture there, then plays
 * from the start to the end.
 */
async function play(page, gateway, link) {
  await page.goto(`${gateway.address}/health`);
  await page.setContent('<!doctype html><title>player</title><video muted playsinline></video>');
  return page.evaluate(async (source) => {
    const video = document.querySelector('video');
    const happened = (name) =>
      new Promise((resolve, reject) => {
        video.addEventListener(name, resolve, { once: true });
        video.addEventListener('error', () => reject(new Error(`${video.error.code}: ${video.error.message}`)), { once: true });
      });
    const loaded = happened('loadeddata');
    video.src = source;
    await loaded;

    // The picture of the new position can be drawn once it has been presented.
    const middle = video.duration / 2;
    const presented = new Promise((resolve) => {
      const look = (now, { mediaTime }) => (mediaTime > middle - 0.5 ? resolve() : video.requestVideoFrameCallback(look));
      video.requestVideoFrameCallback(look);
    });
    const sought = happened('seeked');
    video.currentTime = middle;
    await Promise.all([sought, presented]);
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4) {
      // Sixteen shades of each of red, green and blue.
      colours.add(((data[at] >> 4) << 8) | ((data[at + 1] >> 4) << 4) | (data[at + 2] >> 4));
    }

    const back = happened('seeked');
    video.currentTime = 0;
    await back;
    const ended = happened('ended');
    video.muted = false;
    await video.play();
    await ended;
    return {
      width: video.videoWidth,
      height: video.videoHeight,
      duration: video.duration,
      position: video.currentTime,
      ended: video.ended,
      colours: colours.size,
      soundBytes: video.webkitAudioDecodedByteCount,
      pictures: video.getVideoPlaybackQuality().totalVideoFrames,
      dropped: video.getVideoPlaybackQuality().corruptedVideoFrames,
    };
  }, link);
}

const tests = {
  async 'a silent video plays to its end'({ browser, gateway }) {
    await plays(browser, gateway, await order(gateway, {}), { sound: false });
  },

  async 'a video with sound plays to its end'({ browser, gateway }) {
    await plays(browser, gateway, await order(gateway, { generate_audio: true }), { sound: true });
  },

  async 'a link that is to be shown inline is shown by the browser itself'({ browser, gateway }) {
    const video = await order(gateway, { seed: 3 });
    const { download_url: link } = await gateway.call(`/v1/videos/${video.id}/download_url`, { disposition: 'inline' });
    const { page, seen } = await newPage(browser);
    await page.goto(link);
    // Either it has a picture to show, or it has found no source that it may load.
    const state = await page.waitForFunction(() => {
      const video = document.querySelector('video');
      return video && (video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA || video.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) && video.readyState + 1;
    });
    assert.ok((await state.jsonValue()) > 2, `the browser shows no picture: ${seen.errors}`);
    assert.deepEqual(seen.left, []);
    await page.context().close();
  },

  async 'a thumbnail is a picture of the size of the video'({ browser, gateway }) {
    const video = await order(gateway, { seed: 4 });
    const { page } = await newPage(browser);
    await page.goto(`${gateway.address}/health`);
    const size = await page.evaluate(async (source) => {
      const picture = new Image();
      picture.src = source;
      await picture.decode();
      return [picture.naturalWidth, picture.naturalHeight];
    }, video.outputs[0].thumbnail_url);
    assert.ok(size[0] > 0 && Math.abs(size[0] / size[1] - 640 / 360) < 0.02, `${size}`);
    await page.context().close();
  },

  async 'the page of the API shows every operation and asks nobody else'({ browser, gateway }) {
    const document = await gateway.call('/openapi.json');
    const operations = Object.values(document.paths).flatMap((item) => Object.keys(item)).length;
    const { page, seen } = await newPage(browser);
    await page.goto(`${gateway.address}/docs/`);
    await page.waitForSelector('.opblock');
    assert.equal(await page.locator('.opblock').count(), operations);
    // One is opened: its parameters and answers are rendered from the document.
    await page.locator('.opblock', { hasText: '/v1/videos/{video_id}' }).first().locator('.opblock-summary').first().click();
    await page.waitForSelector('.opblock.is-open .responses-table');
    assert.match(await page.locator('.opblock.is-open').first().innerText(), /video_id/);
    assert.deepEqual(seen.left, [], 'the page asks others');
    assert.deepEqual(seen.errors, [], 'the page has errors');
    assert.ok(seen.requests > 2, 'no request was seen at all');
    await page.context().close();
  },
};

async function plays(browser, gateway, video, { sound }) {
  assert.equal(video.audio, sound);
  const { page, seen } = await newPage(browser);
  const played = await play(page, gateway, video.download_url);
  assert.equal(`${played.width}x${played.height}`, video.size);
  assert.ok(Math.abs(played.duration - video.seconds) < 0.1, `${played.duration} s played, ${video.seconds} s told`);
  assert.ok(played.ended && Math.abs(played.position - played.duration) < 0.1, JSON.stringify(played));
  assert.ok(played.colours > 8, `the picture in the middle has ${played.colours} colours`);
  assert.ok(played.pictures > 0 && played.dropped === 0, JSON.stringify(played));
  assert.equal(played.soundBytes > 0, sound, `${played.soundBytes} bytes of sound were decoded`);
  assert.deepEqual(seen.left, []);
  assert.deepEqual(seen.errors, []);
  await page.context().close();
}

async function main(binary) {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'filmgate-browser-'));
  let gateway;
  let browser;
  let failed = 0;
  try {
    gateway = await start(path.resolve(binary), directory);
    browser = await open(directory);
    for (const [name, test] of Object.entries(tests)) {
      try {
        await test({ browser, gateway });
        console.log(`ok      ${name}`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED  ${name}\n${error.stack}`);
      }
    }
  } finally {
    await browser?.close();
    await gateway?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
  return failed;
}

if (process.argv.length !== 3) {
  console.error('usage: node play.cjs path/to/filmgate');
  process.exit(2);
}
main(process.argv[2]).then(
  (failed) => process.exit(failed ? 1 : 0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
