"use strict";
// Six columns, one a level. Whatever is chosen, every column narrows to what it was made of and what learned from it.
const data = JSON.parse(document.getElementById("data").textContent);
const [ADAPTER, ROW, DIALOGUE, PASSAGE, WORK, UNIT] = [0, 1, 2, 3, 4, 5];
const NAMES = ["Adapters", "Rows", "Dialogues", "Passages", "Works", "Units"];
const ONE = ["adapter", "row of a split", "dialogue", "passage", "work", "corpus unit"];
const LISTED = 300; // entries of a column that are drawn; the rest is a button away
const FOUND = 40;
const nodes = data.nodes;
const children = nodes.map(() => []);
nodes.forEach((node, number) => node.p.forEach((parent) => children[parent].push(number)));
const byLevel = NAMES.map((_, level) => nodes.map((_, number) => number).filter((number) => nodes[number].k === level));
const numbers = new Map(nodes.map((node, number) => [`${node.k}:${node.id}`, number]));
const collator = new Intl.Collator("en", { numeric: true });
byLevel.forEach((listed, level) => level && listed.sort((a, b) => collator.compare(nodes[a].id, nodes[b].id)));
const state = { chosen: null, open: ADAPTER, wide: new Set() };
const by = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...inside); // strings become text nodes: no word of the data is ever read as markup
  return made;
}
const count = (value) => value.toLocaleString("en");

// Spans count characters; JavaScript's own indices count halves of some. Only a text that has such is taken apart, once.
const apart = new WeakMap();
function letters(piece) {
  if (!apart.has(piece)) apart.set(piece, /[\ud800-\udfff]/.test(piece[1]) ? Array.from(piece[1]) : piece[1]);
  return apart.get(piece);
}
function cut(piece, start, end) {
  const found = letters(piece).slice(start, end);
  return typeof found === "string" ? found : found.join("");
}
function textOf(work, start, end) { // the words at a span, or null where this page does not hold them
  const piece = work.text.find((one) => one[0] <= start && end <= one[0] + letters(one).length);
  return piece ? cut(piece, start - piece[0], end - piece[0]) : null;
}
function workOf(node) { return node.p.map((number) => nodes[number]).find((parent) => parent.k === WORK); }
function wordsOf(node) {
  if (node.k === PASSAGE) return node.own ?? (workOf(node) ? textOf(workOf(node), node.start, node.end) ?? "" : "");
  if (node.k === DIALOGUE) return node.turns.filter(([role]) => role !== "system").map(([, words]) => words).join(" ") + (node.chosen ? ` ${node.chosen}` : "");
  if (node.k === WORK) return node.title;
  if (node.k === ROW && node.p.length) return wordsOf(nodes[node.p[0]]);
  return "";
}
function hint(node, number) { // the small line under an id
  if (node.k === ADAPTER) return node.facts.find(([label]) => label === "learned")?.[1] ?? "";
  if (node.k === ROW) return `${node.split} · ${wordsOf(node).slice(0, 90)}`;
  if (node.k === UNIT) return `${count(children[number].length)} ${children[number].length === 1 ? "work" : "works"}`;
  return wordsOf(node).slice(0, 90);
}

// What a node was made of, and what learned from it. Never up and then down again: a neighbour is no relative.
function reach(number, next) {
  const seen = new Set([number]);
  const waiting = [number];
  while (waiting.length) for (const found of next(waiting.pop())) if (!seen.has(found)) { seen.add(found); waiting.push(found); }
  return seen;
}
function related(number) {
  const all = reach(number, (one) => nodes[one].p);
  for (const one of reach(number, (one) => children[one])) all.add(one);
  return all;
}
function earlier(number) { // what an adapter has only by way of the adapters that it began from
  if (number === null || nodes[number].k !== ADAPTER) return null;
  return reach(number, (one) => nodes[one].p.filter((parent) => nodes[parent].k !== ADAPTER));
}

