// Tells when sound begins, in the time of the audio context and to the sample.
const LOUD = 0.1;
// Within a tone there are quiet samples; a new one begins only after this long without a loud one.
const QUIET_SECONDS = 0.3;

class Onsets extends AudioWorkletProcessor {
  constructor() {
    super();
    this.lastLoud = -QUIET_SECONDS;
  }

  process([input]) {
    const samples = input[0] ?? [];
    for (let i = 0; i < samples.length; i++) {
      if (Math.abs(samples[i]) <= LOUD) continue;
      const time = currentTime + i / sampleRate;
      if (time - this.lastLoud > QUIET_SECONDS) this.port.postMessage(time);
      this.lastLoud = time;
    }
    return true;
  }
}

registerProcessor("onsets", Onsets);
