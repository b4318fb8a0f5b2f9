// The page: two panels, each from a picture to what a network says of it.

import {Told, loadRuntime, openNetwork} from './networks.js';
import {digitOf, pixels} from './pictures.js';
import {paint, show, showSelection} from './maps.js';
import {drawing} from './pad.js';
import {panel} from './panel.js';

const LONGEST = 256;  // edge of a scene; a larger one is shrunk
const status = document.querySelector('#status');
const percent = (share) => `${(100 * share).toFixed(1)} %`;

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
