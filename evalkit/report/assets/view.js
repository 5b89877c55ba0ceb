// The right-hand side of the browser, and the start of everything.

function figuresLine(plan) {
  const line = make("p", { class: "figures" });
  figureNames.forEach((name, at) => {
    line.append(`${at ? " · " : ""}${name} `, make("b", { text: shown(plan.figures[at]) }));
  });
  if (compared) line.append(" · F1 was ", make("b", { text: shown(plan.before) }), " (", make("b", { text: signed(moveOf(plan)) }), ")");
  const cases = kinds.map((kind, at) => (plan.cases[at] ? `${plan.cases[at]} ${index.classes[kind].toLowerCase()}` : null)).filter(Boolean);
  return [line, make("p", { class: "figures", text: cases.join(" · ") })];
}

function siblingLinks(plan) {
  const links = siblingsOf(plan.paper).map((other) => {
    const link = make("a", { class: "text", href: linkTo(other), text: `${other.plannerName}  ${compared ? signed(moveOf(other), 2) : shown(other.figures[0], 2)}` });
    if (other === plan) link.setAttribute("aria-current", "true");
    return link;
  });
  return make("div", { class: "siblings", role: "group", "aria-label": "Planners of this paper" }, ...links);
}

function problemList(found) {
  if (!found.length) return null;
  const broken = found.some((item) => item[0] === "error");
  const items = found.slice(0, 200).map(([severity, code, message, line]) =>
    make("li", { class: "text", text: `${severity} ${code}${line === null ? "" : `, line ${line}`}: ${message}` }));
  return make("details", { class: "problems", open: broken }, make("summary", { text: `${found.length} diagnostics on reading` }), make("ul", {}, ...items));
}

function traceOf(plan) {
  if (!plan.trace) return null;
  const words = plan.trace.split(/\s+/).length;
  return make("details", { class: "trace" }, make("summary", { text: `Reasoning trace (${words.toLocaleString("en")} words)` }), make("pre", { class: "text", tabindex: 0, text: plan.trace }));
}

function headOf(plan) {
  const button = (text, title, act) => {
    const made = make("button", { type: "button", text, title, class: "step" });
    made.addEventListener("click", act);
    return made;
  };
  const order = button(state.paired ? "Order: partners side by side" : "Order: as written", "o", KEYS.o);
  order.classList.add("order");
  order.hidden = narrow.matches;
  return make("div", { class: "viewhead" },
    make("div", {}, make("h3", { class: "text", text: plan.paperName }), make("p", { class: "figures text box", text: plan.plannerName }), ...figuresLine(plan)),
    make("div", {}, order, " ", button("← Previous", "k", () => step(-1)), " ", button("Next →", "j", () => step(1))));
}

function sampleParts(paper, plan, sample, several, side) {
  const parts = side ? [make("h4", { class: "side text", text: side })] : [];
  if (several) parts.push(make("h4", { class: "text", text: `Sample ${sample.sample || "(unnamed)"}` }));
  if (STATES[sample.status] !== "planned") parts.push(make("p", { class: "warning", text: `This plan is ${STATES[sample.status]}; it counts as an empty plan.` }));
  parts.push(problemList(sample.problems), pairsBoard(paper, sample), traceOf(sample));
  if (sample.path) parts.push(make("p", { class: "figures text breaks", text: sample.path }));
  return parts.filter(Boolean);
}

function openPlan() {
  const plan = planAt.get(`${state.paper}/${state.planner}`);
  if (!plan) return;
  const asked = `${state.paper}/${state.planner}`;
  withDocument(plan.paper, (paper) => {
    if (asked !== `${state.paper}/${state.planner}`) return;
    const view = byId("view");
    if (!paper) {
      view.replaceChildren(headOf(plan), make("p", { class: "warning", text: `The folder “${index.folder}” that belongs beside this page is not there, so this paper cannot be shown.` }));
      return;
    }
    const partsOf = (source, side) => {
      const samples = source.plans.filter((other) => other.planner === plan.planner);
      return samples.flatMap((sample, at) => sampleParts(source, plan, sample, samples.length > 1, at ? null : side));
    };
    const base = compared ? partsOf({ ...paper.base, moved: paper.moved }, `Base: ${compared.base}`) : [];
    view.replaceChildren(headOf(plan), siblingLinks(plan), ...partsOf(paper, compared && `New: ${compared.new}`), ...base);
    showEntry(view);
  });
}

function showEntry(view) {
  const found = /^([gp])(\d+)$/.exec(state.entry);
  const card = found && cardOf(view, found[1] === "g" ? "gold" : "plan", Number(found[2]) - 1);
  if (!card) return;
  highlight(card.closest(".pairs"), card);
  card.classList.add("asked");
  card.scrollIntoView({ block: "center", behavior: "instant" });
}

function follow() {
  const address = readAddress();
  if (!address) return;
  const known = (names, name) => (name === undefined ? -1 : findName(names, name));
  const filters = [state.of, state.show].join();
  state.of = known(index.planners, address.of);
  state.show = kinds.includes(address.show) ? address.show : "";
  state.entry = address.entry || "";
  byId("of").value = state.of;
  byId("show").value = state.show;
  if (filters !== [state.of, state.show].join() || !listed.length) drawList();
  const paper = known(index.papers, address.paper);
  const planner = known(index.planners, address.planner);
  const first = paper >= 0 ? siblingsOf(paper)[0] : listed[0];
  [state.paper, state.planner] = paper >= 0 && planAt.has(`${paper}/${planner}`) ? [paper, planner] : [first?.paper ?? -1, first?.planner ?? -1];
  openPlan();
  markCurrent();
  if (!state.entry && byId("view").getBoundingClientRect().top > innerHeight * 0.6) byId("browser").scrollIntoView({ behavior: "instant" });
  if (!state.entry && byId("view").getBoundingClientRect().bottom < innerHeight * 0.3) byId("browser").scrollIntoView({ behavior: "instant" });
}

function start() {
  startTheme();
  startTables();
  startCharts();
  startGold();
  startControls();
  startKeys();
  drawList();
  addEventListener("hashchange", follow);
  narrow.addEventListener("change", openPlan);
  if (readAddress()) follow();
  else if (listed.length) {
    [state.paper, state.planner] = [listed[0].paper, listed[0].planner];
    openPlan();
    markCurrent();
  }
  document.documentElement.dataset.ready = "true";
}

start();
