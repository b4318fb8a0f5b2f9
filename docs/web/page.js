// The page: two panels, each from a picture to what a network says of it.

import {REMEDY, Told, loadRuntime, openNetwork} from './networks.js';
import {decode, digitOf, pixels} from './pictures.js';
import {paint, show, showSelection} from './maps.js';

const PEN = 30;  // pixels of the pad's 256
const LONGEST = 256;  // edge of a scene; a larger one is shrunk
const status = document.querySelector('#status');
const percent = (share) => `${(100 * share).toFixed(1)} %`;

let last = Promise.resolve();
/** Run a job when those before it are done. */
function inTurn(job) {
  last = last.then(job, job);
  return last;
}

/** Wire a section: files that are chosen or dropped, samples; errors are told in it. */
function panel(section, network, samples, {take, answer}) {
  const part = (selector) => section.querySelector(selector);
  const errors = part('.error');
  let newest = 0;

  async function attempt(job) {
    errors.textContent = '';
    try {
      await job();
    } catch (error) {
      errors.textContent = error instanceof Told ? error.message : `The page has failed: ${error.message ?? error}`;
      if (!(error instanceof Told)) console.error(error);
    }
  }

  const run = (image, told) => {
    const mine = ++newest;
    return inTurn(async () => {
      const compute = await network;
      if (mine !== newest) return;  // another picture has come
      const start = performance.now();
      const outputs = await compute(image);
      const time = performance.now() - start;
      if (mine === newest) answer({section, part, image, outputs, time, told});
    });
  };

  const open = (files) => attempt(async () => {
    if (!files.length) throw new Told('That is not a file: drop a picture file.');
    const picture = await decode(files[0]);
    const others = files.length > 1 ? `The first of ${files.length} files is shown.` : '';
    await run(take(picture, files[0].name, part), others);
  });

  const chooser = part('input[type=file]');
  chooser.onchange = async () => {
    const files = [...chooser.files];
    chooser.value = '';  // so that the same file can be chosen again
    if (files.length) await open(files);
  };
  section.ondragover = () => section.classList.add('over');
  section.ondragleave = () => section.classList.remove('over');
  section.ondrop = (event) => {
    section.classList.remove('over');
    open([...event.dataTransfer.files]);
  };
  for (const sample of samples) {
    const button = document.createElement('button');
    const image = new Image();
    button.type = 'button';
    image.src = sample;
    image.alt = sample.split('/').pop().split('.')[0].replaceAll('_', ' ');
    button.append(image);
    button.onclick = () => attempt(async () => {
      const answer = await fetch(sample);
      if (!answer.ok) throw new Told(`${sample} cannot be loaded: ${REMEDY}.`);
      const file = new File([await answer.blob()], sample);
      await run(take(await decode(file), sample, part), '');
    });
    part('.samples').append(button);
  }
  network.catch((error) => attempt(() => { throw error; }));
  const cancel = () => {
    newest++;
    errors.textContent = '';
  };
  return {part, attempt, run, cancel};
}

