"use strict";
const head = document.querySelector("#save").dataset;
const chosen = () => [...document.querySelectorAll("input:checked")];
const cell = (text) => '"' + String(text).replaceAll('"', '""') + '"';
document.addEventListener("change", () => {
  document.querySelector("#count").textContent = chosen().length + " chosen";
});
document.querySelector("#save").addEventListener("click", () => {
  const lines = chosen().map((input) => {
    const key = JSON.parse(input.closest("fieldset").dataset.key);
    return [...key, input.value].map(cell).join(",");
  });
  const names = [...JSON.parse(head.columns), "new_label"].map(cell).join(",");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[names, ...lines, ""].join("\n")], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
});
