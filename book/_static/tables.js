// Tables that a heading sorts and a field searches. Without this script they are as they come, and nothing is missing.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("table.sortable")) {
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
    const form = table.closest(".book-scrolls").previousElementSibling;
    if (!form?.matches("form.book-search")) continue;
    const search = form.querySelector("input"), count = form.querySelector("output");
    const filter = () => {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !wanted.every((word) => row.textContent.toLowerCase().includes(word));
      count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
    };
    // A link to a row shows it, whatever the search hides.
    const arrive = () => {
      const row = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("tr");
      if (!row || !body.contains(row)) return;
      search.value = "";
      filter();
      row.scrollIntoView({ block: "center" });
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", filter);
    window.addEventListener("hashchange", arrive);
    form.hidden = false;
    filter();
    arrive();
  }
});
