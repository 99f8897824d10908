// The rating page. Texts reach the document through textContent alone, so a reply cannot be anything but text.
"use strict";

const PLACES = ["first", "second"];
const LETTERS = { first: "A", second: "B" };
const at = (id) => document.getElementById(id);
const state = { about: null, dialogues: [], number: 0, drafts: {}, question: 0, rater: "", busy: false };

function node(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

async function ask(path, body) {
  const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try { response = await fetch(path, sent || {}); } catch { throw new Error("The rating page's program does not answer. Start `twainbot review` again; what was saved is kept."); }
  let found;
  try { found = await response.json(); } catch { throw new Error(`The rating page's program answered with ${response.status}. See its terminal.`); }
  if (!response.ok) throw new Error(found.error || String(response.status));
  return found;
}

function say(text) { at("status").textContent = text; at("error").textContent = ""; }
function complain(error) { at("error").textContent = error.message; at("status").textContent = ""; }

// ---- who rates

async function begin(name) {
  if (!name.trim()) return complain(new Error("Say who rates."));
  try {
    const found = await ask(`/api/session?rater=${encodeURIComponent(name)}`);
    Object.assign(state, { about: found, dialogues: found.dialogues, rater: found.rater, drafts: {} });
    sessionStorage.setItem("rater", JSON.stringify({ rater: found.rater, named: found.named }));
    if (found.next) return finished(found.next);
    go(nextOpen(-1));
  } catch (error) { complain(error); }
}

function welcome() {
  at("progress").hidden = true;
  at("who").hidden = true;
  const name = node("input", { type: "text", id: "name", name: "name", autocomplete: "off", maxLength: 40, required: true });
  const form = node("form", { className: "card" },
    node("p", {}, node("label", { htmlFor: "name" }, "Your name")), name,
    node("p", { className: "small" }, "It is kept with your ratings, so that agreement between raters can be measured."),
    node("button", { className: "main" }, "Begin"));
  form.addEventListener("submit", (event) => { event.preventDefault(); begin(name.value); });
  at("buttons").replaceChildren();
  at("main").replaceChildren(form, ...(state.about ? [node("section", { className: "card" }, node("h2", {}, "What you rate"), ...explained())] : []));
  name.focus();
}

function explained() {
  const list = node("dl", { className: "rubric" });
  for (const scale of state.about.scales) {
    list.append(node("dt", {}, scale.title), node("dd", {}, scale.asks, node("ol", {}, ...scale.anchors.map((text) => node("li", {}, text)))));
  }
  return [
    node("p", {}, `Two replies to the same words, A and B. One comes from the base model, one from the adapter, in an order drawn anew for each dialogue. Rate each by itself, from 1 to 5.`),
    node("p", {}, `The voice: ${state.about.voice}`), list];
}

// ---- one dialogue

function scoresOf(dialogue) {
  return state.drafts[dialogue.item] ||= structuredClone(dialogue.saved || { first: {}, second: {} });
}

function isComplete(scores) { return PLACES.every((place) => state.about.scales.every((scale) => scores[place][scale.name])); }

function isChanged(dialogue) {
  const draft = state.drafts[dialogue.item];
  return draft && JSON.stringify(sorted(draft)) !== JSON.stringify(sorted(dialogue.saved || { first: {}, second: {} }));
}

function sorted(scores) { return PLACES.map((place) => state.about.scales.map((scale) => scores[place][scale.name] || 0)); }

function nextOpen(from) {
  const total = state.dialogues.length;
  for (let step = 1; step <= total; step++) {
    const number = (from + step) % total;
    if (!state.dialogues[number].saved) return number;
  }
  return Math.min(from + 1, total - 1);
}

function go(number) {
  state.number = number;
  state.question = 0;
  const dialogue = state.dialogues[number];
  const given = dialogue.given.length ? [node("p", { className: "label" }, "The assistant was given"), ...steps(dialogue.given)] : [];
  const asked = node("section", { className: "card wide", "aria-labelledby": "asked" },
    node("h2", { id: "asked", className: "label" }, `Dialogue ${number + 1} of ${state.dialogues.length}: the user said`),
    node("p", { className: "said" }, dialogue.prompt), ...given);
  const replies = node("div", { className: "replies" }, ...PLACES.map((place) => replyCard(dialogue, place)));
  const save = node("button", { className: "main", id: "save", type: "button" }, "Save and go on");
  save.addEventListener("click", saveAndGoOn);
  const back = node("button", { type: "button", id: "back", disabled: number === 0 }, "Back");
  const skip = node("button", { type: "button", id: "skip", disabled: number === state.dialogues.length - 1 }, "Forward");
  back.addEventListener("click", () => leave(-1));
  skip.addEventListener("click", () => leave(1));
  const keys = node("p", { className: "small keys" });
  for (const [key, what] of [["1–5", "rate"], ["↑ ↓", "question"], ["← →", "dialogue"], ["Enter", "save and go on"]]) {
    keys.append(node("kbd", {}, key), ` ${what}  `);
  }
  const help = node("details", {}, node("summary", {}, "What the numbers mean"), ...explained());
  at("main").replaceChildren(asked, replies, help);
  at("buttons").replaceChildren(back, skip, save, keys);
  window.scrollTo(0, 0);
  showProgress();
  focusQuestion(0, false);
}

function steps(list) { return list.map((step) => step.kind === "said" ? said(step.text) : tool(step)); }

function said(text) {
  return text ? node("p", { className: "said" }, text) : node("p", { className: "said none" }, "(nothing said)");
}

function tool(step) {
  const title = step.kind === "call" ? `Asks the tool ${step.text}` : "The tool answers";
  const list = node("dl", { className: "fields" });
  for (const [name, value] of step.fields) list.append(node("dt", {}, name), node("dd", {}, value));
  const rest = step.kind === "result" && step.text ? [said(step.text)] : [];
  return node("div", { className: "tool" }, node("p", { className: "label" }, title), list, ...rest);
}

function replyCard(dialogue, place) {
  const letter = LETTERS[place];
  const words = dialogue[place].length ? steps(dialogue[place]) : [said("")];
  return node("section", { className: "card", "aria-labelledby": `reply-${place}` },
    node("h2", { id: `reply-${place}`, className: "label" }, `Reply ${letter}`),
    node("div", { className: "reply" }, ...words),
    ...state.about.scales.map((scale) => question(dialogue, place, scale)));
}

function question(dialogue, place, scale) {
  const number = PLACES.indexOf(place) * state.about.scales.length + state.about.scales.indexOf(scale);
  const meaning = node("p", { className: "meaning", id: `meaning-${number}` });
  const row = node("div", { className: "steps" });
  scale.anchors.forEach((anchor, index) => {
    const input = node("input", { type: "radio", name: `q${number}`, value: String(index + 1),
      checked: scoresOf(dialogue)[place][scale.name] === index + 1, "aria-label": `${index + 1}: ${anchor}` });
    input.addEventListener("change", () => choose(number, index + 1, false));
    input.addEventListener("focus", () => mark(number));
    row.append(node("label", { title: anchor }, input, node("span", { "aria-hidden": "true" }, String(index + 1))));
  });
  const made = node("fieldset", { id: `q-${number}`, "aria-describedby": `meaning-${number}` },
    node("legend", {}, `${scale.title}, reply ${LETTERS[place]}`), row, meaning);
  queueMicrotask(() => explain(number));
  return made;
}

function placeOf(number) {
  const count = state.about.scales.length;
  return [PLACES[Math.floor(number / count)], state.about.scales[number % count]];
}

function explain(number) {
  const [place, scale] = placeOf(number);
  const score = scoresOf(state.dialogues[state.number])[place][scale.name];
  const line = at(`meaning-${number}`);
  if (line) line.textContent = score ? `${score}: ${scale.anchors[score - 1]}` : scale.asks;
}

function choose(number, score, moveOn) {
  const [place, scale] = placeOf(number);
  scoresOf(state.dialogues[state.number])[place][scale.name] = score;
  const input = document.querySelector(`input[name=q${number}][value="${score}"]`);
  input.checked = true;
  explain(number);
  say("");
  if (!moveOn) return;
  if (number + 1 < 2 * state.about.scales.length) focusQuestion(number + 1, true); else at("save").focus();
}

function mark(number) {
  state.question = number;
  document.querySelectorAll("fieldset").forEach((each) => each.classList.toggle("current", each.id === `q-${number}`));
}

function focusQuestion(number, scroll) {
  const inputs = [...document.querySelectorAll(`input[name=q${number}]`)];
  const chosen = inputs.find((input) => input.checked) || inputs[0];
  chosen.focus({ preventScroll: !scroll });
  mark(number);
}

function showProgress() {
  const done = state.dialogues.filter((dialogue) => dialogue.saved).length;
  const { of, needed } = state.about;
  at("who").hidden = at("progress").hidden = false;
  const other = node("button", { type: "button", id: "other" }, "Not you?");
  other.addEventListener("click", () => { sessionStorage.removeItem("rater"); say(""); welcome(); });
  at("who").replaceChildren(`${state.rater}, recipe ${state.about.recipe} `);
  at("who").append(other);
  at("count").textContent = needed < of ? `${done} of ${of} rated (${needed} are enough)` : `${done} of ${of} rated`;
  at("bar").max = of;
  at("bar").value = done;
}

// ---- saving

async function save(dialogue) {
  if (state.busy) return null;
  state.busy = true;
  try {
    const scores = structuredClone(scoresOf(dialogue));
    const found = await ask("/api/ratings", { rater: state.rater, item: dialogue.item, pair: dialogue.pair, ...scores });
    dialogue.saved = scores;
    say(`Saved dialogue ${state.dialogues.indexOf(dialogue) + 1}.`);
    showProgress();
    return found;
  } catch (error) { complain(error); return null; } finally { state.busy = false; }
}

async function saveAndGoOn() {
  const dialogue = state.dialogues[state.number];
  const open = sorted(scoresOf(dialogue)).flat().indexOf(0);
  if (open >= 0) {
    const [place, scale] = placeOf(open);
    focusQuestion(open, true);
    return complain(new Error(`${scale.title} of reply ${LETTERS[place]} has no score yet.`));
  }
  const found = await save(dialogue);
  if (!found) return;
  if (found.next) finished(found.next); else go(nextOpen(state.number));
}

async function leave(by) {
  const number = state.number + by;
  if (number < 0 || number >= state.dialogues.length) return;
  const dialogue = state.dialogues[state.number];
  if (isChanged(dialogue) && isComplete(scoresOf(dialogue)) && !await save(dialogue)) return;
  const left = isChanged(dialogue) ? `Dialogue ${state.number + 1} is not saved yet: it lacks scores.` : at("status").textContent;
  go(number);
  say(left);
}

function finished(next) {
  showProgress();
  const again = node("button", { type: "button", id: "again" }, "Look through my ratings");
  again.addEventListener("click", () => { say(""); go(0); });
  at("buttons").replaceChildren();
  const words = next.split("`").map((part, index) => index % 2 ? node("code", {}, part) : part);
  at("main").replaceChildren(node("section", { className: "card" },
    node("h2", {}, `All ${state.dialogues.length} dialogues are rated. Thank you, ${state.rater}.`),
    node("p", {}, ...words), node("p", {}, "Close this page and press Ctrl-C in the terminal."), again));
  again.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !at("save") || !state.about) return;
  if (event.target.matches("input[type=text], summary")) return;
  const last = 2 * state.about.scales.length - 1;
  if (/^[1-5]$/.test(event.key)) choose(state.question, Number(event.key), true);
  else if (event.key === "ArrowDown") focusQuestion(Math.min(state.question + 1, last), true);
  else if (event.key === "ArrowUp") focusQuestion(Math.max(state.question - (document.activeElement === at("save") ? 0 : 1), 0), true);
  else if (event.key === "ArrowRight") leave(1);
  else if (event.key === "ArrowLeft") leave(-1);
  else if (event.key === "Enter" && !event.target.matches("button:not(#save)")) saveAndGoOn();
  else return;
  event.preventDefault();
});

window.addEventListener("beforeunload", (event) => {
  if (state.dialogues.some((dialogue) => isChanged(dialogue))) event.preventDefault();
});

// a name given on this page holds until the command line names another
async function open() {
  try { state.about = await ask("/api/session"); } catch (error) { return complain(error); }
  const kept = JSON.parse(sessionStorage.getItem("rater") || "null");
  const name = kept && kept.named === state.about.named ? kept.rater : state.about.named;
  return name ? begin(name) : welcome();
}

open();
