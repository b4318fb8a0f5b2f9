// A canvas to draw on.

const PEN = 30;  // pixels of the pad's 256

/** The pad: strokes of mouse, pen or finger; `done` is called after each. */
export function drawing(pad, done) {
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
