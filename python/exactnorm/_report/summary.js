// What stands above the table: what the states are, and buttons that select features.

const all = features.map((_, i) => i);
const select = (test) => all.filter(test);
const flagged = (test) => {
  const mask = flags.reduce((set, flag, f) => (test(flag) ? set | (1 << f) : set), 0);
  return select((i) => states.some((state) => state.flags[i] & mask));
};

const find = (id) => document.getElementById(id);
const plural = (count, noun) => `${noun}${count === 1 ? "" : "s"}`;

function drawState(state, s) {
  const list = make("dl");
  const entry = (term, what) => list.append(make("div", {}, make("dt", {}, term), make("dd", {}, what)));
  const shape = state.shape.length === 1 ? "" : `, of shape (${state.shape.join(", ")})`;
  const low = state.total.reduce((a, b) => Math.min(a, b), Infinity);
  const high = state.total.reduce((a, b) => Math.max(a, b), 0);
  const range = low === high ? whole(low) : `${whole(low)} to ${whole(high)}`;
  entry("features", whole(features.length) + shape);
  if (features.length) entry("values of each", range);
  if (state.weighted) entry("weighted", "yes");
  entry("digest", make("code", {}, state.digest));
  const title = make("h2", {}, ...(paired ? [badge(s)] : []), make("bdi", {}, state.label ?? ""));
  return make("section", { class: "card" }, title, make("p", { class: "quiet" }, state.kind), list);
}

function filterButton(className, rows, ...content) {
  const button = make("button", { type: "button", class: className, "aria-pressed": "false" }, ...content);
  button.addEventListener("click", () => filterBy(button, rows));
  return button;
}

function tile(rows, label) {
  const count = make("span", { class: "big" }, whole(rows.length));
  return filterButton("tile", rows, count, make("span", {}, label));
}

function largestShift() {
  const [top] = sorted(all, drift.shift.map(Math.abs), true);
  const shift = top === undefined ? NaN : drift.shift[top];
  const label = make("span", {}, "largest shift");
  if (shift) label.append(": ", make("bdi", {}, features[top]));
  return make("div", { class: "tile" }, make("span", { class: "big" }, inSd(shift)), label);
}

function drawFlags() {
  const present = flags.map((flag) => [flag, flagged((other) => other === flag)]);
  const buttons = present
    .filter(([, rows]) => rows.length)
    .map(([flag, rows]) => filterButton(`chip ${flag.level}`, rows, `${flag.name} ${whole(rows.length)}`));
  const meanings = flags.flatMap((flag) => [
    make("dt", {}, make("span", { class: `chip ${flag.level}` }, flag.name)),
    make("dd", {}, flag.meaning),
  ]);
  if (buttons.length) find("flags").append(make("p", { class: "chips" }, ...buttons));
  const list = make("dl", {}, ...meanings);
  find("flags").append(make("details", {}, make("summary", {}, "What the flags mean"), list));
}

function drawSummary() {
  find("states").append(...states.map(drawState));
  find("same").hidden = !paired || states[0].digest !== states[1].digest;
  find("tiles").append(
    tile(all, plural(features.length, "feature")),
    tile(flagged((flag) => flag.level !== "plain"), "suspicious"),
    tile(flagged((flag) => flag.name === "constant"), "constant"),
    tile(select((i) => states.some((state) => state.null[i] + state.nan[i] > 0)), "with nulls or NaN"),
    ...(drift ? [largestShift()] : []),
  );
  drawFlags();
  find("scales").hidden = !drift;
}
