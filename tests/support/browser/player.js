// Plays one video as a viewer would, and tells what came of it. Any error ends it, with the words of the player.
"use strict";

const video = document.querySelector("video");
const NO_PROGRESS_MS = 20_000;
const MEDIA_ERRORS = { 1: "aborted", 2: "network", 3: "decode", 4: "source not supported" };
// A frame's time is before the time sought by less than this, whatever the frame rate.
const LONGEST_FRAME = 0.25;

let fail;
const failed = new Promise((_, reject) => {
  fail = (message) => reject(new Error(message));
});
failed.catch(() => {});
let stalls = 0;
let end;
const ended = new Promise((resolve) => (end = resolve));

// Each attaches the stream, and returns its video levels and a function that selects one.
const players = {
  async plain(url) {
    video.src = url;
    await once("loadedmetadata");
    return { levels: [], choose() {} };
  },

  async hls(url, headers) {
    const hls = new Hls({
      xhrSetup(request) {
        for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
      },
    });
    hls.on(Hls.Events.ERROR, (_, { type, details, fatal, error, response, frag, url }) => {
      // Playing waits for bytes and goes on, or the player lets go of what it asked for: no fault of the video.
      if (details === Hls.ErrorDetails.BUFFER_STALLED_ERROR && !fatal) stalls += 1;
      else if (details === Hls.ErrorDetails.INTERNAL_ABORTED && !fatal) return;
      else fail(`hls.js: ${type}: ${details}: ${error?.message} ${response?.code ?? ""} ${url ?? frag?.url ?? ""}`);
    });
    hls.loadSource(url);
    hls.attachMedia(video);
    await once("loadedmetadata");
    return {
      levels: hls.levels.map(({ width, height }) => ({ width, height })),
      choose(level) {
        hls.currentLevel = level;
      },
    };
  },

  async dash(url, headers) {
    const { events } = dashjs.MediaPlayer;
    const dash = dashjs.MediaPlayer().create();
    dash.updateSettings({
      streaming: {
        retryAttempts: { MPD: 0, MediaSegment: 0, InitializationSegment: 0 },
      },
    });
    dash.on(events.ERROR, ({ error }) => fail(`dash.js: ${error.code}: ${error.message}`));
    dash.on(events.PLAYBACK_ERROR, ({ error }) => fail(`dash.js: ${error?.message}`));
    // It stops at the end by itself, before the video says so, when that takes long.
    dash.on(events.PLAYBACK_ENDED, end);
    dash.on(events.PLAYBACK_STALLED, () => (stalls += 1));
    dash.addRequestInterceptor(async (request) => {
      request.headers = { ...request.headers, ...headers };
      return request;
    });
    dash.initialize(video, url, false);
    await once("loadedmetadata");
    return {
      levels: dash.getRepresentationsByType("video").map(({ width, height }) => ({ width, height })),
      choose(level) {
        dash.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } } } });
        dash.setRepresentationForTypeByIndex("video", level, true);
      },
    };
  },
};

// Waits for `promise`; an error of the player comes first, and so does a video that stands still.
async function progress(step, promise) {
  let watch;
  let last = video.currentTime;
  const still = new Promise((_, reject) => {
    watch = setInterval(() => {
      if (video.currentTime === last) reject(new Error(`${step}: no progress; ${state()}`));
      last = video.currentTime;
    }, NO_PROGRESS_MS);
  });
  try {
    return await Promise.race([promise, failed, still]);
  } finally {
    clearInterval(watch);
  }
}

function state() {
  const { currentTime, duration, readyState, networkState, paused, buffered } = video;
  return JSON.stringify({ currentTime, duration, readyState, networkState, paused, buffered: spans(buffered) });
}

function once(event) {
  const happened = new Promise((resolve) => video.addEventListener(event, resolve, { once: true }));
  return progress(event, happened);
}

function spans(ranges) {
  return Array.from({ length: ranges.length }, (_, n) => [ranges.start(n), ranges.end(n)]);
}

// The first frame shown from now on that `wanted` accepts.
function frame(wanted) {
  return new Promise((resolve) => {
    const look = (_, shown) => (wanted(shown) ? resolve(shown) : video.requestVideoFrameCallback(look));
    video.requestVideoFrameCallback(look);
  });
}

// Goes to a time and answers with what is then shown, once a frame of that time is.
async function seek(time) {
  const step = `seek to ${time} s`;
  const seen = frame(({ mediaTime }) => mediaTime <= time + 0.001 && mediaTime > time - LONGEST_FRAME);
  const seeked = once("seeked");
  video.currentTime = time;
  await seeked;
  // Players that find a hole go past it.
  if (Math.abs(video.currentTime - time) > LONGEST_FRAME) throw new Error(`${step}: came to ${video.currentTime} s`);
  const shown = video.videoWidth ? await progress(step, seen) : null;
  if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) throw new Error(`${step}: nothing there; ${state()}`);
  return { time: video.currentTime, shown: shown?.mediaTime ?? null };
}

// Plays on from the start until the level is seen.
async function choose(player, level) {
  const { width, height } = player.levels[level];
  await seek(0);
  player.choose(level);
  const seen = frame((shown) => shown.width === width && shown.height === height);
  await progress("play", video.play());
  await progress(`level ${level} of ${width}x${height}`, seen);
  video.pause();
}

async function play({ kind, url, headers, rate }) {
  // Chromium keeps the message to itself if the video is of another origin, and was not asked for with CORS.
  video.addEventListener("error", () => fail(`video: ${MEDIA_ERRORS[video.error.code]}: ${video.error.message}`));
  const player = await players[kind](url, headers);
  video.playbackRate = rate;
  video.addEventListener("ended", end);
  const over = progress("ended", ended);
  await progress("play", video.play());
  await over;

  const { totalVideoFrames: decoded, droppedVideoFrames: dropped } = video.getVideoPlaybackQuality();
  const played = {
    duration: video.duration,
    seconds: spans(video.played).reduce((sum, [from, to]) => sum + to - from, 0),
    width: video.videoWidth,
    height: video.videoHeight,
    decoded,
    dropped,
    audio_bytes: video.webkitAudioDecodedByteCount,
    levels: player.levels,
  };
  video.pause();
  const seeks = [];
  for (const part of [0.5, 0.1, 0.95, 0]) seeks.push(await seek(part * video.duration));
  // No faster: a short video has to last until the other level has come.
  video.playbackRate = Math.min(rate, 2);
  for (const level of player.levels.keys()) await choose(player, level);
  return { ...played, seeks, stalls };
}
