// The list of plans: search, filter, sort; and the list of gold entries by who finds them.

const CHUNK = 150;
const state = { paper: -1, planner: -1, of: -1, show: "", sort: "low", search: "", entry: "", paired: false };
let listed = [];

const casesOf = (plan) => (state.show ? plan.cases[kinds.indexOf(state.show)] : 0);
// What plans are sorted by and listed with: their F1, or in a comparison how far it moved.
const compared = index.compared;
const moveOf = (plan) => (plan.figures[0] === null || plan.before === null ? null : plan.figures[0] - plan.before);
const f1Of = (plan) => (compared ? moveOf(plan) : plan.figures[0]) ?? -1;
const scoreOf = (plan) => (compared ? signed(moveOf(plan)) : shown(plan.figures[0]));
const SORTS = {
  low: (a, b) => f1Of(a) - f1Of(b),
  high: (a, b) => f1Of(b) - f1Of(a),
  cases: (a, b) => casesOf(b) - casesOf(a) || f1Of(a) - f1Of(b),
  paper: () => 0,
};

function choose() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  listed = plans.filter((plan) =>
    (state.of < 0 || plan.planner === state.of)
    && (!state.show || casesOf(plan) > 0)
    && words.every((word) => plan.words.includes(word)));
  listed.sort((a, b) => SORTS[state.sort](a, b) || a.paper - b.paper || a.planner - b.planner);
}

function linkTo(plan, entry) {
  return addressOf({
    paper: plan.paperName, planner: plan.plannerName, entry,
    of: state.of >= 0 ? index.planners[state.of] : "", show: state.show,
  });
}

function listItem(plan) {
  const count = casesOf(plan);
  const link = make("a", { class: "plan", href: linkTo(plan), "data-at": plan.at },
    make("span", { class: "score", text: scoreOf(plan) }),
    make("span", { class: "of text", text: plan.paperName }),
    make("span", { class: "cases", text: count ? `× ${count}` : STATES[plan.status] === "planned" ? "" : STATES[plan.status] }),
    make("span", { class: "by text", text: plan.plannerName }));
  if (plan.paper === state.paper && plan.planner === state.planner) link.setAttribute("aria-current", "true");
  return link;
}

// Draws a long list piece by piece, so that a thousand rows cost no more than those that are looked at.
function drawChunks(place, items, draw, start = 0) {
  place.append(...items.slice(start, start + CHUNK).map(draw));
  const rest = items.length - start - CHUNK;
  if (rest <= 0) return;
  const more = make("button", { type: "button", class: "more", text: `Show ${Math.min(rest, CHUNK)} more of ${rest}` });
  more.addEventListener("click", () => {
    const parent = more.parentNode;
    more.remove();
    drawChunks(parent === place ? place : parent, items, draw, start + CHUNK);
  });
  place.append(more);
}

function drawList() {
  choose();
  const place = byId("plans");
  place.replaceChildren();
  place.scrollTop = 0;
  drawChunks(place, listed, listItem);
  if (!listed.length) place.append(make("p", { class: "empty", text: "No plan fits." }));
  showChoice();
  const total = listed.reduce((sum, plan) => sum + casesOf(plan), 0);
  byId("count").textContent = `${listed.length} of ${plans.length} plans${state.show ? `, ${total} cases` : ""}`;
}

// Without a plan in the list none is shown; with one again, the first.
function showChoice() {
  const open = planAt.has(`${state.paper}/${state.planner}`);
  if (!listed.length) {
    [state.paper, state.planner] = [-1, -1];
    byId("view").replaceChildren(nothingFits());
  } else if (!open && document.documentElement.dataset.ready) {
    [state.paper, state.planner] = [listed[0].paper, listed[0].planner];
    openPlan();
  }
}

function nothingFits() {
  const wanted = [
    state.search && `“${state.search.slice(0, 60)}”`,
    state.of >= 0 && `planner ${index.planners[state.of]}`,
    state.show && index.classes[state.show].toLowerCase(),
  ].filter(Boolean);
  const button = make("button", { type: "button", text: "Show all plans" });
  button.addEventListener("click", () => {
    Object.assign(state, { search: "", of: -1, show: "" });
    byId("search").value = "";
    byId("of").value = -1;
    byId("show").value = "";
    drawList();
    markCurrent();
  });
  return make("div", { class: "empty" }, make("p", { class: "text", text: `No plan fits ${wanted.join(" and ") || "this page: the run has none"}.` }), wanted.length ? button : null);
}

function markCurrent() {
  for (const link of byId("plans").querySelectorAll(".plan")) {
    const plan = plans[Number(link.dataset.at)];
    link.toggleAttribute("aria-current", false);
    link.href = linkTo(plan);
    if (plan.paper !== state.paper || plan.planner !== state.planner) continue;
    link.setAttribute("aria-current", "true");
    const [top, height] = [link.offsetTop, byId("plans").clientHeight];
    if (top < byId("plans").scrollTop || top > byId("plans").scrollTop + height - 60) byId("plans").scrollTop = top - height / 3;
  }
}

