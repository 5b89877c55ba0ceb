"use strict";
// Texts of plans are put in with textContent alone: nothing that they say can become part of the page.
const token = document.body.dataset.token;
const at = (id) => document.getElementById(id);
const WORDS = { match: "match", part: "same part only", different: "different", skip: "skip" };
const KEYS = { m: "match", p: "part", d: "different", s: "skip" };
// Where drafts of gold are confirmed, the same keys mean something else.
const DRAFTS = { m: "keep", d: "drop", s: "later" };
let view = null;
let current = 0;
let busy = false;

async function ask(path, body) {
  const options = { headers: { "X-Token": token } };
  if (body) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const reply = await fetch(path, options);
  if (!reply.ok) throw new Error(await reply.text());
  return reply.json();
}

async function go(path, body) {
  if (busy) return;
  busy = true;
  try {
    const before = view && view.candidates ? view.candidates.map((one) => one.key).join() : "";
    view = await ask(path, body);
    const same = view.candidates && view.candidates.map((one) => one.key).join() === before;
    if (!same) at("planner").open = false;
    const open = view.candidates ? view.candidates.findIndex((one) => !one.answer) : 0;
    current = same || open >= 0 ? Math.max(0, open) : 0;
    at("error").textContent = view.problem || "";
    at("error").hidden = !view.problem;
    draw();
  } catch (problem) {
    at("error").textContent = `Not kept: ${problem.message}`;
    at("error").hidden = false;
  } finally {
    busy = false;
  }
}

function element(kind, className, text) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function entry(tree, kind) {
  const made = element(kind || "div", "entry");
  made.append(element("div", "name", tree.name));
  const list = element("dl");
  const lines = [["part", tree.ablated_part], ["action", tree.ablated_part ? tree.action || "not said" : ""],
    ["options", (tree.replacement || []).join(" · ")], ["metrics", (tree.metrics || []).join(", ")]];
  for (const [name, value] of lines) {
    // Metrics never decide a match.
    if (value) list.append(element("dt", "", name), element("dd", name === "metrics" ? "aside" : "", value));
  }
  made.append(list);
  return made;
}

// The answers to a candidate as buttons on its card; the one that was given is marked.
function answers(candidate, number) {
  const place = element("div", "answers");
  for (const [key, answer] of Object.entries(KEYS)) {
    const button = element("button", answer, WORDS[answer]);
    button.type = "button";
    button.setAttribute("aria-pressed", String(candidate.answer === answer));
    button.setAttribute("aria-label", `${number + 1}: ${WORDS[answer]}`);
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      current = number;
      press(key);
    });
    place.append(button);
  }
  return place;
}

function asDrafts() {
  document.body.classList.add("drafts");
  document.querySelector("h1").textContent = "Keep this entry?";
  at("gold-title").textContent = "Draft entry";
  at("candidates-title").textContent = "The sentence it came from";
  at("reasoning").querySelector("summary").textContent = "The review";
  at("rules").hidden = true;
  for (const button of document.querySelectorAll("button[data-key]")) {
    const word = { ...DRAFTS, u: "undo", t: "the review" }[button.dataset.key];
    button.hidden = !word;
    if (word) button.lastChild.textContent = ` ${word}`;
  }
}

function draw() {
  const drafts = view.mode === "drafts";
  if (drafts) asDrafts();
  at("count").textContent = `${view.answered} of ${view.total} ${drafts ? "entries" : "pairs"}`;
  at("bar").value = view.total ? view.answered / view.total : 1;
  at("who").textContent = view.annotator ? `annotator: ${view.annotator}` : "";
  at("sampling").textContent = `order: ${view.sampling}`;
  at("agreement").textContent = view.agreement.map((one) =>
    `with ${one.annotator || "the first"}: ${one.same} of ${one.pairs} the same` +
    (one.kappa === null ? "" : `, kappa ${one.kappa.toFixed(2)}`)).join("; ");
  at("out").textContent = view.out;
  at("finished").hidden = !view.done;
  at("work").hidden = view.done;
  if (view.done) return;
  at("where").textContent = view.paper;
  at("planner-name").textContent = view.planner;
  at("planner").hidden = !view.planner;
  at("gold").replaceChildren(entry(view.gold));
  at("other-gold").replaceChildren(...view.other_gold.map((one) => entry(one)));
  at("other-plan").replaceChildren(...view.other_plan.map((one) => entry(one)));
  at("others").hidden = !view.other_plan.length;
  at("rest").hidden = !view.other_gold.length;
  at("reasoning").hidden = !view.trace;
  at("trace").textContent = view.trace;
  document.querySelector("[data-key=t]").hidden = !view.trace;
  at("candidates").replaceChildren(...view.candidates.map((one, number) => {
    const made = entry(one.entry, "li");
    made.prepend(element("span", "number", String(number + 1)));
    if (!drafts) made.append(answers(one, number));
    if (number === current) {
      made.classList.add("current");
      made.setAttribute("aria-current", "true");
    }
    made.addEventListener("click", () => { current = number; draw(); });
    return made;
  }));
  const shown = at("candidates").children[current];
  if (shown) shown.scrollIntoView({ block: "nearest" });
}

function press(key) {
  if (!view || busy) return false;
  if (key === "u") { go("/undo", {}); return true; }
  if (key === "t") { at("reasoning").open = !at("reasoning").open; return true; }
  if (view.done) return false;
  if (view.mode === "drafts" && !DRAFTS[key]) return false;
  if (KEYS[key]) { go("/answer", { keys: [view.candidates[current].key], answer: KEYS[key] }); return true; }
  if (key === "Enter") {
    const open = view.candidates.filter((one) => !one.answer).map((one) => one.key);
    if (open.length) go("/answer", { keys: open, answer: "different" });
    return true;
  }
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[key];
  const number = step ? current + step : Number(key) - 1;
  if (view.candidates[number]) { current = number; draw(); return true; }
  return false;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inside = event.target.closest("button, summary, a");
  if (inside && (event.key === "Enter" || event.key === " ")) return;
  if (press(event.key)) event.preventDefault();
});
for (const button of document.querySelectorAll("button[data-key]")) {
  button.addEventListener("click", () => { button.blur(); press(button.dataset.key); });
}
go("/state");
