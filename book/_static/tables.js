// Tables that a heading sorts, and rows that a form finds by words and by verdict. Without this script all is as it comes,
// and nothing is missing.
"use strict";

// A search field, and boxes for the verdicts where there are some, hide the rows that do not fit.
function findable(form, rows, said = () => {}) {
  const search = form.querySelector("input[type=search]"), count = form.querySelector("output");
  const boxes = [...form.querySelectorAll("input[type=checkbox]")];
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  function filter() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    for (const row of rows) {
      row.hidden = (boxes.length > 0 && !verdicts.has(row.dataset.verdict)) ||
        !wanted.every((word) => words.get(row).includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    count.textContent = `${shown} of ${rows.length} ${form.dataset.of}`;
    said(shown);
  }

  // A link to a row shows it, whatever is hidden.
  function arrive() {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("tr");
    if (!rows.includes(row)) return;
    if (row.hidden) {
      search.value = "";
      for (const box of boxes) box.checked = true;
      filter();
    }
    for (const folded of row.querySelectorAll("details")) folded.open = true;
    row.scrollIntoView({ block: "center" });
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  window.addEventListener("hashchange", arrive);
  form.hidden = false;
  filter();
  arrive();
}

function sortable(table) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const text = (row, column) => row.cells[column].textContent;
  const number = (row, column) => parseFloat(text(row, column));
  heads.forEach((head, column) => {
    const numeric = rows.every((row) => /^-?[0-9.]+$/.test(text(row, column)));
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" || (numeric && !head.hasAttribute("aria-sort"));
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => (down ? -1 : 1) * (numeric ? number(a, column) - number(b, column)
        : text(a, column).localeCompare(text(b, column))));
      body.append(...rows);
    });
  });
}

document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("table.sortable")) {
    sortable(table);
    const form = table.closest(".book-scrolls").previousElementSibling;
    if (form?.matches("form.book-search")) findable(form, [...table.tBodies[0].rows]);
  }
  for (const form of document.querySelectorAll(".claims-filter")) {
    const beside = (what) => form.parentElement.querySelector(`:scope > ${what}`);
    const bodies = [...beside("table.scorecard").tBodies], none = beside(".claims-none");
    findable(form, bodies.flatMap((body) => [...body.querySelectorAll("tr[id]")]), (shown) => {
      for (const body of bodies) body.hidden = !body.querySelector("tr[id]:not([hidden])");
      none.hidden = shown > 0;
    });
  }
});
