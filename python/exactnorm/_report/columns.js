"use strict";

// What the page shows: data from Python, and a table's columns made of them.

const data = JSON.parse(document.getElementById("data").textContent);
const { features, states, drift, flags } = data;
const paired = states.length === 2;
const LETTERS = paired ? ["A", "B"] : [""];

// NaN comes as null and infinities as text, since JSON has neither.
const numbers = (column) => Float64Array.from(column, (value) => (value === null ? NaN : Number(value)));

const whole = (value) => value.toLocaleString("en-US");

/** So many digits, as %g; `plus` stands before what is positive. */
function short(value, plus = "", digits = 6) {
  if (Number.isNaN(value)) return "–";
  const sign = value < 0 ? "−" : value > 0 ? plus : "";
  const size = Math.abs(value);
  if (size === Infinity) return `${sign}∞`;
  const text = size !== 0 && size < 1e-4 ? size.toExponential(digits - 1) : size.toPrecision(digits);
  const bare = text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");
  return sign + bare.replace("e+", "e").replace("e-", "e−");
}

const percent = (part) => `${short(Math.round(part * 1e4) / 100)} %`;

for (const state of states) {
  for (const name of ["count", "null", "nan", "infinite", "mean", "sd"]) state[name] = numbers(state[name]);
  state.total = state.count.map((n, i) => n + state.null[i] + state.nan[i] + state.infinite[i]);
  state.finite = state.count.map((n, i) => n / state.total[i]);
  state.offset = state.mean.map((m, i) => (state.sd[i] > 0 ? Math.abs(m) / state.sd[i] : NaN));
}
if (drift) for (const name of Object.keys(drift)) drift[name] = numbers(drift[name]);

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const badge = (s) => make("span", { class: `badge ${LETTERS[s].toLowerCase()}` }, LETTERS[s]);

/** A bar from the middle of its track, to the right if the part (of half the track) is positive. */
function barFromMiddle(part) {
  const track = make("span", { class: "track middle", "aria-hidden": "true" });
  if (Number.isNaN(part) || part === 0) return track;
  const size = Math.min(1, Math.abs(part)) * 50;
  const side = part > 0 ? "up" : "down";
  const fill = make("span", { class: `fill ${side}${Math.abs(part) > 1 ? " beyond" : ""}` });
  fill.style.width = `${size}%`;
  fill.style.left = `${part > 0 ? 50 : 50 - size}%`;
  track.append(fill);
  return track;
}

function bar(part, kind, mark) {
  const track = make("span", { class: "track", "aria-hidden": "true" });
  const fill = make("span", { class: `fill ${kind}` });
  fill.style.width = `${Math.max(0, Math.min(1, part || 0)) * 100}%`;
  track.append(fill);
  if (mark) {
    const line = make("span", { class: "mark" });
    line.style.left = `${mark * 100}%`;
    track.append(line);
  }
  return track;
}

// A column has a title, what it sorts by (once, or once for each state), and the content of its cells.

function counts(title, name, hint) {
  return {
    title,
    hint,
    sorts: states.map((state) => state[name]),
    line: (state, i) => {
      const value = state[name][i];
      const look = value === 0 ? "quiet" : name === "count" ? "" : "strong";
      const title = value === 0 ? "" : `${percent(value / state.total[i])} of its values`;
      return make("span", { class: look, title }, whole(value));
    },
  };
}

function reading(title, name, hint) {
  return {
    title,
    hint,
    sorts: states.map((state) => state[name]),
    line: (state, i) => make("span", { title: String(state[name][i]) }, short(state[name][i])),
  };
}

function change(title, values, text, part, hint) {
  return {
    title,
    hint,
    sorts: [values.map((value) => Math.abs(part(value)))],
    cell: (i) => [make("span", { class: "number" }, text(values[i])), barFromMiddle(part(values[i]))],
  };
}

const names = new Intl.Collator("en", { numeric: true });
const order = features.map((_, i) => i).sort((i, j) => names.compare(features[i], features[j]) || i - j);
const rank = new Float64Array(features.length);
order.forEach((feature, place) => (rank[feature] = place));

function flagsOf(i) {
  const chips = flags.flatMap((flag, f) => {
    const where = LETTERS.filter((_, s) => (states[s].flags[i] >> f) & 1);
    if (!where.length) return [];
    const only = paired && where.length === 1 ? ` in ${where[0]}` : "";
    return [make("span", { class: `chip ${flag.level}`, title: flag.meaning }, flag.name + only), " "];
  });
  return chips.length ? [make("span", { class: "chips" }, ...chips)] : [];
}

const inSd = (value) => (Number.isNaN(value) ? "–" : `${short(value, "+", 3)} sd`);
const times = (value) => (Number.isNaN(value) ? "–" : `× ${short(value, "", 3)}`);
const points = (value) =>
  Number.isNaN(value) ? "–" : `${short(Math.round(value * 1e4) / 100, "+", 4)} pp`;

const columns = [
  {
    title: "Feature",
    sorts: [rank],
    upwards: true,
    cell: (i) => [make("bdi", { class: "name" }, features[i]), ...flagsOf(i)],
  },
];
if (drift) {
  columns.push(
    change("Shift", drift.shift, inSd, (v) => v, "(mean of B − mean of A) / sd of A"),
    change("Variance ratio", drift.ratio, times, (v) => Math.log2(v) / 2, "variance of B / variance of A"),
    change("Null change", drift.null, points, (v) => v / 0.2, "share of nulls in B − share in A"),
  );
  if (drift.nan.some((v) => v !== 0 && !Number.isNaN(v))) {
    const hint = "share of NaNs in B − share in A";
    columns.push(change("NaN change", drift.nan, points, (v) => v / 0.2, hint));
  }
}
columns.push(
  reading("Mean", "mean", "of the finite values"),
  reading("SD", "sd", "of the finite values, ddof 0"),
  counts("Count", "count", "finite values"),
  counts("Null", "null", "nulls"),
  counts("NaN", "nan", "NaNs"),
  counts("Infinite", "infinite", "infinities of either sign"),
);
if (!drift) {
  const [state] = states;
  const offset = flags.findIndex((flag) => flag.name === "large offset");
  columns.push(
    {
      title: "Finite",
      hint: "share of finite values",
      sorts: [state.finite],
      upwards: true,
      cell: (i) => [
        make("span", { class: "number" }, state.total[i] ? percent(state.finite[i]) : "–"),
        bar(state.finite[i], "share"),
      ],
    },
    {
      title: "|Mean| / SD",
      hint: "the bar is logarithmic, from 1 to 2²⁴; the line is at 4096",
      sorts: [state.offset],
      cell: (i) => [
        make("span", { class: "number" }, short(state.offset[i], "", 3)),
        bar(Math.log2(state.offset[i]) / 24, (state.flags[i] >> offset) & 1 ? "warn" : "plain", 0.5),
      ],
    },
  );
}
