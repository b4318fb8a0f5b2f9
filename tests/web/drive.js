// Acts on the page in the frame as a user does; each step's outcome goes to the server.

const frame = document.querySelector('iframe');
const page = () => frame.contentDocument;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(truth, what) {
  for (const start = performance.now(); performance.now() - start < 60e3; await pause(5)) {
    if (truth()) return;
  }
  throw new Error(`nothing came: ${what}`);
}

const bytesOf = (canvas) => {
  const {width, height} = canvas;
  const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
  return {width, height, rgb: Array.from(data).filter((_, i) => i % 4 < 3)};
};
const values = (list) => [...list].map((data) => data.value);

/** Act, wait for an answer or an error in a section; return what it shows. */
async function outcome(section, act) {
  const verdict = section.querySelector('.verdict span');
  const error = section.querySelector('.error');
  verdict.textContent = error.textContent = '';
  const start = performance.now();
  await act();
  await until(() => verdict.textContent || error.textContent, section.id);
  const seen = {seconds: (performance.now() - start) / 1000, told: verdict.textContent, error: error.textContent};
  if (seen.error) return seen;
  const common = {...seen, delta: values(section.querySelectorAll('.maps data'))};
  if (section.id === 'digit') {
    return {
      ...common,
      answer: section.querySelector('output').value,
      scores: values(section.querySelectorAll('.scores data')).map(Number),
      pixels: bytesOf(section.querySelector('.pixels')),
    };
  }
  return {
    ...common,
    picture: bytesOf(section.querySelector('.picture')),
    labels: bytesOf(section.querySelector('.labels')),
  };
}

function draw(strokes) {
  const pad = page().querySelector('.pad');
  page().querySelector('.clear').click();
  const {left, top, width, height} = pad.getBoundingClientRect();
  const send = (kind, [x, y]) => pad.dispatchEvent(new frame.contentWindow.PointerEvent(kind, {
    pointerId: 1,  // the mouse
    clientX: left + x * width, clientY: top + y * height,
  }));
  for (const points of strokes) {
    send('pointerdown', points[0]);
    for (const point of points) send('pointermove', point);
    send('pointerup', points.at(-1));
  }
}

/** Give files to a section, by its button or by a drop. */
async function give(section, names, drop) {
  const files = new DataTransfer();
  for (const [name, type] of names) {
    const bytes = await (await fetch(`given/${name}`)).arrayBuffer();
    files.items.add(new File([bytes], name, {type}));
  }
  if (drop) {
    const options = {bubbles: true, cancelable: true, dataTransfer: files};
    section.dispatchEvent(new frame.contentWindow.DragEvent('drop', options));
    return;
  }
  const chooser = section.querySelector('input[type=file]');
  chooser.files = files.files;
  chooser.dispatchEvent(new Event('change'));
}

async function run() {
  const steps = await (await fetch('given/steps.json')).json();
  await until(() => page()?.querySelector('#status.error') || page()?.querySelector('#status')?.textContent === 'Ready.', 'a page that is ready');
  const seen = [];
  for (const step of steps) {
    const section = page().querySelector(`#${step.section}`);
    seen.push(await outcome(section, () =>
      step.strokes ? draw(step.strokes) : give(section, step.files, step.drop)));
  }
  return {status: page().querySelector('#status').textContent, seen};
}

const result = await run().catch((error) => ({
  failed: `${error}`,
  page: page()?.body?.innerText,
}));
await fetch('result', {method: 'POST', body: JSON.stringify(result)});
