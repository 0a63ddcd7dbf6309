"use strict";
// The page of `warren web`: sends a task, draws its progress, shows its result. All text from
// elsewhere is put in as text, never as HTML.

const byId = (id) => document.getElementById(id);
const MEANING = {
  PENDING: "waits for a worker", RECEIVED: "taken by a worker", STARTED: "runs",
  PROGRESS: "runs", RETRY: "waits for its next attempt", SUCCESS: "done",
  FAILURE: "failed", REVOKED: "cancelled",
};
const PAUSE = 2000; // ms until a stream that broke is opened again
let token = sessionStorage.getItem("token") || "";
let tasks = [];
let followed = 0; // counts the tasks that were followed: an older one draws no more

async function ask(path, options = {}) {
  const headers = { ...options.headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) signOut();
  throw new Error(said.detail || `the server answers ${answer.status}`);
}

function tell(error) {
  byId("problem").textContent = error ? error.message || String(error) : "";
  byId("problem").hidden = !error;
}

async function signIn() {
  tasks = (await (await ask("tasks")).json()).tasks;
  sessionStorage.setItem("token", token);
  byId("task").replaceChildren(...tasks.map((each) => new Option(each.task, each.task)));
  showParameters();
  byId("sign-in").hidden = true;
  byId("send").hidden = false;
  byId("task").focus();
}

function signOut() {
  token = "";
  followed += 1;
  sessionStorage.removeItem("token");
  byId("send").hidden = byId("running").hidden = true;
  byId("sign-in").hidden = false;
  byId("token").focus();
}

function showParameters() {
  const chosen = tasks.find((each) => each.task === byId("task").value);
  byId("parameters").textContent = chosen ? `Takes ${chosen.parameters}` : "No task may be sent.";
}

function show(state) {
  const text = MEANING[state.state] || state.state;
  const known = typeof state.total === "number";
  const steps = "done" in state ? `: ${state.done}${known ? ` of ${state.total}` : ""} ${state.note}` : "";
  byId("state").textContent = `${state.error || text + steps}`;
  const bar = byId("bar");
  bar.hidden = state.ended && state.state !== "SUCCESS";
  if (state.ended) bar.value = 1;
  else if (known) bar.value = state.total ? state.done / state.total : 1;
  else bar.removeAttribute("value");
  byId("result").hidden = !("result" in state);
  byId("result").textContent = "result" in state ? JSON.stringify(state.result, null, 2) : "";
  byId("files").replaceChildren(...(state.files || []).map((file) => {
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.name;
    link.textContent = `Download ${file.name} (${file.size} bytes)`;
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
}

// Calls `each` with every state of the task that the stream sends; returns whether it has ended.
async function stream(id, each, wanted) {
  const answer = await ask(`tasks/${encodeURIComponent(id)}/events`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done || !wanted()) return false;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (!event.startsWith("event: state")) continue;
        const state = JSON.parse(event.slice(event.indexOf("data: ") + 6));
        each(state);
        if (state.ended) return true;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function follow(id, name) {
  const mine = (followed += 1);
  const wanted = () => mine === followed;
  byId("running").hidden = false;
  byId("running-title").textContent = name || "Task";
  byId("task-id").textContent = id;
  show({ state: "PENDING", ended: false });
  byId("running-title").focus();
  while (wanted()) {
    try {
      if (await stream(id, (state) => { tell(null); show(state); }, wanted)) return;
    } catch (error) {
      if (wanted()) tell(error);
      if (!token) return;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

function start() {
  byId("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    token = byId("token").value.trim();
    byId("token").value = "";
    tell(null);
    signIn().then(followAddress).catch(tell);
  });
  byId("sign-out").addEventListener("click", signOut);
  byId("task").addEventListener("change", showParameters);
  byId("send").addEventListener("submit", async (event) => {
    event.preventDefault();
    tell(null);
    try {
      const kwargs = JSON.parse(byId("kwargs").value || "{}");
      const task = byId("task").value;
      const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
      const body = JSON.stringify({ kwargs });
      const answer = await ask(`tasks/${encodeURIComponent(task)}`, { method: "POST", headers, body });
      const sent = await answer.json();
      history.replaceState(null, "", `#${sent.task_id}`);
      await follow(sent.task_id, task);
    } catch (error) {
      tell(error instanceof SyntaxError ? new Error(`Arguments: ${error.message}`) : error);
    }
  });
  window.addEventListener("hashchange", followAddress);
  if (token) signIn().then(followAddress).catch(tell);
}

// The address may name a task behind '#': a link to its progress.
function followAddress() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (id && token) follow(id).catch(tell);
}

start();
