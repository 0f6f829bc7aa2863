// Without this the page can be read, and each step be opened; with it, all at once, or only some shown.
"use strict";
document.documentElement.classList.add("scripted");
const steps = [...document.querySelectorAll(".waterfall details")];
const changed = document.querySelector("#changed");
const all = document.querySelector("#all");

function filter() {
  for (const step of steps) step.hidden = changed.checked && step.dataset.changed === "no";
  const count = steps.filter(step => !step.hidden).length;
  document.querySelector("#shown").textContent = `${count} shown`;
}

changed.addEventListener("input", filter);
all.addEventListener("click", () => {
  const open = steps.some(step => !step.open);
  for (const step of steps) step.open = open;
  all.textContent = open ? "close all" : "open all";
});
if (location.hash) document.querySelector(location.hash)?.setAttribute("open", "");
filter();
