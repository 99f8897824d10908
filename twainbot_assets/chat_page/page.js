// The web chat. Texts reach the document through textContent alone, so words and results cannot be anything but text.
"use strict";

const MOST_ROUNDS = 4; // calls, one after another, that one question may lead to
const MOST_TOKENS = 256;
const at = (id) => document.getElementById(id);
const state = { tools: [], source: "", disclaimer: "", messages: [], turns: [], voices: new Set(), id: "", busy: null };

function node(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function say(text) { at("status").textContent = text; }
function complain(error) { at("error").textContent = error ? error.message : ""; }

async function reach(path, options) {
  let response;
  try { response = await fetch(path, options); } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Start `twainbot serve` again; this talk is kept here.");
  }
  if (response.ok) return response;
  let found;
  try { found = (await response.json()).error.message; } catch { found = `The server answered with ${response.status}.`; }
  throw new Error(found);
}

const post = (path, body, signal) => reach(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });

// ---- what is shown

// Change the talk; it stays scrolled to its end, unless its reader has gone up.
function change(how) {
  const log = at("log");
  const low = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  how();
  if (low) log.scrollTop = log.scrollHeight;
}

function show(element) {
  change(() => at("log").append(element));
  return element;
}

function turn(kind, who, text) {
  const said = node("p", { className: "said" }, text);
  const made = show(node("div", { className: `turn ${kind}` }, node("p", { className: "who" }, who), said));
  return { made, said, who: made.firstChild };
}

function written(value) {
  if (Array.isArray(value)) return value.length ? value.map(written).join(", ") : "none";
  if (value === null || value === undefined) return "not given";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function label(name) {
  return name.replace(/_f$/, " (°F)").replace(/_mph$/, " (mph)").replace(/_chance$/, " chance (%)").replaceAll("_", " ");
}

function fields(values) {
  const list = node("dl");
  for (const [name, value] of Object.entries(values)) list.append(node("dt", {}, label(name)), node("dd", {}, written(value)));
  return list;
}

function showCall(call) {
  const card = node("div", { className: "tool" }, node("p", {}, "Asks ", node("span", { className: "name" }, call.name)), fields(call.arguments));
  return show(card);
}

function showResult(card, content) {
  let result;
  try { result = JSON.parse(content); } catch { result = null; }
  if (!result || typeof result !== "object" || Array.isArray(result)) result = { answer: content };
  const { source, ...rest } = result;
  const shown = result.error ? [node("p", {}, `No answer: ${written(result.message || result.error)}`)]
    : [node("details", { open: true }, node("summary", {}, "The answer"), fields(rest)),
      node("p", { className: "source" }, `Source: ${written(source || state.source || "not named")}`)];
  card.classList.toggle("failed", Boolean(result.error));
  change(() => card.append(...shown));
}

// ---- one answer of the model

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const line = text.slice(0, end);
      if (line === "data: [DONE]") return;
      if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }
}

async function answer(signal) {
  const shown = turn("assistant writing", "…", "");
  const found = { words: "", calls: [], finish: null };
  try {
    const body = { model: at("voice").value, messages: state.messages, stream: true, max_tokens: MOST_TOKENS };
    if (state.tools.length) body.tools = state.tools.map(({ type, function: declared }) => ({ type, function: declared }));
    for await (const event of events(await post("/v1/chat/completions", body, signal))) {
      if (event.error) throw new Error(event.error.message);
      shown.who.textContent = event.model;
      found.model = event.model;
      const choice = event.choices[0];
      if (!choice) continue;
      if (choice.delta.content) { found.words += choice.delta.content; change(() => { shown.said.textContent = found.words; }); }
      for (const call of choice.delta.tool_calls || []) found.calls.push(call);
      found.finish = choice.finish_reason || found.finish;
    }
  } catch (error) {
    shown.made.remove();
    throw error;
  }
  shown.made.classList.remove("writing");
  if (!found.words.trim()) found.calls.length ? shown.made.remove() : shown.said.textContent = "(nothing said)";
  return found;
}

function stored(call) {
  const known = state.tools.find((tool) => tool.function.name === call.function.name);
  return { tool_name: known ? known.stored_name : call.function.name, arguments: JSON.parse(call.function.arguments) };
}

