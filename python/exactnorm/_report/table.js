// The table: searching, sorting, and drawing the rows that can be seen.

const CHUNK = 40;
const lower = features.map((name) => name.toLowerCase());
const view = { button: null, rows: all, query: "", column: null, sort: 0, down: true, shown: [] };
const table = find("table");

/** Largest first if down; NaN always last; equal ones in their order. */
function sorted(rows, keys, down) {
  const sign = down ? -1 : 1;
  return rows.slice().sort((i, j) => {
    const [a, b] = [keys[i], keys[j]];
    if (a !== a || b !== b) return (a !== a) - (b !== b) || i - j;
    return a === b ? i - j : a < b ? -sign : sign;
  });
}

/** Only these rows; or all again, if the button was in use. */
function filterBy(button, rows) {
  const off = view.button === button || rows === all;
  Object.assign(view, { button: off ? null : button, rows: off ? all : rows });
  update();
}

/** First click: largest first, or the other way for names; second: reversed; third: as they were learned. */
function sortBy(c, s) {
  const first = !columns[c].upwards;
  if (view.column !== c || view.sort !== s) Object.assign(view, { column: c, sort: s, down: first });
  else if (view.down === first) view.down = !first;
  else view.column = null;
  update();
  if (table.getBoundingClientRect().top < 0) table.scrollIntoView();
}

const buttons = [];

function drawHead() {
  const row = document.querySelector("#table thead tr");
  columns.forEach((column, c) => {
    const cell = make("th", { scope: "col", role: "columnheader", "aria-sort": "none" });
    if (column.hint) cell.title = column.hint;
    const each = column.sorts.length > 1;
    if (each) cell.append(make("span", { class: "title" }, column.title));
    column.sorts.forEach((_, s) => {
      const label = each ? { "aria-label": `${column.title} of ${LETTERS[s]}` } : {};
      const button = make("button", { type: "button", ...label }, each ? LETTERS[s] : column.title);
      button.addEventListener("click", () => sortBy(c, s));
      buttons.push({ button, cell, c, s });
      cell.append(button);
    });
    row.append(cell);
  });
}

function drawRow(place) {
  const i = view.shown[place];
  const row = make("tr", { role: "row", "aria-rowindex": place + 2 });
  for (const column of columns) {
    const cell =
      column === columns[0]
        ? make("th", { role: "rowheader", scope: "row" })
        : make("td", { role: "cell", "data-title": column.title });
    if (column.cell) cell.append(...column.cell(i));
    else cell.append(...states.flatMap((state, s) => [drawLine(column, state, s, i), " "]));
    row.append(cell);
  }
  return row;
}

function drawLine(column, state, s, i) {
  return make("span", { class: "line" }, ...(paired ? [badge(s), " "] : []), column.line(state, i));
}

// Rows come in chunks, each a tbody. One that is far from what is seen is an empty row of its height.
const chunks = new Map();

function space(height) {
  const cell = make("td", { colspan: columns.length });
  cell.style.height = `${height}px`;
  return make("tr", { class: "space", "aria-hidden": "true" }, cell);
}

function fill(body) {
  const { start, end } = chunks.get(body);
  const places = Array.from({ length: end - start }, (_, k) => start + k);
  body.replaceChildren(...places.map(drawRow));
}

const observer = new IntersectionObserver(
  (entries) => {
    const isEmpty = (body) => body.querySelector(".space") !== null;
    for (const { target, isIntersecting: seen } of entries) {
      if (!seen && !isEmpty(target)) target.replaceChildren(space(target.offsetHeight));
    }
    for (const { target, isIntersecting: seen } of entries) if (seen && isEmpty(target)) fill(target);
    fit();
  },
  { rootMargin: "1000px" },
);

function drawRows() {
  observer.disconnect();
  for (const body of chunks.keys()) body.remove();
  chunks.clear();
  for (let start = 0; start < view.shown.length; start += CHUNK) {
    const end = Math.min(start + CHUNK, view.shown.length);
    chunks.set(make("tbody", { role: "rowgroup" }), { start, end });
  }
  table.setAttribute("aria-rowcount", view.shown.length + 1);
  if (!chunks.size) return;
  const [first, ...others] = chunks.keys();
  table.append(first);
  fill(first);
  fit();
  const height = first.offsetHeight / chunks.get(first).end;
  for (const body of others) body.append(space(height * (chunks.get(body).end - chunks.get(body).start)));
  table.append(...others);
  for (const body of chunks.keys()) observer.observe(body);
}

/** What is too wide for a table becomes a card for each feature. */
function fit() {
  if (table.offsetWidth > find("app").clientWidth) table.classList.add("cards");
}

function update() {
  const query = view.query.toLowerCase();
  const rows = query ? view.rows.filter((i) => lower[i].includes(query)) : view.rows;
  const column = columns[view.column];
  view.shown = column ? sorted(rows, column.sorts[view.sort], view.down) : rows;
  drawRows();
  const chosen = view.button ?? find("tiles").firstChild;
  for (const button of document.querySelectorAll("[aria-pressed]")) {
    button.setAttribute("aria-pressed", String(button === chosen));
  }
  for (const { cell } of buttons) cell.setAttribute("aria-sort", "none");
  for (const { button, cell, c, s } of buttons) {
    const active = c === view.column && s === view.sort;
    button.classList.toggle("down", active && view.down);
    button.classList.toggle("up", active && !view.down);
    if (active) cell.setAttribute("aria-sort", view.down ? "descending" : "ascending");
  }
  find("none").hidden = view.shown.length > 0;
  const of = view.shown.length < features.length ? ` of ${whole(features.length)}` : "";
  find("status").textContent = `${whole(view.shown.length)}${of} ${plural(features.length, "feature")}`;
}

function chooseTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const { style } = document.documentElement;
  const isDark = () => (style.colorScheme ? style.colorScheme === "dark" : system.matches);
  const name = () => (find("theme").textContent = isDark() ? "Light" : "Dark");
  find("theme").addEventListener("click", () => {
    style.colorScheme = isDark() ? "light" : "dark";
    name();
  });
  system.addEventListener("change", name);
  name();
  find("theme").hidden = false;
}

table.querySelector("caption").textContent = data.title;
drawSummary();
drawHead();
if (drift) view.column = 1;
find("app").hidden = false; // before rows are measured
update();
chooseTheme();
find("search").addEventListener("input", (event) => {
  view.query = event.target.value.trim();
  update();
});
addEventListener("resize", () => {
  table.classList.remove("cards");
  fit();
});
