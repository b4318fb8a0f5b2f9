// Pictures of what the networks give: label maps, and where the token mixers select.

const STOPS = [[13, 8, 35], [86, 16, 110], [187, 55, 84], [249, 142, 9], [252, 255, 164]];
const ROUTES = {
  mean: 'mean of the scans',
  rows: 'scan from left to right',
  columns: 'scan from top to bottom',
  rows_backward: 'scan from right to left',
  columns_backward: 'scan from bottom to top',
};

/** Return the colour of a number from 0 to 1. */
function colour(value) {
  const place = Math.min(Math.max(value, 0), 1) * (STOPS.length - 1);
  const i = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[i].map((from, c) => from + (place - i) * (STOPS[i + 1][c] - from));
}

/** Draw on a canvas, whose size becomes that of the image. */
export function show(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext('2d').putImageData(image, 0, 0);
}

/** Return an image with a colour for each place of a map. */
export function paint(width, height, colourOf) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...colourOf(i), 255], 4 * i);
  return image;
}

/** Return one scan of delta (1, scans, height, width), or their mean. */
function scanOf({data, dims}, scan) {
  const [, scans, height, width] = dims;
  const size = height * width;
  const values = Float32Array.from({length: size}, (_, i) => {
    if (scan >= 0) return data[scan * size + i];
    let sum = 0;
    for (let k = 0; k < scans; k++) sum += data[k * size + i];
    return sum / scans;
  });
  return {values, width, height};
}

/** Fill an element with the maps of all token mixers and a choice of the scan. */
export function showSelection(element, selection, outputs) {
  if (!element.firstChild) build(element, selection);
  const choice = element.querySelector('select');
  const draw = () => {
    for (const figure of element.querySelectorAll('figure')) {
      const {values, width, height} = scanOf(outputs[figure.dataset.output], choice.value);
      const low = Math.min(...values);
      const high = Math.max(...values);
      const share = (i) => (high > low ? (values[i] - low) / (high - low) : 0.5);
      show(figure.querySelector('canvas'), paint(width, height, (i) => colour(share(i))));
      const range = figure.querySelector('data');
      range.value = `${low} ${high}`;
      range.textContent = `${low.toPrecision(3)} to ${high.toPrecision(3)}`;
    }
  };
  choice.onchange = draw;
  draw();
  element.hidden = false;
}

function build(element, selection) {
  const routes = ['mean', ...Object.values(selection)[0]];
  const options = routes.map((route, i) => new Option(ROUTES[route] ?? route, i - 1));
  const choice = document.createElement('select');
  choice.append(...options);
  const label = document.createElement('label');
  label.append('Where the token mixers select: ', choice);
  const figures = Object.keys(selection).map((output) => {
    const [, stage, mixer] = output.split('_');
    const name = `stage ${stage}, mixer ${mixer}`;
    const figure = document.createElement('figure');
    figure.dataset.output = output;
    const canvas = document.createElement('canvas');
    canvas.role = 'img';
    canvas.ariaLabel = `Delta of ${name}`;
    const caption = document.createElement('figcaption');
    caption.append(name, document.createElement('br'), document.createElement('data'));
    figure.append(canvas, caption);
    return figure;
  });
  const row = document.createElement('div');
  row.className = 'maps';
  row.append(...figures);
  element.append(label, row);
}