function step(by) {
  const at = listed.findIndex((plan) => plan.paper === state.paper && plan.planner === state.planner);
  const next = listed[Math.min(listed.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  if (next) location.hash = linkTo(next);
}

function stepPlanner(by) {
  const siblings = siblingsOf(state.paper);
  const at = siblings.findIndex((plan) => plan.planner === state.planner);
  const next = siblings[(at + by + siblings.length) % siblings.length];
  if (next) location.hash = linkTo(next);
}

const siblingsOf = (paper) => index.planners.map((_, planner) => planAt.get(`${paper}/${planner}`)).filter(Boolean);

function startControls() {
  byId("controls").hidden = false;
  const option = (value, text) => make("option", { value, text: text.length > 60 ? `${text.slice(0, 58)}…` : text });
  byId("of").append(option(-1, "all planners"), ...index.planners.map((name, at) => option(at, name)));
  byId("show").append(option("", "all plans"), ...kinds.map((kind) => option(kind, index.classes[kind])));
  const redraw = () => { drawList(); markCurrent(); };
  byId("search").addEventListener("input", (event) => { state.search = event.target.value; redraw(); });
  byId("of").addEventListener("change", (event) => { state.of = Number(event.target.value); redraw(); });
  byId("show").addEventListener("change", (event) => { state.show = event.target.value; redraw(); openPlan(); });
  byId("sort").addEventListener("change", (event) => { state.sort = event.target.value; redraw(); });
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
}

const KEYS = {
  "/": () => byId("search").focus(),
  j: () => step(1),
  k: () => step(-1),
  "[": () => stepPlanner(-1),
  "]": () => stepPlanner(1),
  o: () => { state.paired = !state.paired; openPlan(); },
};

function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    KEYS[event.key]();
  });
}

// ---- gold entries ----------------------------------------------------------------------------------------------

function dots(hits) {
  const found = [...hits].map((hit, at) => (hit === "1" ? index.planners[at] : null)).filter(Boolean);
  const said = found.length ? `found by ${found.join(", ")}` : "found by no planner";
  const picture = draw("svg", { width: 14 * hits.length, height: 14, role: "img", "aria-label": said });
  picture.append(Object.assign(draw("title", {}), { textContent: said }));
  [...hits].forEach((hit, at) => picture.append(draw("circle", { class: hit === "1" ? "dot hit" : "dot", cx: 14 * at + 7, cy: 7, r: 4.5 })));
  return picture;
}

function goldRow([paper, entry, name, part, action, hits]) {
  const first = siblingsOf(paper)[0];
  const href = first ? addressOf({ paper: index.papers[paper], planner: first.plannerName, entry: `g${entry}` }) : "#browser";
  return make("tr", {},
    make("td", { class: "who" }, dots(hits)),
    make("td", {}, make("a", { class: "box text", href, text: name || "(no name)" })),
    make("td", {}, make("span", { class: "box text", text: part })),
    make("td", { class: "action", text: action || "–" }),
    make("td", {}, make("span", { class: "box text", text: index.papers[paper] })));
}

const FOUND = {
  none: (hits) => !hits.includes("1"),
  all: (hits) => !hits.includes("0"),
  some: (hits) => hits.includes("0") && hits.includes("1"),
  any: () => true,
};

const NONE_FOUND = {
  none: "Every gold entry is matched by at least one planner.",
  all: "No gold entry is matched by all planners.",
  some: "Every gold entry is matched by all planners or by none.",
};

function drawGold() {
  const words = byId("gold-search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = FOUND[byId("gold-found").value];
  const rows = index.gold.filter((row) => fits(row[5])
    && words.every((word) => `${row[2]} ${row[3]} ${index.papers[row[0]]}`.toLowerCase().includes(word)));
  const head = make("thead", {}, make("tr", {}, ...["Planners", "Entry", "Part", "Action", "Paper"].map((text) => make("th", { scope: "col", text }))));
  const body = make("tbody");
  const table = make("table", { class: "entries" }, head, body);
  byId("gold-count").textContent = `${rows.length} of ${index.gold.length} gold entries`;
  body.append(...rows.slice(0, 12).map(goldRow));
  if (!rows.length) {
    const all = index.gold.length && !words.length;
    byId("gold-list").replaceChildren(make("p", { class: "empty", text: all ? NONE_FOUND[byId("gold-found").value] : "No gold entry fits." }));
    return;
  }
  byId("gold-list").replaceChildren(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Gold entries" }, table));
  if (rows.length <= 12) return;
  const more = make("button", { type: "button", class: "more", text: `Show ${Math.min(rows.length - 12, 300)} more` });
  more.addEventListener("click", () => { body.append(...rows.slice(12, 312).map(goldRow)); more.remove(); });
  byId("gold-list").append(more);
}

function startGold() {
  if (!byId("gold-controls")) return;
  byId("gold-controls").hidden = false;
  byId("gold-controls").addEventListener("submit", (event) => event.preventDefault());
  byId("gold-found").addEventListener("change", drawGold);
  byId("gold-search").addEventListener("input", drawGold);
  drawGold();
}
