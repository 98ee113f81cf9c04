"use strict";

// What is drawn is in the page as JSON, made by hvmpi/display/page.py; lengths in mm.
const event = JSON.parse(document.getElementById("event").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const LINE = 0, AREA = 1;
const REACH_PX = 8;

const shown = new Map(event.styles.map(style => [style.key, style.shown]));
const groupOf = new Map(event.objects.flatMap(group => group.styles.map(key => [key, group])));
let chosen = null;
let hovered = null;

const colour = entry => (dark.matches ? entry.dark : entry.light);

function make(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  made.append(content);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// --- geometry ------------------------------------------------------------------------------

function toPath(shapes, closed) {
  const path = new Path2D();
  for (const points of shapes) {
    path.moveTo(points[0], points[1]);
    for (let i = 2; i < points.length; i += 2) path.lineTo(points[i], points[i + 1]);
    if (closed) path.closePath();
  }
  return path;
}

function boxOf(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    box[0] = Math.min(box[0], points[i]);
    box[1] = Math.min(box[1], points[i + 1]);
    box[2] = Math.max(box[2], points[i]);
    box[3] = Math.max(box[3], points[i + 1]);
  }
  return box;
}

function distanceToLine(points, x, y) {
  let nearest = Math.hypot(points[0] - x, points[1] - y);
  for (let i = 2; i < points.length; i += 2) {
    const dx = points[i] - points[i - 2], dy = points[i + 1] - points[i - 1];
    const along = (x - points[i - 2]) * dx + (y - points[i - 1]) * dy;
    const share = Math.max(0, Math.min(1, along / (dx * dx + dy * dy || 1)));
    const away = Math.hypot(points[i - 2] + share * dx - x, points[i - 1] + share * dy - y);
    nearest = Math.min(nearest, away);
  }
  return nearest;
}

function isInside(points, x, y) {
  let inside = false;
  for (let i = 0, j = points.length - 2; i < points.length; j = i, i += 2) {
    const above = points[i + 1] > y;
    if (above !== points[j + 1] > y) {
      const share = (y - points[i + 1]) / (points[j + 1] - points[i + 1]);
      if (x < points[i] + share * (points[j] - points[i])) inside = !inside;
    }
  }
  return inside;
}

// --- a view --------------------------------------------------------------------------------

class View {
  constructor(data) {
    this.data = data;
    this.canvas = make("canvas", "", {
      tabindex: "0",
      role: "img",
      "aria-label": `${data.title} view; its objects are listed below`,
    });
    this.pen = this.canvas.getContext("2d");
    this.detector = data.detector.map(([part, area, points]) => ({
      part, area, path: toPath([points], area === AREA),
    }));
    this.byStyle = new Map(event.styles.map(style => [style.key, []]));
    for (const [key, row, kind, opacity, points] of data.shapes) {
      this.byStyle.get(key).push({key, row, kind, opacity, points, box: boxOf(points)});
    }
    this.layers = event.styles.map(style => this.layer(style));
    this.fingers = new Map();
    this.whole();
    this.listen();
  }

  layer(style) {
    const shapes = this.byStyle.get(style.key);
    const lines = shapes.filter(shape => shape.kind === LINE && shape.points.length > 2);
    return {
      style,
      line: toPath(lines.map(shape => shape.points), false),
      areas: shapes.filter(shape => shape.kind === AREA)
        .map(shape => ({opacity: shape.opacity, path: toPath([shape.points], true)})),
      marks: shapes.filter(shape => shape.points.length === 2),
    };
  }

  element() {
    const buttons = [
      ["all", "whole detector", () => this.whole()],
      ["tracker", "tracker", () => this.tracker()],
      ["+", "zoom in", () => this.zoom(1.5)],
      ["\u2212", "zoom out", () => this.zoom(1 / 1.5)],
    ].map(([text, words, act]) => {
      const button = make("button", text, {"aria-label": `${this.data.title} view: ${words}`});
      button.type = "button";
      button.addEventListener("click", () => { act(); this.draw(); });
      return button;
    });
    const caption = make("figcaption");
    caption.append(make("span", `${this.data.title} (${this.data.axes.join(", ")})`), ...buttons);
    const figure = make("figure");
    figure.append(caption, this.canvas);
    return figure;
  }

  show(across) { this.x = 0; this.y = 0; this.across = across; }
  whole() { this.show(this.data.limits[0]); }
  tracker() { this.show(Math.max(this.data.close[0], this.data.close[1] * this.shape())); }
  shape() { return this.data.limits[0] / this.data.limits[1]; }

  scale() { return this.canvas.clientWidth / (2 * this.across); }
  toPlace(px, py) {
    const scale = this.scale();
    return [
      this.x + (px - this.canvas.clientWidth / 2) / scale,
      this.y - (py - this.canvas.clientHeight / 2) / scale,
    ];
  }

  zoom(factor, px = this.canvas.clientWidth / 2, py = this.canvas.clientHeight / 2) {
    const [x, y] = this.toPlace(px, py);
    const across = Math.max(2, Math.min(40000, this.across / factor));
    const share = across / this.across;
    this.x = x + (this.x - x) * share;
    this.y = y + (this.y - y) * share;
    this.across = across;
  }

  move(dx, dy) {
    this.x -= dx / this.scale();
    this.y += dy / this.scale();
  }

  resize() {
    const width = this.canvas.clientWidth, ratio = devicePixelRatio || 1;
    const height = Math.round(width / this.shape());
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.paint(); });
  }

  paint() {
    const pen = this.pen, ratio = this.canvas.width / this.canvas.clientWidth;
    const scale = this.scale(), thin = 1 / scale;
    // A finger scrolls the page until there is something to move.
    this.canvas.style.touchAction = this.across < 0.95 * this.data.limits[0] ? "none" : "pan-y";
    const style = getComputedStyle(document.documentElement);
    this.ink = style.getPropertyValue("--ink");
    this.paper = style.getPropertyValue("--paper");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = this.paper;
    pen.globalAlpha = 1;
    pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    pen.setTransform(
      ratio * scale, 0, 0, -ratio * scale,
      this.canvas.width / 2 - ratio * scale * this.x, this.canvas.height / 2 + ratio * scale * this.y,
    );
    pen.lineJoin = "round";
    for (const {part, area, path} of this.detector) {
      pen[area === AREA ? "fillStyle" : "strokeStyle"] = colour(event.parts[part]);
      pen.lineWidth = 0.8 * thin;
      if (area === AREA) pen.fill(path); else pen.stroke(path);
    }
    for (const layer of this.layers) if (shown.get(layer.style.key)) this.paintLayer(layer, thin);
    this.paintChosen(thin);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.paintLabels();
    this.paintRuler(scale);
  }

  paintLayer({style, line, areas, marks}, thin) {
    const pen = this.pen;
    pen.fillStyle = pen.strokeStyle = colour(style);
    for (const {opacity, path} of areas) {
      pen.globalAlpha = style.opacity * opacity;
      pen.fill(path);
    }
    pen.globalAlpha = style.opacity;
    pen.lineWidth = 1.3 * style.width * thin;
    pen.setLineDash(style.dashed ? [7 * thin, 5 * thin] : []);
    pen.stroke(line);
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    for (const {points} of marks) this.paintMark(style, points, thin);
  }

  paintMark(style, [x, y], thin) {
    const pen = this.pen, star = style.key === "long_lived";
    pen.beginPath();
    for (let corner = 0; corner < 10 && star; corner += 1) {
      const angle = Math.PI * (0.5 + corner / 5), reach = (corner % 2 ? 3.6 : 8.5) * thin;
      pen.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
    }
    if (!star) pen.arc(x, y, 3.5 * thin, 0, 2 * Math.PI);
    pen.closePath();
    pen.strokeStyle = this.paper;
    pen.lineWidth = 1.5 * thin;
    pen.stroke();
    pen.fill();
  }

  paintChosen(thin) {
    const pen = this.pen, wanted = hovered || chosen;
    if (!wanted) return;
    pen.strokeStyle = this.ink;
    pen.lineWidth = 3 * thin;
    for (const key of groupOf.get(wanted.key).styles) {
      if (!shown.get(key)) continue;
      for (const shape of this.byStyle.get(key)) {
        if (shape.row !== wanted.row) continue;
        if (shape.points.length > 2) {
          pen.stroke(toPath([shape.points], shape.kind === AREA));
        } else {
          pen.beginPath();
          pen.arc(shape.points[0], shape.points[1], 11 * thin, 0, 2 * Math.PI);
          pen.stroke();
        }
      }
    }
  }

  toPixels(x, y) {
    const scale = this.scale();
    return [
      this.canvas.clientWidth / 2 + (x - this.x) * scale,
      this.canvas.clientHeight / 2 - (y - this.y) * scale,
    ];
  }

  paintLabels() {
    const pen = this.pen, width = this.canvas.clientWidth;
    pen.font = `${width < 500 ? 10 : 12}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineWidth = 4;
    pen.strokeStyle = this.paper;
    pen.fillStyle = this.ink;
    for (const [key, text, x, y] of this.data.labels) {
      const [px, py] = this.toPixels(x, y), half = pen.measureText(text).width / 2 + 3;
      if (!shown.get(key) || px < 0 || px > width) continue;
      const at = Math.max(half, Math.min(width - half, px));
      pen.strokeText(text, at, py);
      pen.fillText(text, at, py);
    }
  }

  paintRuler(scale) {
    const pen = this.pen, wanted = 90 / scale;
    const power = 10 ** Math.floor(Math.log10(wanted));
    const length = [5, 2, 1].map(step => step * power).find(step => step <= wanted);
    const left = 12, bottom = this.canvas.clientHeight - 12, right = left + length * scale;
    const text = length >= 1000 ? `${length / 1000} m` : `${Number(length.toPrecision(1))} mm`;
    pen.strokeStyle = pen.fillStyle = this.ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(left, bottom - 5);
    pen.lineTo(left, bottom);
    pen.lineTo(right, bottom);
    pen.lineTo(right, bottom - 5);
    pen.stroke();
    pen.textAlign = "left";
    pen.fillText(text, left + 4, bottom - 10);
  }

  // --- who is there -----------------------------------------------------------------------

  find(px, py) {
    const [x, y] = this.toPlace(px, py), reach = REACH_PX / this.scale();
    let found = null, nearest = reach, area = null;
    for (const style of event.styles) {
      if (!shown.get(style.key)) continue;
      for (const shape of this.byStyle.get(style.key)) {
        const [left, low, right, high] = shape.box;
        if (x < left - reach || x > right + reach || y < low - reach || y > high + reach) continue;
        if (shape.kind === AREA) {
          if (isInside(shape.points, x, y)) area = shape;
          continue;
        }
        // A mark lies on lines that end there, and is meant where it is seen.
        const size = shape.points.length === 2 ? reach / 2 : 0;
        const away = distanceToLine(shape.points, x, y) - size;
        if (away <= nearest) [found, nearest] = [shape, away];
      }
    }
    return found || area;
  }

  listen() {
    const canvas = this.canvas, place = e => [e.offsetX, e.offsetY];
    canvas.addEventListener("pointerdown", e => {
      this.fingers.set(e.pointerId, place(e));
      this.travelled = 0;
      canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", e => {
      const before = this.fingers.get(e.pointerId), now = place(e);
      if (!before) {
        if (e.pointerType === "mouse") point(this.find(...now));
        return;
      }
      this.fingers.set(e.pointerId, now);
      const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
      this.travelled += Math.hypot(dx, dy);
      if (this.fingers.size === 1) {
        this.move(dx, dy);
      } else {
        const [other] = [...this.fingers].filter(([id]) => id !== e.pointerId).map(([, at]) => at);
        const reach = at => Math.max(20, Math.hypot(at[0] - other[0], at[1] - other[1]));
        this.zoom(reach(now) / reach(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      }
      this.draw();
    });
    const lift = e => {
      const alone = this.fingers.delete(e.pointerId) && this.fingers.size === 0;
      if (e.type === "pointerup" && alone && this.travelled < 6) choose(this.find(...place(e)));
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("wheel", e => {
      // The page scrolls under a wheel that is not meant for the view.
      if (document.activeElement !== canvas && !e.ctrlKey) return;
      e.preventDefault();
      this.zoom(Math.exp(-0.0015 * e.deltaY), e.offsetX, e.offsetY);
      this.draw();
    }, {passive: false});
    canvas.addEventListener("keydown", e => {
      const act = {
        ArrowLeft: () => this.move(40, 0),
        ArrowRight: () => this.move(-40, 0),
        ArrowUp: () => this.move(0, 40),
        ArrowDown: () => this.move(0, -40),
        "+": () => this.zoom(1.25),
        "=": () => this.zoom(1.25),
        "-": () => this.zoom(0.8),
        0: () => this.whole(),
        t: () => this.tracker(),
        Escape: () => choose(null),
      }[e.key];
      if (!act || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      act();
      this.draw();
    });
  }
}

// --- the page ------------------------------------------------------------------------------

const views = event.views.map(data => new View(data));
const told = document.getElementById("told");

function drawAll() { for (const view of views) view.draw(); }

function tell(shape) {
  told.replaceChildren();
  if (!shape) {
    told.append(make("p", "Point at an object, tap it, or choose it in a table below."));
    return;
  }
  const group = groupOf.get(shape.key);
  const list = make("dl");
  group.columns.forEach((column, i) => {
    const pair = make("div");
    pair.append(make("dt", column), make("dd", group.rows[shape.row][i]));
    list.append(pair);
  });
  told.append(make("h2", `${group.title} ${shape.row + 1}`), list);
}

function point(shape) {
  if (hovered === shape) return;
  hovered = shape;
  tell(hovered || chosen);
  drawAll();
}

function choose(shape) {
  chosen = shape;
  hovered = null;
  for (const row of document.querySelectorAll("tr.chosen")) row.classList.remove("chosen");
  if (shape) {
    const rows = groupOf.get(shape.key).body?.rows;
    rows?.[shape.row].classList.add("chosen");
  }
  tell(chosen);
  drawAll();
}

function swatch(style) {
  const name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg");
  svg.setAttribute("viewBox", "0 0 22 12");
  svg.setAttribute("aria-hidden", "true");
  const mark = document.createElementNS(name, style.area ? "rect" : "line");
  const at = style.area ? {width: 22, height: 12} : {x1: 0, x2: 22, y1: 6, y2: 6};
  for (const [key, value] of Object.entries(at)) mark.setAttribute(key, value);
  svg.append(mark);
  style.recolour = () => {
    mark.setAttribute("fill", style.area ? colour(style) : "none");
    mark.setAttribute("fill-opacity", Math.max(0.45, style.opacity));
    mark.setAttribute("stroke", style.area ? "none" : colour(style));
    mark.setAttribute("stroke-width", 1.5 * style.width);
    mark.setAttribute("stroke-dasharray", style.dashed ? "5 3" : "none");
  };
  style.recolour();
  return svg;
}

function toggle(style) {
  const count = new Set(
    views.flatMap(view => view.byStyle.get(style.key).map(shape => shape.row)),
  ).size;
  const box = make("input", "", {type: "checkbox", name: style.key});
  box.checked = shown.get(style.key);
  box.addEventListener("change", () => { shown.set(style.key, box.checked); drawAll(); });
  const label = make("label");
  label.append(box, swatch(style), style.title, make("span", String(count), {class: "count"}));
  return label;
}

function fill(group, place) {
  const head = make("tr");
  head.append(make("th", "", {scope: "col"}));
  for (const column of group.columns) head.append(make("th", column, {scope: "col"}));
  const body = make("tbody");
  group.rows.forEach((values, row) => {
    const button = make("button", String(row + 1), {"aria-label": `choose ${group.title} ${row + 1}`});
    button.type = "button";
    button.addEventListener("click", () => choose({key: group.styles[0], row}));
    const line = make("tr");
    line.append(make("td", button), ...values.map(value => make("td", value)));
    body.append(line);
  });
  group.body = body;
  const thead = make("thead", head), table = make("table", thead);
  table.append(body);
  place.append(table);
}

function listed(group) {
  const details = make("details");
  const summary = make("summary", `${group.title} `);
  summary.append(make("span", String(group.rows.length), {class: "count"}));
  const place = make("div", "", {class: "scroll", tabindex: "0", role: "region", "aria-label": group.title});
  details.append(summary, place);
  // Thousands of rows are made when they are asked for.
  details.addEventListener("toggle", () => { if (!group.body) fill(group, place); });
  return details;
}

document.getElementById("views").append(...views.map(view => view.element()));
document.getElementById("kinds").append(...event.styles.map(toggle));
document.getElementById("objects").append(
  ...event.objects.filter(group => group.rows.length).map(listed),
);
dark.addEventListener("change", () => {
  for (const style of event.styles) style.recolour();
  drawAll();
});
addEventListener("resize", () => { for (const view of views) view.resize(); });
tell(null);
for (const view of views) view.resize();
