// The list of runs: search, tags, choosing; and where it is served, new runs, notes and tags.

const data = JSON.parse(byId("runs-data").textContent);
const state = { q: "", tag: "", picked: [], only: [] };
const runRows = () => [...document.querySelectorAll("#runs tr[data-run]")];
const list = (text) => (text ? text.split(",").map(decodeURIComponent) : []);
const tagLines = (row) => row.dataset.tags.split("\n").filter(Boolean);

// ---- addresses: #q=…&tag=…&picked=a,b&only=a,b ------------------------------------------------------------------

function readState() {
  for (const piece of location.hash.slice(1).split("&")) {
    const cut = piece.indexOf("=");
    const [name, text] = [piece.slice(0, cut), piece.slice(cut + 1)];
    try {
      if (name === "q" || name === "tag") state[name] = decodeURIComponent(text);
      if (name === "picked" || name === "only") state[name] = list(text);
    } catch { /* not an address of ours */ }
  }
}

function stateAddress() {
  const names = (items) => items.map(encodeURIComponent).join(",");
  const parts = { q: encodeURIComponent(state.q), tag: encodeURIComponent(state.tag), picked: names(state.picked), only: names(state.only) };
  return `#${Object.entries(parts).filter(([, text]) => text).map(([name, text]) => `${name}=${text}`).join("&")}`;
}

const keepState = () => history.replaceState(null, "", stateAddress());

// ---- what is shown ----------------------------------------------------------------------------------------------

function showRows() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  let shownRows = 0;
  for (const row of runRows()) {
    const fits = words.every((word) => row.dataset.words.includes(word))
      && (!state.tag || tagLines(row).includes(state.tag))
      && (!state.only.length || state.only.includes(row.dataset.run));
    row.hidden = !fits;
    shownRows += fits;
    const box = row.querySelector(".pick");
    if (box) box.checked = state.picked.includes(row.dataset.run);
  }
  const total = runRows().length;
  if (byId("run-count")) byId("run-count").textContent = `${shownRows} of ${total} runs${state.picked.length ? `, ${state.picked.length} chosen` : ""}`;
  if (byId("compare")) byId("compare").disabled = state.picked.length < 2;
  showOnly(shownRows, total);
}

function showOnly(count, total) {
  const note = byId("only-note");
  note.hidden = !state.only.length;
  if (note.hidden) return;
  const button = make("button", { type: "button", text: "Show all" });
  button.addEventListener("click", () => { state.only = []; keepState(); showRows(); });
  const pair = state.only.length === 2 ? "The page of these two is not part of this folder; evalkit report BASE NEW writes it. " : "";
  note.replaceChildren(make("span", { class: "text", text: `${pair}${count} of ${total} runs in the table; charts and tests are of all. ` }), button);
}

function fillTags() {
  const known = [...new Set(runRows().flatMap(tagLines))].sort();
  const select = byId("run-tag");
  select.replaceChildren(make("option", { value: "", text: "any" }), ...known.map((tag) => make("option", { value: tag, text: tag })));
  if (!known.includes(state.tag)) state.tag = "";
  select.value = state.tag;
}

// ---- choosing and comparing -------------------------------------------------------------------------------------

// In the order of the page, which is that of time, whatever the table is sorted by.
const chosen = () => data.order.filter((name) => state.picked.includes(name));

function compareAddress(names) {
  if (data.live) {
    const query = (pairs) => pairs.map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("");
    if (names.length === 2) return data.compare + query([["base", names[0]], ["new", names[1]]]);
    return data.many + query(names.map((name) => ["run", name]));
  }
  const page = names.length === 2 && data.pairs[names.join("\n")];
  return page || `${data.many}#only=${names.map(encodeURIComponent).join(",")}`;
}

function startChoosing() {
  const controls = byId("run-controls");
  if (!controls) return;
  controls.hidden = false;
  controls.addEventListener("submit", (event) => event.preventDefault());
  byId("run-search").value = state.q;
  byId("run-search").addEventListener("input", (event) => { state.q = event.target.value; keepState(); showRows(); });
  byId("run-tag").addEventListener("change", (event) => { state.tag = event.target.value; keepState(); showRows(); });
  byId("compare").addEventListener("click", () => { location.href = compareAddress(chosen()); });
  document.addEventListener("change", (event) => {
    if (!event.target.classList.contains("pick")) return;
    const name = event.target.closest("tr").dataset.run;
    state.picked = state.picked.filter((other) => other !== name);
    if (event.target.checked) state.picked.push(name);
    keepState();
    showRows();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select, dialog")) { event.preventDefault(); byId("run-search").focus(); }
  });
}

// ---- new runs, notes and tags, where the page is served ---------------------------------------------------------

async function ask(path, body) {
  const headers = { "X-Token": data.token };
  const options = body ? { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) } : { headers };
  const reply = await fetch(path, options);
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error || reply.statusText);
  return answer;
}

async function refresh() {
  const text = await (await fetch(location.pathname + location.search)).text();
  const page = new DOMParser().parseFromString(text, "text/html");  // it runs no script
  Object.assign(data, JSON.parse(page.getElementById("runs-data").textContent));
  for (const name of ["opening", "runs"]) byId(name).replaceWith(document.adoptNode(page.getElementById(name)));
  startTables();
  fillTags();
  showRows();
}

async function look() {
  const problem = byId("run-problem");
  try {
    const { digest } = await ask("/state");
    if (digest !== data.digest && !byId("editor").open) await refresh();
    problem.hidden = true;
  } catch (error) {
    problem.textContent = `No answer from the server: ${error.message}`;
    problem.hidden = false;
  }
}

function edit(row) {
  byId("editor").dataset.run = row.dataset.run;
  byId("editor-title").textContent = `Note and tags of ${row.dataset.run}`;
  byId("editor-note").value = row.dataset.note;
  byId("editor-tags").value = row.dataset.tags;
  byId("editor-problem").hidden = true;
  byId("editor").showModal();
}

async function save() {
  const body = { run: byId("editor").dataset.run, note: byId("editor-note").value, tags: byId("editor-tags").value.split("\n").filter((line) => line.trim()) };
  try {
    await ask("/annotate", body);
    byId("editor").close();
    await refresh();
  } catch (error) {
    byId("editor-problem").textContent = `Not kept: ${error.message}`;
    byId("editor-problem").hidden = false;
  }
}

function startLive() {
  if (!data.live || !byId("editor")) return;
  document.addEventListener("click", (event) => {
    if (event.target.classList.contains("edit")) edit(event.target.closest("tr"));
  });
  byId("editor-save").addEventListener("click", save);
  setInterval(look, 1500);
}

function start() {
  startTheme();
  startTables();
  readState();
  if (byId("run-tag")) fillTags();
  startChoosing();
  startLive();
  showRows();
  addEventListener("hashchange", () => { readState(); showRows(); });
  document.documentElement.dataset.ready = "true";
}

start();
