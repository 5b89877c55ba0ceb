// One plan beside gold: cards, lines between them, differing words, reasons on demand, the reasoning trace folded.

const PAIR = { kind: 0, gold: 1, plan: 2, part: 3, match: 4, borderline: 5, options: 6, metrics: 7, pro: 8, contra: 9, by: 10 };
const TITLES = {
  match: "full match", "part-only": "same part, different ablation", "wrong-action": "same part, wrong action",
  "wrong-replacement": "same part, wrong replacement", "": "not aligned",
};
const narrow = matchMedia("(max-width: 44rem)");

const tokens = (text) => text.split(/([\p{L}\p{N}]+)/u);
const wordSet = (texts) => new Set(texts.flatMap((text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) || []));

// The text with those words marked that the partners do not have; without partners nothing is marked.
function marked(tag, text, others, kind) {
  const element = make(tag, { class: `text ${kind || ""}`.trim() });
  if (!others.length || text.length > 2000) {
    element.textContent = text;
    return element;
  }
  const known = wordSet(others);
  for (const piece of tokens(text)) {
    const differs = /[\p{L}\p{N}]/u.test(piece) && !known.has(piece.toLowerCase());
    element.append(differs ? make("mark", { text: piece }) : piece);
  }
  return element;
}

function entryCard(side, at, entry, partners, said) {
  const [name, part, action, options, metrics] = entry;
  const card = make("div", { class: `entry ${side === "gold" ? "gold" : "own"} ${said.look}`, tabindex: "-1", "data-side": side, "data-at": at },
    make("span", { class: "verdict text", text: said.text }),
    make("div", { class: "box name" }, make("span", { class: "number", text: `${at + 1}.` }), make("span", { class: "text", text: name })),
    make("div", { class: "box part" }, marked("span", part, partners.map((other) => `${other[1]} ${other[0]}`))),
    make("div", { class: "action", text: action || "action unspecified" }));
  if (options.length) {
    const theirs = partners.flatMap((other) => other[3]);
    card.append(make("ul", { class: "box" }, ...options.map((item) => marked("li", item, theirs))));
  }
  if (metrics) card.append(make("div", { class: "box metrics text", text: metrics }));
  return card;
}

function reasons(pair, extra) {
  const meter = (title, value) => make("li", {}, `${title} `, make("meter", { min: 0, max: 1, value, "aria-label": title }), ` ${shown(value)}`);
  const list = make("ul", {}, meter("full match", pair[PAIR.match] || 0), meter("same part", pair[PAIR.part] || 0));
  const shared = (title, count) => count !== null && list.append(make("li", { text: `${title} in common: ${count}` }));
  shared("options", pair[PAIR.options]);
  shared("metrics", pair[PAIR.metrics]);
  const words = (sign, text) => text && list.append(make("li", {}, make("span", { class: "sign", text: sign }), make("span", { class: "text", text })));
  words("+", pair[PAIR.pro]);
  words("−", pair[PAIR.contra]);
  if (pair[PAIR.borderline]) list.append(make("li", { text: "borderline: inside the band of doubt" }));
  if (pair[PAIR.by] && pair[PAIR.by] !== "matcher") list.append(make("li", { class: "text", text: `decided by ${pair[PAIR.by]}` }));
  const summary = extra || `why (${shown(pair[PAIR.match], 2)}${pair[PAIR.borderline] ? ", borderline" : ""})`;
  return make("details", { class: "why" }, make("summary", { text: summary }), list);
}

// What is known about one entry: its aligned pairs, else the likeliest partner among the candidates and other rows.
function standing(plan, side, at) {
  const own = side === "gold" ? PAIR.gold : PAIR.plan;
  const other = side === "gold" ? PAIR.plan : PAIR.gold;
  const mine = plan.pairs.filter((pair) => pair[own] === at);
  const aligned = mine.filter((pair) => pair[other] !== null && pair[PAIR.kind] !== "");
  const alone = mine.find((pair) => pair[other] === null);
  const near = plan.pairs.filter((pair) => pair[own] === at && pair[other] !== null && pair[PAIR.kind] === "")
    .sort((a, b) => b[PAIR.match] - a[PAIR.match])[0];
  return { aligned, near, kind: aligned.length ? aligned[0][PAIR.kind] : alone ? alone[PAIR.kind] : "missed", other };
}

function verdictOf(side, found) {
  const there = side === "gold" ? "plan" : "gold";
  const numbers = found.aligned.map((pair) => pair[found.other] + 1).join(", ");
  if (found.kind === "match") return { look: "is-match", text: `matches ${there} ${numbers}` };
  if (found.aligned.length) return { look: "is-part", text: `${there} ${numbers}: ${TITLES[found.kind]}` };
  if (side === "gold") return { look: "is-missed", text: "missed" };
  return { look: "is-spurious", text: found.kind === "duplicate" ? "duplicate of another entry" : "spurious" };
}

