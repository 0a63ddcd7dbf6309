"use strict";
// Draws the progress of a report until its task has ended.
const bar = document.getElementById("bar");
const text = document.getElementById("state");

async function look() {
  const answer = await fetch(bar.dataset.state);
  const found = await answer.json();
  if (found.state === "PROGRESS" && found.total) {
    bar.value = found.done / found.total;
    text.textContent = `${found.done} of ${found.total} rows`;
  }
  if (!found.ended) return setTimeout(look, 300);
  bar.value = 1;
  text.textContent = found.state === "SUCCESS" ? "done" : "failed";
  document.getElementById("file").hidden = found.state !== "SUCCESS";
}

look();