async function round(signal) {
  const found = await answer(signal);
  if (found.model) state.voices.add(found.model);
  if (!found.calls.length) {
    state.messages.push({ role: "assistant", content: found.words });
    if (found.words.trim()) state.turns.push({ role: "assistant", content: found.words, tool_call: null });
    if (found.finish === "length") say("The answer was cut off at its longest.");
    return false;
  }
  const messages = [{ role: "assistant", content: found.words, tool_calls: found.calls.map(({ index, ...call }) => call) }];
  const turns = [];
  for (const call of found.calls) {
    const asked = stored(call);
    const card = showCall({ name: call.function.name, arguments: asked.arguments });
    say("Waiting for the tool…");
    const result = await (await post("/v1/tools/call", { name: call.function.name, arguments: asked.arguments }, signal)).json();
    showResult(card, result.content);
    messages.push({ role: "tool", tool_call_id: call.id, content: result.content });
    turns.push({ role: "assistant", content: turns.length ? "" : found.words, tool_call: asked }, { role: "tool", content: result.content, tool_call: null });
  }
  say("");
  state.messages.push(...messages);
  state.turns.push(...turns);
  return true;
}

async function ask(words) {
  const before = [state.messages.length, state.turns.length];
  state.busy = new AbortController();
  complain(null);
  say("");
  at("words").value = "";
  grow();
  buttons();
  turn("user", "You", words);
  at("log").scrollTop = at("log").scrollHeight;
  state.messages.push({ role: "user", content: words });
  state.turns.push({ role: "user", content: words, tool_call: null });
  try {
    let rounds = 0;
    while (await round(state.busy.signal)) {
      if (++rounds === MOST_ROUNDS) { say("It asked its tool again and again, so it was stopped. Ask in other words."); break; }
    }
  } catch (error) {
    // what was not answered is forgotten, so that the talk can go on; the words are there to be sent again
    [state.messages.length, state.turns.length] = before;
    if (!at("words").value) at("words").value = words;
    if (error.name === "AbortError") say("Stopped. That question is not part of the talk."); else complain(error);
  }
  state.busy = null;
  buttons();
  grow();
  at("words").focus();
}

function buttons() {
  at("send").textContent = state.busy ? "Stop" : "Send";
  at("save").disabled = Boolean(state.busy) || !state.turns.some((one) => one.role === "assistant");
  at("new").disabled = Boolean(state.busy);
  at("voice").disabled = Boolean(state.busy);
}

// ---- the talk as a whole

function newName() { // randomUUID is there on secure origins only, which an address of the local network is not
  const mark = [...crypto.getRandomValues(new Uint8Array(4))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `chat-${new Date().toISOString().slice(0, 10)}-${mark}`;
}

function begin() {
  Object.assign(state, { messages: [], turns: [], voices: new Set(), id: newName() });
  at("log").replaceChildren();
  complain(null);
  say("");
  buttons();
  at("words").focus();
}

function save() {
  const record = { conversation_id: state.id, turns: state.turns, style_tags: [...state.voices], origin: { generator: "twainbot serve" }, disclaimer: state.disclaimer };
  const link = node("a", { href: URL.createObjectURL(new Blob([`${JSON.stringify(record)}\n`], { type: "application/jsonl" })), download: `${state.id}.jsonl` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  say(`Saved as ${state.id}.jsonl: a transcript that the graph can read.`);
}

function grow() {
  const words = at("words");
  words.style.height = "auto";
  words.style.height = `${Math.min(words.scrollHeight + 2, 144)}px`;
}

async function start() {
  at("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (state.busy) return state.busy.abort();
    const words = at("words").value.trim();
    if (words) ask(words);
  });
  at("words").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); if (!state.busy) at("form").requestSubmit(); }
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && state.busy) state.busy.abort(); });
  at("words").addEventListener("input", grow);
  at("new").addEventListener("click", begin);
  at("save").addEventListener("click", save);
  begin();
  try {
    const models = (await (await reach("/v1/models")).json()).data;
    at("voice").replaceChildren(...models.map((model) => node("option", { value: model.id }, model.id === "__base__" ? "base model" : model.id)));
    Object.assign(state, await (await reach("/v1/tools")).json());
    at("note").textContent = `${state.disclaimer} ${state.source ? `Weather: ${state.source}. ` : ""}Enter sends, Shift+Enter begins a line, Esc stops.`;
  } catch (error) { complain(error); }
}

start();
