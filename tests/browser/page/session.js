// What the tests call. Each function ends with an event of the player, with its failure, or when patience ends.
// Pictures that lie further behind the time sought are not those of that time.
const LATE_SECONDS = 0.1;

const video = document.getElementById("video");
const recorder = new Recorder(video);
let player;
let patienceSeconds;

async function load(kind, url, patience, clearKeys) {
  patienceSeconds = patience;
  player = new PLAYERS[kind](video, recorder);
  await recorder.start();
  await bounded(player.load(url, clearKeys));
  // The first picture is shown before anything is asked for, and is not taken for that of a seek.
  await bounded(recorder.settled(0));
}

async function playToEnd() {
  const ended = once(video, "ended");
  await bounded(video.play().then(() => ended));
  return told();
}

// Resolves when the media clock has passed a time, in seconds.
async function playTo(seconds) {
  const passed = async () => {
    await video.play();
    while (video.currentTime < seconds && !video.ended) await once(video, "timeupdate");
  };
  await bounded(passed());
}

// Plays a part at a share of its speed, and resolves with the pictures that were shown.
async function replay(first, last, speed) {
  video.pause();
  const sought = once(video, "seeked");
  video.currentTime = first;
  await bounded(sought);
  const { length } = recorder.record.pictures;
  video.playbackRate = speed;
  await playTo(last);
  video.pause();
  video.playbackRate = 1;
  return recorder.record.pictures.slice(length);
}

// Changes to the rendition of a height (the shorter side), and resolves when it is to be seen.
async function changeTo(height) {
  const seen = async () => {
    while (Math.min(video.videoWidth, video.videoHeight) !== height) await once(video, "resize");
  };
  const changed = seen();
  player.changeTo(height);
  await bounded(changed);
}

// Jumps to a time, and resolves with the time of the picture that is shown there, and how bright it is.
async function seek(seconds) {
  const before = recorder.shown;
  const sought = once(video, "seeked");
  video.currentTime = seconds;
  await bounded(sought);
  let picture = await bounded(recorder.settled(before));
  // What was shown before the seek may be shown once more, as a player changes renditions: it is waited out.
  while (picture[0] > seconds + LATE_SECONDS) picture = await bounded(recorder.settled(recorder.shown));
  return picture;
}

function told() {
  const buffered = [];
  for (let i = 0; i < video.buffered.length; i++) buffered.push([video.buffered.start(i), video.buffered.end(i)]);
  const { duration, currentTime, videoWidth, videoHeight } = video;
  return { ...recorder.record, buffered, duration, currentTime, width: videoWidth, height: videoHeight };
}

// Rejects as soon as the player gives up, or when a promise is not kept in time.
function bounded(promise) {
  const tooLong = new Promise((_, reject) => {
    const state = () => JSON.stringify({ ...told(), clock: recorder.record.clock.at(-1), pictures: recorder.record.pictures.at(-1) });
    setTimeout(() => reject(new Error(`not done after ${patienceSeconds} s: ${state()}`)), 1000 * patienceSeconds);
  });
  return Promise.race([promise, recorder.failed, tooLong]);
}
