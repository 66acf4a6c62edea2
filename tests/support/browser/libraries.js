// Uploads files and calls gRPC-web with libraries that pages use, in their default settings.
"use strict";

function load(script) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = script;
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${script} does not load`));
    document.head.append(element);
  });
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// Each resolves with the media.
const uploaders = {
  uppy(endpoint, headers, file) {
    return new Promise((resolve, reject) => {
      const uppy = new Uppy.Uppy({ autoProceed: true });
      uppy.use(Uppy.XHRUpload, { endpoint, headers });
      uppy.on("upload-success", (_, { body }) => resolve(body));
      uppy.on("upload-error", (_, error, response) => reject(new Error(`${error} ${JSON.stringify(response)}`)));
      uppy.addFile({ name: file.name, type: file.type, data: file });
    });
  },

  dropzone(url, headers, file) {
    return new Promise((resolve, reject) => {
      const zone = new Dropzone(document.createElement("div"), { url, headers });
      zone.on("success", (_, media) => resolve(media));
      zone.on("error", (_, error) => reject(new Error(JSON.stringify(error))));
      zone.addFile(file);
    });
  },

  filepond(url, headers, file) {
    return new Promise((resolve, reject) => {
      const input = document.body.appendChild(document.createElement("input"));
      const process = { url, headers, onload: (media) => resolve(JSON.parse(media)), onerror: (error) => reject(new Error(error)) };
      const pond = FilePond.create(input, { server: { process } });
      pond.on("error", (error) => reject(new Error(JSON.stringify(error))));
      pond.addFile(file);
    });
  },
};

async function upload({ library, url, headers, name, type, data }) {
  await load(`/${library}.js`);
  return uploaders[library](url, headers, new File([bytes(data)], name, { type }));
}

// Plays with hls.js in its default settings. Resolves at the end with the time and the number of frames.
async function playAtOnce(url) {
  const video = document.body.appendChild(document.createElement("video"));
  video.muted = true;
  const hls = new Hls();
  try {
    return await new Promise((resolve, reject) => {
      hls.on(Hls.Events.ERROR, (_, { fatal, details, response }) => {
        if (fatal) reject(new Error(`hls.js: ${details} ${response?.code ?? ""}`));
      });
      hls.on(Hls.Events.MANIFEST_PARSED, () => video.play().catch(reject));
      video.addEventListener("ended", () => {
        resolve({ seconds: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames });
      });
      hls.loadSource(url);
      hls.attachMedia(video);
      setTimeout(() => reject(new Error(`no end after ${video.currentTime} of ${video.duration} s`)), 60_000);
    });
  } finally {
    hls.destroy();
    video.remove();
  }
}

// Calls a method with an encoded message. Resolves with the encoded responses and the status.
async function grpcWeb({ url, method, format, streams, headers, request }) {
  const { GrpcWebClientBase, MethodDescriptor, MethodType } = await import("/grpc-web.js");
  const type = streams ? MethodType.SERVER_STREAMING : MethodType.UNARY;
  const encode = (message) => btoa(String.fromCharCode(...message));
  const descriptor = new MethodDescriptor(method, type, Uint8Array, Uint8Array, bytes, encode);
  const client = new GrpcWebClientBase({ format });
  const messages = [];
  return new Promise((resolve) => {
    const end = ({ code, message }) => resolve({ messages, code, message });
    if (streams) {
      const stream = client.serverStreaming(url + method, request, headers, descriptor);
      stream.on("data", (response) => messages.push(response));
      stream.on("error", end);
      stream.on("status", ({ code, details }) => end({ code, message: details }));
      return;
    }
    client.rpcCall(url + method, request, headers, descriptor, (error, response) => {
      if (!error) messages.push(response);
      end(error ?? { code: 0, message: "" });
    });
  });
}
