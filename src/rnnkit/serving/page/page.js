// The page of `rnnkit serve`: what is typed goes to the model, and comes back as completions, a picture of the state, text.
"use strict";

const SLIDERS = [  // name, label, least, most, step, at first
  ["temperature", "Temperature", 0, 2, 0.05, 0.8],
  ["top_p", "Top-p", 0, 1, 0.01, 1],
  ["top_k", "Top-k (0: off)", 0, 100, 1, 0],
  ["repetition_penalty", "Repetition penalty", 1, 2, 0.05, 1],
  ["max_new_tokens", "Tokens", 1, 1000, 1, 200],
  ["seed", "Seed", 0, 100, 1, 0],
];
const NUM_COMPLETIONS = 8;
const PAUSE_MS = 120;  // of the typist, until the model is asked

const at = (id) => document.getElementById(id);
let generation = null;  // what aborts the one that runs
let asked = null;  // what aborts the question that is out
let pause = 0;

// ---- the server -----------------------------------------------------------------------------------------------------

async function ask(path, body, signal) {
  const headers = { "content-type": "application/json" };
  if (at("key").value) headers.authorization = `Bearer ${at("key").value}`;
  const options = body === undefined ? { headers, signal } : { method: "POST", headers, signal, body: JSON.stringify(body) };
  const response = await fetch(path, options);
  if (response.ok) return response;
  if (response.status === 401) at("key-field").hidden = false;
  const { error } = await response.json();
  throw new Error(error.message);
}

const ofModel = (verb) => `/v1/models/${encodeURIComponent(at("model").value)}/${verb}`;

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let held = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const whole = held.split("\n\n");
    held = whole.pop();
    for (const event of whole) {
      const data = JSON.parse(event.slice(event.indexOf("data: ") + 6));
      if (event.startsWith("event: error")) throw new Error(data.message);
      yield data;
    }
  }
}

function say(text, isWrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", isWrong);
}

// ---- what may come next, and the state -------------------------------------------------------------------------------

async function look() {
  if (generation || !at("model").value) return;
  asked?.abort();
  const { signal } = (asked = new AbortController());
  const text = at("text").value;
  try {
    const [step, words] = await Promise.all([
      ask(ofModel("step"), { text, top: 0, hidden: true }, signal).then((response) => response.json()),
      ask(ofModel("complete"), { text, k: NUM_COMPLETIONS }, signal).then((response) => response.json()),
    ]);
    paint(step.hidden);
    offer(words);
    say("");
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

function offer(words) {
  const items = words.map(({ text, probability }) => {
    const button = document.createElement("button");
    button.type = "button";
    const shown = document.createElement("code");
    shown.textContent = text.replaceAll("\n", "⏎");
    const bar = document.createElement("span");
    bar.className = "bar";
    const filled = document.createElement("span");
    filled.style.width = `${100 * probability}%`;
    bar.append(filled);
    const share = document.createElement("span");
    share.className = "share";
    share.textContent = `${(100 * probability).toFixed(1)} %`;
    button.append(shown, bar, share);
    button.addEventListener("click", () => {
      at("text").value += text;
      at("text").focus();
      look();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  at("next").replaceChildren(...items);
}

const colour = (name) => {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
};

// One more column at the right: zero is the paper, -1 and 1 two colours.
function paint(layers) {
  const canvas = at("state");
  const units = layers.flat();
  const height = Math.min(units.length, 512);
  if (canvas.height !== height) canvas.height = height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, -1, 0);
  const [zero, low, high] = ["--card", "--low", "--high"].map(colour);
  const column = pen.createImageData(1, height);
  for (let row = 0; row < height; row += 1) {
    const value = units[Math.floor((row * units.length) / height)] / 127;
    const end = value < 0 ? low : high;
    for (let part = 0; part < 3; part += 1) {
      column.data[4 * row + part] = zero[part] + (end[part] - zero[part]) * Math.abs(value);
    }
    column.data[4 * row + 3] = 255;
  }
  pen.putImageData(column, canvas.width - 1, 0);
  canvas.dataset.columns = Number(canvas.dataset.columns ?? 0) + 1;
}

// ---- generation ------------------------------------------------------------------------------------------------------

async function generate() {
  if (generation || !at("model").value) return;
  asked?.abort();
  generation = new AbortController();
  at("generate").disabled = true;
  at("stop").disabled = false;
  say("writing …");
  const body = { prompt: at("text").value, hidden: true };
  for (const [name] of SLIDERS) body[name] = at(name).valueAsNumber;
  try {
    for await (const event of events(await ask(ofModel("generate"), body, generation.signal))) {
      at("text").value += event.text ?? "";
      at("text").scrollTop = at("text").scrollHeight;
      if (event.hidden) paint(event.hidden);
      if (event.is_done) say(`${event.num_new_tokens} tokens`);
    }
  } catch (error) {
    say(error.name === "AbortError" ? "stopped" : error.message, error.name !== "AbortError");
  }
  const said = at("status").textContent, wasWrong = at("status").classList.contains("wrong");
  generation = null;
  at("generate").disabled = false;
  at("stop").disabled = true;
  await look();
  if (!at("status").textContent) say(said, wasWrong);
}

// ---- the start -------------------------------------------------------------------------------------------------------

function addSliders() {
  for (const [name, label, least, most, step, first] of SLIDERS) {
    const field = document.createElement("label");
    const value = document.createElement("output");
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", id: name, min: least, max: most, step, value: first });
    const show = () => (value.textContent = slider.value);
    slider.addEventListener("input", show);
    show();
    field.append(label, value, slider);
    at("sliders").append(field);
  }
}

async function findModels() {
  try {
    const models = await (await ask("/v1/models")).json();
    at("key-field").hidden = !at("key").value;
    const writing = models.filter(({ kind }) => kind === "language_model");
    at("model").replaceChildren(...writing.map(({ name }) => new Option(name, name)));
    if (writing.length) await look();
    else say("no language model is served here; see /openapi.json for the others", true);
  } catch (error) {
    say(error.message, true);
  }
}

addSliders();
at("text").addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(look, PAUSE_MS);
});
at("model").addEventListener("change", look);
at("key").addEventListener("change", findModels);
at("key-field").addEventListener("submit", (event) => event.preventDefault());
at("generate").addEventListener("click", generate);
at("stop").addEventListener("click", () => generation?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) generate();
  if (event.key === "Escape") generation?.abort();
});
findModels();
