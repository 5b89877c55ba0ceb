// The index of plans, the documents of papers (inside the page, or in files beside it), and the address of what is shown.

const index = JSON.parse(byId("index").textContent);
const kinds = Object.keys(index.classes);
const plans = index.rows.map(([paper, planner, status, figures, cases, before], at) => ({
  at, paper, planner, status, figures, cases, before,
  paperName: index.papers[paper],
  plannerName: index.planners[planner],
  words: `${index.papers[paper]} ${index.planners[planner]}`.toLowerCase(),
}));
const planAt = new Map(plans.map((plan) => [`${plan.paper}/${plan.planner}`, plan]));
const STATES = ["planned", "empty", "unreadable", "missing"];

const documents = new Map();
const waiting = new Map();

// Files beside the page call this; a page opened from disk may not fetch, but it may load scripts.
window.evalkitPaper = (at, text) => {
  documents.set(at, JSON.parse(text));
  for (const ready of waiting.get(at) || []) ready(documents.get(at));
  waiting.delete(at);
};

function withDocument(at, ready) {
  if (documents.has(at)) return ready(documents.get(at));
  const inside = byId(`paper-${at}`);
  if (inside) {
    documents.set(at, JSON.parse(inside.textContent));
    return ready(documents.get(at));
  }
  if (waiting.has(at)) return waiting.get(at).push(ready);
  waiting.set(at, [ready]);
  const script = document.createElement("script");
  script.src = `${index.folder}/${at}.js`;
  script.onerror = () => {
    waiting.delete(at);
    ready(null);
  };
  return document.head.append(script);
}

// ---- addresses: #paper=…&planner=…&of=…&show=…&entry=… -----------------------------------------------------------------

const FIELDS = ["paper", "planner", "of", "show", "entry"];

function readAddress() {
  const hash = location.hash.slice(1);
  if (!hash.includes("=")) return null;
  const found = {};
  for (const piece of hash.split("&")) {
    const cut = piece.indexOf("=");
    const name = piece.slice(0, cut);
    if (!FIELDS.includes(name)) continue;
    try { found[name] = decodeURIComponent(piece.slice(cut + 1)); } catch { /* not an address of ours */ }
  }
  return found;
}

function addressOf(fields) {
  const given = FIELDS.filter((name) => fields[name]);
  return `#${given.map((name) => `${name}=${encodeURIComponent(fields[name].toWellFormed ? fields[name].toWellFormed() : fields[name])}`).join("&")}`;
}

const findName = (names, name) => {
  const at = names.indexOf(name);
  if (at >= 0 || !name) return at;
  return names.findIndex((other) => other.toLowerCase() === name.toLowerCase());
};
