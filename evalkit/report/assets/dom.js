// Elements, the theme, and tables that sort. Every text of a plan enters the page through `make`, as text and never as markup.

const byId = (id) => document.getElementById(id);

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const shown = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));

function signed(value, digits = 3) {
  if (value === null) return "–";
  const size = Math.abs(value).toFixed(digits);
  return Number(size) === 0 ? size : `${value < 0 ? "−" : "+"}${size}`;
}

// ---- theme -----------------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];

function remembered() {
  try { return localStorage.getItem("evalkit-theme"); } catch { return null; }
}

function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  byId("theme").textContent = `Theme: ${name}`;
  try { localStorage.setItem("evalkit-theme", name); } catch { /* a page opened from disk may have no storage */ }
}

function startTheme() {
  const saved = remembered();
  let at = Math.max(0, THEMES.indexOf(saved));
  setTheme(THEMES[at]);
  byId("theme").hidden = false;
  byId("theme").addEventListener("click", () => {
    at = (at + 1) % THEMES.length;
    setTheme(THEMES[at]);
  });
}

// ---- tables ----------------------------------------------------------------------------------------------------

function cellValue(row, at) {
  const cell = row.cells[at];
  const value = cell.dataset.value;
  if (value === undefined) return cell.textContent.trim();
  return value === "" ? -Infinity : Number(value);
}

function sortTable(table, at, falling) {
  const rows = [...table.tBodies[0].rows];
  const sign = falling ? -1 : 1;
  rows.sort((one, other) => {
    const [a, b] = [cellValue(one, at), cellValue(other, at)];
    return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
  });
  table.tBodies[0].append(...rows);
}

function startTables() {
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      if (head.classList.contains("plain")) return;
      const button = make("button", { type: "button", text: head.textContent.trim() });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : head.cellIndex > 1;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        sortTable(table, at, falling);
      });
    });
  }
}

// Cells of a chart lead somewhere, too.
function startCharts() {
  document.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-link]");
    if (cell) location.hash = cell.dataset.link;
  });
}
