// A section of the page: from pictures to what a network says of them, or to an error.

import {Told, load} from './networks.js';
import {decode} from './pictures.js';

let last = Promise.resolve();
/** Run a job when those before it are done. */
function inTurn(job) {
  last = last.then(job, job);
  return last;
}

/** Wire a section: files that are chosen or dropped, samples; errors are told in it. */
export function panel(section, network, samples, {take, answer}) {
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
      if (mine === newest) answer({part, image, outputs, time, told});
    });
  };

  const open = (files) => attempt(async () => {
    if (!files.length) throw new Told('That is not a file: drop a picture file.');
    const [{name}] = files;
    const others = files.length > 1 ? `The first of ${files.length} files is shown.` : '';
    await run(take(await decode(files[0]), name), others);
  });

  takeFiles(section, open);
  for (const sample of samples) {
    part('.samples').append(sampleButton(sample, () => attempt(async () => {
      const file = new File([await load(sample)], sample);
      await run(take(await decode(file), sample), '');
    })));
  }
  network.catch((error) => attempt(() => { throw error; }));
  const cancel = () => {
    newest++;
    errors.textContent = '';
  };
  return {part, attempt, run, cancel};
}

/** Give files that are chosen in a section, or dropped on it. */
function takeFiles(section, open) {
  const chooser = section.querySelector('input[type=file]');
  chooser.onchange = () => {
    const files = [...chooser.files];
    chooser.value = '';  // so that the same file can be chosen again
    if (files.length) open(files);
  };
  section.ondragover = () => section.classList.add('over');
  section.ondragleave = () => section.classList.remove('over');
  section.ondrop = (event) => {
    section.classList.remove('over');
    open([...event.dataTransfer.files]);
  };
}

/** Return a button that shows a picture of this site. */
function sampleButton(sample, press) {
  const button = document.createElement('button');
  const image = new Image();
  button.type = 'button';
  image.src = sample;
  image.alt = sample.split('/').pop().split('.')[0].replaceAll('_', ' ');
  button.append(image);
  button.onclick = press;
  return button;
}