function nodeButton(number, more = "") {
  const node = nodes[number];
  return make("button", { class: "node", type: "button", "data-number": number, "aria-current": number === state.chosen ? "true" : null, onclick: () => choose(number) },
    make("b", {}, node.id.replace(/^splits\//, "")), make("i", {}, more + hint(node, number)));
}
function fill(level, related, own) {
  const listed = related ? byLevel[level].filter((number) => related.has(number)) : byLevel[level];
  const limit = state.wide.has(level) ? listed.length : LISTED;
  if (own) listed.sort((a, b) => own.has(b) - own.has(a)); // rows of its own before those of earlier stages
  const list = make("ul", {});
  for (const number of listed.slice(0, limit)) {
    const more = own && number !== state.chosen && !own.has(number) && level !== ADAPTER ? "earlier stage · " : "";
    list.append(make("li", {}, nodeButton(number, more)));
  }
  if (listed.length > limit) list.append(make("li", {}, make("button", { class: "plain", type: "button", onclick: () => { state.wide.add(level); draw(false); } }, `Show ${count(listed.length - limit)} more`)));
  const total = data.totals[data.levels[level]];
  const figure = related ? `${count(listed.length)} of ${count(total)}` : listed.length === total ? count(total) : `${count(listed.length)} of ${count(total)}`;
  const column = make("section", { class: `column${state.open === level ? " open" : ""}`, "aria-label": NAMES[level], "data-level": level },
    make("h2", {}, NAMES[level], make("span", {}, figure)), list);
  if (!listed.length) list.append(make("p", {}, related ? "None is connected." : total ? "None fits on this page." : "None yet."));
  by("tabs").append(make("button", { type: "button", role: "tab", "aria-selected": state.open === level ? "true" : "false", onclick: () => { state.open = level; draw(false); } }, NAMES[level], make("span", {}, figure)));
  return column;
}
function draw(focus) {
  const chosen = state.chosen;
  const connected = chosen === null ? null : related(chosen);
  const own = earlier(chosen);
  by("tabs").replaceChildren();
  by("columns").replaceChildren(...NAMES.map((_, level) => fill(level, connected, own)));
  const standing = chosen === null ? "Choose anything: the other columns narrow to what it was made of, and to what learned from it." : `Connected with the ${ONE[nodes[chosen].k]} ${nodes[chosen].id}`;
  by("standing").replaceChildren(standing, ...(chosen === null ? [] : [make("button", { class: "plain", type: "button", onclick: () => choose(null) }, "Show everything")]));
  by("words-of").replaceChildren(...(chosen === null ? [make("p", {}, "The words, the spans and the origin of what you choose stand here.")] : detail(chosen)));
  bring(document.querySelector("#columns [aria-current=true]"), ".column ul");
  bring(document.querySelector("main .scroll mark.deep") ?? document.querySelector("main .scroll mark"), ".scroll");
  if (focus) document.querySelector("#columns [aria-current=true]")?.focus({ preventScroll: true });
}

function bring(one, within) { // scroll what it stands in to it, and never the page itself
  const box = one?.closest(within);
  if (box) box.scrollTop += one.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
}

function detail(number) {
  const node = nodes[number];
  const shown = [make("p", { class: "what" }, ONE[node.k]), make("h2", {}, node.k === WORK ? `${node.title} (${node.id})` : node.id)];
  const facts = make("dl", {});
  for (const [label, value] of node.facts) facts.append(make("dt", {}, label), make("dd", {}, value));
  const left = make("div", {}, ...words(number));
  const right = make("div", {}, make("h3", {}, "Facts"), facts);
  const after = node.k === UNIT ? [] : children[number]; // a unit shows its works as its words
  for (const [title, listed] of [["Made of", node.p], ["Went into", after]]) if (listed.length) right.append(...relatives(title, listed));
  return [...shown, make("div", { class: "two" }, left, right)];
}
function relatives(title, listed) {
  const list = make("ul", { class: "more" }, ...listed.slice(0, 8).map((number) => make("li", {}, nodeButton(number, `${ONE[nodes[number].k]} · `))));
  return [make("h3", {}, `${title} (${count(listed.length)})`), list, ...(listed.length > 8 ? [make("p", { class: "gap" }, `and ${count(listed.length - 8)} more, in the columns above`)] : [])];
}
function words(number) {
  const node = nodes[number];
  if (node.k === ROW) return node.p.length ? words(node.p[0]) : [make("p", { class: "gap" }, "The lake no longer holds what this row was made of.")];
  if (node.k === DIALOGUE) return turns(node);
  if (node.k === PASSAGE) return passage(node);
  if (node.k === WORK) return [make("h3", {}, `The work: ${count(node.length)} characters`), whole(node, [])];
  if (node.k === UNIT) return [make("h3", {}, "Its works"), make("ul", { class: "more scroll" }, ...children[number].slice(0, LISTED).map((one) => make("li", {}, nodeButton(one))))];
  return [make("h3", {}, "What it learned"), make("p", { class: "said" }, summary(number))];
}
function summary(number) {
  const all = related(number);
  const counted = [ROW, DIALOGUE, PASSAGE, WORK, UNIT].map((level) => `${count(byLevel[level].filter((one) => all.has(one)).length)} ${NAMES[level].toLowerCase()}`);
  return `Behind it stand ${counted.slice(0, -1).join(", ")} and ${counted.at(-1)}, those of the adapters that it began from included.`;
}
function turns(node) {
  const shown = [make("h3", {}, node.chosen === undefined ? "The dialogue" : "The prompt, and two replies to it")];
  const say = (role, words, kind) => make("div", { class: `turn ${kind}` }, make("p", { class: "role" }, role), make("p", {}, words));
  for (const [role, text] of node.turns) shown.push(say(role, text, role === "tool" || role.endsWith("calls") ? "machine" : role === "assistant" ? "assistant" : ""));
  if (node.chosen !== undefined) shown.push(say("chosen", node.chosen, "chosen"), say("rejected", node.rejected, "rejected"));
  for (const number of node.p.filter((one) => nodes[one].k === PASSAGE)) {
    const parent = nodes[number];
    const told = node.retold && node.retold[0] === number ? node.retold.slice(1) : null;
    shown.push(make("h3", {}, told ? `It retells characters ${count(told[0])} to ${count(told[1])} of ${workOf(parent)?.id ?? "its work"}` : `Made of the passage ${parent.id}`), ...context(parent, told));
  }
  return shown;
}
function passage(node) {
  const title = `Characters ${count(node.start)} to ${count(node.end)} of ${workOf(node)?.id ?? "a work that is gone"}`;
  return [make("h3", {}, title), ...context(node, null)];
}
function context(node, told) { // a passage within its work, and within it the words that a dialogue retells
  const work = workOf(node);
  if (node.own !== undefined) return [make("p", { class: "gap" }, "The work changed since: this is the passage as it was, not what stands at its span now."), make("p", { class: "said" }, node.own)];
  if (!work) return [make("p", { class: "gap" }, "Its work is gone from the corpora.")];
  return [whole(work, [[node.start, node.end, ""], ...(told ? [[told[0], told[1], "deep"]] : [])])];
}
function whole(work, spans) { // the text that the page holds of a work, spans marked; a narrower span lies on a wider one
  const shown = make("p", { class: "said scroll" });
  let last = 0;
  for (const piece of work.text) {
    const from = piece[0];
    const to = from + letters(piece).length;
    if (from > last) shown.append(make("span", { class: "gap" }, `[${count(from - last)} characters that this page leaves out]`), "\n");
    const cuts = [...new Set([from, to, ...spans.flat().filter((x) => typeof x === "number" && x > from && x < to)])].sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i += 1) {
      const text = cut(piece, cuts[i] - from, cuts[i + 1] - from);
      const covering = spans.filter(([start, end]) => start <= cuts[i] && cuts[i + 1] <= end);
      shown.append(covering.length ? make("mark", { class: covering.at(-1)[2] || null }, text) : text);
    }
    last = to;
  }
  if (last < work.length) shown.append(make("span", { class: "gap" }, ` [${count(work.length - last)} characters that this page leaves out]`));
  return shown;
}

function choose(number, focus = true) {
  const hash = number === null ? "" : `#${nodes[number].k}:${encodeURIComponent(nodes[number].id)}`;
  if (location.hash === hash || (!location.hash && !hash)) { settle(focus); return; }
  if (hash) location.hash = hash; // draws through hashchange, so that Back works
  else { history.pushState(null, "", location.pathname + location.search); settle(focus); }
}
function settle(focus) {
  const [, level, id] = /^#(\d):(.*)$/s.exec(location.hash) ?? [];
  let name = null;
  try { name = id === undefined ? null : decodeURIComponent(id); } catch { name = null; }
  const number = name === null ? undefined : numbers.get(`${level}:${name}`);
  state.chosen = number ?? null;
  state.wide.clear();
  if (number !== undefined) state.open = nodes[number].k;
  draw(focus);
}

function search() {
  const asked = by("words").value.trim().toLowerCase();
  const list = by("found");
  if (!asked) { list.hidden = true; list.replaceChildren(); return; }
  const ids = [];
  const texts = [];
  nodes.forEach((node, number) => {
    if (node.id.toLowerCase().includes(asked)) ids.push(number);
    else if (texts.length < FOUND && node.k !== ROW && wordsOf(node).toLowerCase().includes(asked)) texts.push(number);
  });
  ids.sort((a, b) => (nodes[b].id.toLowerCase() === asked) - (nodes[a].id.toLowerCase() === asked) || nodes[a].k - nodes[b].k || collator.compare(nodes[a].id, nodes[b].id));
  const shown = [...ids, ...texts].slice(0, FOUND);
  const note = shown.length === 0 ? "Nothing on this page has that id or these words." : ids.length + texts.length > FOUND ? `The first ${FOUND}: ${count(ids.length)} ids hold it.` : `${count(shown.length)} found.`;
  list.replaceChildren(make("p", { role: "status" }, note), ...shown.map((number) => make("li", {}, nodeButton(number, `${ONE[nodes[number].k]} · `))));
  list.hidden = false;
}
function leave() { by("words").value = ""; search(); }

function walk(event) {
  const here = document.activeElement;
  const column = here?.closest?.(".column");
  const list = column ?? here?.closest?.("#found");
  if (!list) return false;
  const all = [...list.querySelectorAll("button")];
  const at = all.indexOf(here);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const next = all[at + (event.key === "ArrowDown" ? 1 : -1)];
    if (next) next.focus();
    else if (!column && event.key === "ArrowUp") by("words").focus();
    return true;
  }
  if (!column || (event.key !== "ArrowLeft" && event.key !== "ArrowRight")) return false;
  const step = event.key === "ArrowRight" ? 1 : -1;
  for (let level = Number(column.dataset.level) + step; level >= 0 && level < NAMES.length; level += step) {
    const target = document.querySelector(`.column[data-level="${level}"] button`);
    if (!target) continue;
    if (getComputedStyle(target.closest(".column")).display === "none") { state.open = level; draw(false); }
    const open = document.querySelector(`.column[data-level="${level}"]`);
    (open.querySelector("[aria-current=true]") ?? open.querySelector("button")).focus();
    return true;
  }
  return true;
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = document.activeElement === by("words");
  if (event.key === "/" && !typing) { by("words").focus(); event.preventDefault(); }
  else if (event.key === "Escape") { if (!by("found").hidden) leave(); else choose(null); }
  else if (typing && event.key === "ArrowDown") { by("found").querySelector("button")?.focus(); event.preventDefault(); }
  else if (!typing && walk(event)) event.preventDefault();
});
by("search").addEventListener("submit", (event) => { event.preventDefault(); by("found").querySelector("button")?.click(); });
by("words").addEventListener("input", search);
by("found").addEventListener("click", (event) => { if (event.target.closest(".node")) leave(); });
document.addEventListener("click", (event) => { if (!event.target.closest("#search")) by("found").hidden = true; });
window.addEventListener("hashchange", () => settle(true));
window.addEventListener("popstate", () => settle(false));

function openly() { // what this page does not hold is said first
  const said = [];
  const left = data.levels.filter((level) => data.shown[level] < data.totals[level]);
  if (data.share < 1) said.push(`Too much for one page: of the training rows ${(100 * data.share).toPrecision(2)} % were drawn, by a hash of their ids, and only what stands behind them is here. Left out: ${left.map((level) => `${count(data.totals[level] - data.shown[level])} of ${count(data.totals[level])} ${level}`).join(", ")}. twainbot trace ID tells of any of them.`);
  if (data.moved) said.push(`${count(data.moved)} passages are no longer the text at their span: run twainbot refresh.`);
  if (data.lost) said.push(`${count(data.lost)} rows name a passage or dialogue that the lake no longer holds.`);
  by("openly").textContent = said.join(" ");
  by("openly").hidden = !said.length;
}
openly();
settle(false);
