"use strict";
const button = document.querySelector("#save");
const sets = [...document.querySelectorAll("fieldset")];
const cell = (text) => '"' + String(text).replaceAll('"', '""') + '"';
let saved = "";

// The choices last as long as the tab, through a reload, by the names of the rows: the page may be made again meanwhile.
const remembered = (work) => {
  try {
    return work(window.sessionStorage);
  } catch {
    return null; // a browser that keeps nothing for pages from the disk still asks before it loses them
  }
};
const keep = () =>
  remembered((store) => {
    const inputs = [...document.querySelectorAll("input:checked:not([data-leave])")];
    const chosen = Object.fromEntries(inputs.map((input) => [input.name, input.value]));
    store.setItem(window.location.pathname, JSON.stringify({ chosen, saved }));
  });
const restore = () => {
  const kept = JSON.parse(remembered((store) => store.getItem(window.location.pathname)) ?? "null");
  if (kept === null) return;
  saved = kept.saved;
  for (const input of document.querySelectorAll("input:not([data-leave])"))
    if (kept.chosen[input.name] === input.value) input.checked = true;
};

const lines = () =>
  sets.flatMap((set) => {
    const input = set.querySelector("input:checked:not([data-leave])");
    return input ? [[...JSON.parse(set.dataset.key), input.value].map(cell).join(",")] : [];
  });

const tell = () => {
  const made = lines();
  const state = made.length === 0 ? "" : made.join("\n") === saved ? ", saved" : ", not saved yet";
  keep();
  document.querySelector("#count").textContent = made.length + " of " + sets.length + " chosen" + state;
};

const save = () => {
  const made = lines();
  const names = [...JSON.parse(button.dataset.columns), "new_label"].map(cell).join(",");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[names, ...made, ""].join("\n")], { type: "text/csv" }));
  // Of two files that label one row, the one whose name sorts last counts: so it is the later one.
  link.download = "labels-" + new Date().toISOString().replaceAll(":", "") + ".csv";
  link.click();
  saved = made.join("\n");
  tell();
};

// A digit chooses a class of the row in which the focus is (0: none), and goes on to the next row.
const choose = (event) => {
  const set = event.target.closest?.("fieldset");
  if (!set || event.ctrlKey || event.altKey || event.metaKey || !/^[0-9]$/.test(event.key)) return;
  const input = set.querySelectorAll("input")[Number(event.key)];
  if (!input) return;
  event.preventDefault();
  input.checked = true;
  const next = sets[sets.indexOf(set) + 1];
  (next ? next.querySelector("input:checked") : button).focus();
  tell();
};

document.addEventListener("change", tell);
document.addEventListener("keydown", choose);
button.addEventListener("click", save);
restore();
window.addEventListener("pageshow", tell);
window.addEventListener("beforeunload", (event) => {
  if (lines().length > 0 && lines().join("\n") !== saved) event.preventDefault();
});
