// The players, each behind the same few verbs: load, and change to the rendition of a height.

// Resolves with an event's value when it has come.
const once = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

class HlsJs {
  constructor(video, recorder) {
    this.video = video;
    this.hls = new Hls();
    this.hls.on(Hls.Events.ERROR, (_, { type, details, fatal, reason, error }) => {
      // It says so of requests that it gives up itself, after a seek or a change.
      if (details === Hls.ErrorDetails.INTERNAL_ABORTED) return;
      // That the media clock stood still for a moment happens on a busy machine, too; what it would be a sign of, holes
      // and pictures that never come, is judged by itself.
      if (details === Hls.ErrorDetails.BUFFER_STALLED_ERROR && !fatal) return;
      recorder.complain(`hls.js: ${type} ${details} ${reason ?? error?.message ?? ""}`, fatal);
    });
  }

  async load(url) {
    const parsed = new Promise((resolve) => this.hls.once(Hls.Events.MANIFEST_PARSED, resolve));
    this.hls.loadSource(url);
    this.hls.attachMedia(this.video);
    await parsed;
  }

  heights() {
    return this.hls.levels.map((level) => Math.min(level.width, level.height));
  }

  changeTo(height) {
    this.hls.currentLevel = this.heights().indexOf(height);
  }
}

class Shaka {
  constructor(video, recorder) {
    this.video = video;
    this.player = new shaka.Player();
    this.player.addEventListener("error", ({ detail }) => {
      const fatal = detail.severity === shaka.util.Error.Severity.CRITICAL;
      recorder.complain(`shaka: ${detail.code} ${JSON.stringify(detail.data ?? String(detail))}`, fatal);
    });
    this.player.addEventListener("gapjumped", () => recorder.complain("shaka: jumped over a gap"));
  }

  async load(url, clearKeys) {
    await this.player.attach(this.video);
    if (clearKeys) this.player.configure({ drm: { clearKeys } });
    await this.player.load(url);
  }

  heights() {
    return this.player.getVariantTracks().map((track) => Math.min(track.width, track.height));
  }

  changeTo(height) {
    this.player.configure({ abr: { enabled: false } });
    const track = this.player.getVariantTracks().find((each) => Math.min(each.width, each.height) === height);
    this.player.selectVariantTrack(track, true);
  }
}

class Native {
  constructor(video) {
    this.video = video;
  }

  async load(url) {
    const ready = once(this.video, "loadedmetadata");
    this.video.src = url;
    await ready;
  }
}

const PLAYERS = { "hls.js": HlsJs, shaka: Shaka, native: Native };
