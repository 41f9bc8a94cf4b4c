// Records what a video element shows and sounds like. It judges nothing: the tests do.

// For how many refreshes of the screen no other picture comes before the one shown is the one that stays.
const QUIET_FRAMES = 4;

class Recorder {
  constructor(video) {
    this.video = video;
    this.record = { errors: [], pictures: [], beeps: [], clock: [] };
    this.canvas = new OffscreenCanvas(16, 9).getContext("2d", { willReadFrequently: true });
    this.shown = 0;
    this.failed = new Promise((_, reject) => (this.fail = reject));
    // Whoever waits hears of it; where nobody does, the record tells.
    this.failed.catch(() => {});
  }

  // Notes what a player complains of; after a fatal complaint nothing is waited for any more.
  complain(words, fatal) {
    this.record.errors.push(`${words} at ${this.video.currentTime.toFixed(3)} s`);
    if (fatal) this.fail(new Error(words));
  }

  async start() {
    const { video } = this;
    video.addEventListener("error", () => this.complain(`media element: ${video.error?.message}`, true));
    await this.listen();
    this.watch();
    this.compareClocks();
  }

  // Has the sound pass by a detector of onsets on its way out.
  async listen() {
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule("onsets.js");
    const onsets = new AudioWorkletNode(this.context, "onsets");
    onsets.port.onmessage = ({ data }) => this.record.beeps.push(data);
    this.context.createMediaElementSource(this.video).connect(onsets).connect(this.context.destination);
    await this.context.resume();
  }

  // Looks at each picture that is shown; its own time is exact, whenever this is called.
  watch() {
    this.video.requestVideoFrameCallback((_, { mediaTime }) => {
      this.record.pictures.push([mediaTime, this.brightness()]);
      this.shown += 1;
      this.watch();
    });
  }

  // Resolves with the latest picture when one has been shown since `before` pictures, and no other follows at once.
  async settled(before) {
    let last = before;
    for (let quiet = 0; quiet < QUIET_FRAMES; quiet++) {
      await new Promise(requestAnimationFrame);
      if (this.shown === before || this.shown !== last) quiet = 0;
      last = this.shown;
    }
    return this.record.pictures.at(-1);
  }

  brightness() {
    this.canvas.drawImage(this.video, 0, 0, 16, 9);
    const { data } = this.canvas.getImageData(0, 0, 16, 9);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
    return sum / (data.length / 4) / 3;
  }

  // Notes side by side what the clocks of media, sound and wall say, as long as the video plays.
  compareClocks() {
    requestAnimationFrame(() => {
      const { video, context, record } = this;
      const playing = !video.paused && !video.seeking && !video.ended && video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA;
      if (playing) record.clock.push([video.currentTime, context.currentTime, performance.now() / 1000]);
      this.compareClocks();
    });
  }
}
