// The scorecard's filter: by words and by verdict. Without this script every claim is shown, and nothing is missing.
"use strict";
document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".claims-filter").forEach((form) => {
  const search = form.querySelector("input[type=search]");
  const boxes = [...form.querySelectorAll("input[type=checkbox]")];
  const table = form.parentElement.querySelector(":scope > table.scorecard");
  const bodies = [...table.tBodies];
  const rows = bodies.flatMap((body) => [...body.querySelectorAll("tr[id]")]);
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const none = form.parentElement.querySelector(":scope > .claims-none");

  function filter() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    for (const row of rows) {
      row.hidden = !(verdicts.has(row.dataset.verdict) && wanted.every((word) => words.get(row).includes(word)));
    }
    for (const body of bodies) body.hidden = body.querySelectorAll("tr[id]:not([hidden])").length === 0;
    const shown = rows.filter((row) => !row.hidden).length;
    form.querySelector("output").textContent = `${shown} of ${rows.length} claims`;
    none.hidden = shown > 0;
  }

  // A link to a claim shows it, whatever the filter hides.
  function arrive() {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!rows.includes(row)) return;
    if (row.hidden) {
      search.value = "";
      for (const box of boxes) box.checked = true;
      filter();
    }
    row.querySelector("details").open = true;
    row.scrollIntoView({ block: "center" });
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  window.addEventListener("hashchange", arrive);
  form.hidden = false;
  filter();
  arrive();
}));