function cardFor(paper, plan, side, at) {
  const [mine, theirs] = side === "gold" ? [paper.gold, plan.entries] : [plan.entries, paper.gold];
  const found = standing(plan, side, at);
  const card = entryCard(side, at, mine[at], found.aligned.map((pair) => theirs[pair[found.other]]), verdictOf(side, found));
  const moved = side === "gold" && (paper.moved?.[state.planner] || []).find(([name, part]) => name === mine[at][0] && part === mine[at][1]);
  if (moved) card.firstChild.append(make("b", { class: `change-${moved[2]}`, text: moved[2] === "gained" ? " ▲ gained" : " ▼ lost" }));
  if (moved && moved[2] === state.show) card.classList.add("asked");
  if (side === "gold" || !found.aligned.length) for (const pair of found.aligned) card.append(reasons(pair));
  if (!found.aligned.length && found.near) {
    const there = side === "gold" ? "plan" : "gold";
    const name = theirs[found.near[found.other]];
    card.append(reasons(found.near, `nearest: ${there} ${found.near[found.other] + 1} (${shown(found.near[PAIR.match], 2)})`));
    card.lastChild.title = name ? name[0].slice(0, 120) : "";
  }
  const wanted = [...found.aligned, ...(found.aligned.length ? [] : mineAlone(plan, side, at))].map((pair) => pair[PAIR.kind]);
  const doubtful = found.aligned.some((pair) => pair[PAIR.borderline]) || (!found.aligned.length && found.near && found.near[PAIR.borderline]);
  if (state.show && (wanted.includes(state.show) || (state.show === "borderline" && doubtful))) card.classList.add("asked");
  return card;
}

const mineAlone = (plan, side, at) => plan.pairs.filter((pair) =>
  pair[side === "gold" ? PAIR.gold : PAIR.plan] === at && pair[side === "gold" ? PAIR.plan : PAIR.gold] === null);

// Rows of [gold, plan]: by their own order, or partners side by side and what stayed alone below.
function rowsOf(paper, plan, paired) {
  const longest = Math.max(paper.gold.length, plan.entries.length);
  const at = (list, place) => (place < list.length ? place : null);
  if (!paired) return Array.from({ length: longest }, (_, place) => [at(paper.gold, place), at(plan.entries, place)]);
  const [golds, owns, rows] = [new Set(), new Set(), []];
  for (const pair of plan.pairs) {
    if (pair[PAIR.kind] === "" || pair[PAIR.gold] === null || pair[PAIR.plan] === null) continue;
    const row = [golds.has(pair[PAIR.gold]) ? null : pair[PAIR.gold], owns.has(pair[PAIR.plan]) ? null : pair[PAIR.plan]];
    golds.add(pair[PAIR.gold]);
    owns.add(pair[PAIR.plan]);
    if (row[0] !== null || row[1] !== null) rows.push(row);
  }
  rows.sort((a, b) => (a[0] ?? 1e9) - (b[0] ?? 1e9));
  paper.gold.forEach((_, place) => golds.has(place) || rows.push([place, null]));
  plan.entries.forEach((_, place) => owns.has(place) || rows.push([null, place]));
  return rows;
}

function pairsBoard(paper, plan) {
  const board = make("div", { class: "pairs" },
    make("h4", { text: `Gold, ${paper.gold.length} entries` }), make("h4", { class: "right", text: `Plan, ${plan.entries.length} entries` }));
  const lines = draw("svg", { class: "lines", "aria-hidden": "true" });
  const columns = state.paired || narrow.matches ? null : { gold: make("div", { class: "column gold" }), plan: make("div", { class: "column own" }) };
  rowsOf(paper, plan, !columns).forEach(([gold, own], at) => {
    for (const [side, place] of [["gold", gold], ["plan", own]]) {
      if (place === null) continue;
      const card = cardFor(paper, plan, side, place);
      if (!columns && !narrow.matches) card.style.gridRow = String(at + 2);
      (columns ? columns[side] : board).append(card);
    }
  });
  if (columns) board.append(columns.gold, columns.plan);
  board.append(lines);
  const connect = () => drawLines(board, lines, plan);
  new ResizeObserver(connect).observe(board);
  for (const name of ["pointerover", "focusin"]) board.addEventListener(name, (event) => highlight(board, event.target.closest(".entry")));
  board.addEventListener("pointerleave", () => highlight(board, null));
  return board;
}

const cardOf = (board, side, at) => board.querySelector(`.entry[data-side="${side}"][data-at="${at}"]`);

function drawLines(board, lines, plan) {
  const zero = board.getBoundingClientRect();
  const drawn = plan.pairs.filter((pair) => pair[PAIR.gold] !== null && pair[PAIR.plan] !== null).map((pair) => {
    const [gold, own] = [cardOf(board, "gold", pair[PAIR.gold]), cardOf(board, "plan", pair[PAIR.plan])];
    if (!gold || !own) return null;
    const [a, b] = [gold.getBoundingClientRect(), own.getBoundingClientRect()];
    const [x1, x2] = [a.right - zero.left, b.left - zero.left];
    const [y1, y2] = [a.top - zero.top + Math.min(a.height / 2, 42), b.top - zero.top + Math.min(b.height / 2, 42)];
    const bend = (x2 - x1) / 2;
    const look = pair[PAIR.kind] === "match" ? "match" : pair[PAIR.kind] === "" ? "near" : "part";
    return draw("path", { class: look, "data-gold": pair[PAIR.gold], "data-plan": pair[PAIR.plan], d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}` });
  });
  lines.replaceChildren(...drawn.filter(Boolean));
}

function highlight(board, card) {
  for (const element of board.querySelectorAll(".on")) element.classList.remove("on");
  if (!card) return;
  card.classList.add("on");
  const [own, other] = card.dataset.side === "gold" ? ["gold", "plan"] : ["plan", "gold"];
  for (const line of board.querySelectorAll(`path[data-${own}="${card.dataset.at}"]`)) {
    line.classList.add("on");
    if (!line.classList.contains("near")) cardOf(board, other, line.dataset[other])?.classList.add("on");
  }
}