/** The pad: strokes of mouse, pen or finger; `done` is called after each. */
function drawing(pad, done) {
  const context = pad.getContext('2d', {willReadFrequently: true});
  const clear = () => {
    context.fillStyle = 'black';
    context.fillRect(0, 0, pad.width, pad.height);
  };
  const place = ({clientX, clientY}) => {
    const {left, top, width, height} = pad.getBoundingClientRect();
    return [((clientX - left) * pad.width) / width, ((clientY - top) * pad.height) / height];
  };
  let from = null;
  const line = (event) => {
    if (!from) return;
    const to = place(event);
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    from = to;
  };
  Object.assign(context, {lineWidth: PEN, lineCap: 'round', lineJoin: 'round', strokeStyle: 'white'});
  pad.onpointerdown = (event) => {
    pad.setPointerCapture(event.pointerId);
    from = place(event);
    line(event);
  };
  pad.onpointermove = line;
  pad.onpointerup = pad.onpointercancel = () => {
    if (from) done();
    from = null;
  };
  clear();
  return {clear, show: (picture) => {
    clear();
    const scale = Math.min(pad.width / picture.width, pad.height / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(picture, (pad.width - width) / 2, (pad.height - height) / 2, width, height);
  }};
}

function digits(network, {classes, selection}, samples) {
  const section = document.querySelector('#digit');
  const pad = section.querySelector('.pad');
  const bars = classes.map((name) => {
    const row = document.createElement('li');
    const bar = document.createElement('i');
    const value = document.createElement('data');
    row.append(name, bar, value);
    section.querySelector('.scores').append(row);
    return {row, value};
  });
  /** Show probabilities and a verdict; zeros and a question mark when there is none. */
  const tell = (scores, answer, text) => {
    bars.forEach(({row, value}, i) => {
      row.style.setProperty('--share', scores[i]);
      row.classList.toggle('best', classes[i] === answer);
      value.value = scores[i];
      value.textContent = answer === '?' ? '' : percent(scores[i]);
    });
    section.querySelector('output').value = answer;
    section.querySelector('.verdict span').textContent = text;
  };

  const {part, attempt, run, cancel} = panel(section, network, samples, {
    take(picture, name) {
      const image = digitOf(picture);
      if (!image) throw new Told(`“${name}” is of one colour nearly everywhere: there is no digit in it.`);
      board.show(picture);
      return image;
    },
    answer({image, outputs, time, told}) {
      const scores = [...outputs.scores.data];
      const best = scores.indexOf(Math.max(...scores));
      show(part('.pixels'), image);
      showSelection(part('.selection'), selection, outputs);
      tell(scores, classes[best], `${percent(scores[best])} sure, in ${time.toFixed(0)} ms. ${told}`);
    },
  });
  const board = drawing(pad, () => attempt(async () => {
    const image = digitOf(pad);
    if (image) await run(image, '');
  }));
  part('.clear').onclick = () => {
    cancel();
    board.clear();
    show(part('.pixels'), new ImageData(8, 8));
    part('.selection').hidden = true;
    tell(classes.map(() => 0), '?', '');
  };
}

function scenes(network, {classes, palette, selection}, samples) {
  const section = document.querySelector('#scene');
  const slider = section.querySelector('input[type=range]');
  const labelMap = section.querySelector('.labels');
  const fade = () => { labelMap.style.opacity = slider.value; };
  slider.oninput = fade;
  fade();

  const entry = (index, share) => {
    const row = document.createElement('li');
    const swatch = document.createElement('i');
    const value = document.createElement('data');
    swatch.style.background = `rgb(${palette[index]})`;
    value.value = share;
    value.textContent = percent(share);
    row.append(swatch, classes[index], value);
    return row;
  };

  panel(section, network, samples, {
    take(picture) {
      const image = pixels(picture, LONGEST);
      image.shrunk = image.width < picture.width || image.height < picture.height;
      return image;
    },
    answer({part, image, outputs, time, told}) {
      const {width, height} = image;
      const labels = Array.from(outputs.labels.data, Number);
      const counts = classes.map(() => 0);
      for (const label of labels) counts[label]++;
      const found = [...counts.keys()].filter((i) => counts[i]).sort((a, b) => counts[b] - counts[a]);
      show(part('.picture'), image);
      show(labelMap, paint(width, height, (i) => palette[labels[i]]));
      part('.legend').replaceChildren(...found.map((i) => entry(i, counts[i] / labels.length)));
      showSelection(part('.selection'), selection, outputs);
      const shrunk = image.shrunk ? `Shrunk to ${width} × ${height} pixels. ` : '';
      part('.verdict span').textContent = `${found.length} ${found.length === 1 ? 'class' : 'classes'}, in ${time.toFixed(0)} ms. ${shrunk}${told}`;
    },
  });
}

/** Load the runtime and both networks, the digits first. */
async function main() {
  for (const event of ['dragover', 'drop']) {
    document.addEventListener(event, (e) => e.preventDefault());  // not a new page
  }
  status.textContent = 'Loading the runtime.';
  const site = await loadRuntime();
  document.querySelector('#runtime').textContent = site.runtime;
  const first = openNetwork(site.digits.file);
  const second = first.catch(() => {}).then(() => openNetwork(site.scenes.file));
  digits(first, site.digits, site.samples.digits);
  scenes(second, site.scenes, site.samples.scenes);
  status.textContent = 'Loading the networks.';
  await Promise.all([first, second]);
  status.textContent = 'Ready.';
}

main().catch((error) => {
  status.className = 'error';
  status.textContent = error instanceof Told ? error.message : `The page cannot start: ${error.message ?? error}`;
});
