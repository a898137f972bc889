// What is wider than its place can be scrolled there, by the keyboard too, and says so; nothing else is a tab stop.
// Links lead into folded parts, and paper has everything open and light. Without this script nothing is missing.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  // The theme's arrows that open a part of the contents have no name.
  for (const arrow of document.querySelectorAll("summary:has(> .toctree-toggle)")) {
    arrow.setAttribute("aria-label", `Pages under ${arrow.closest("li").querySelector("a").textContent.trim()}`);
  }

  const places = "pre, .cell_output .output, .pst-scrollable-table-container, .wide, div.math mjx-container, span.math, " +
    "article figure .picture";

  function mark() {
    for (const place of document.querySelectorAll(`:is(${places}):is(article *)`)) {
      const wide = place.scrollWidth > place.clientWidth + 2 && place.clientWidth > 0 &&
        getComputedStyle(place).overflowX !== "visible";
      // The theme sets and takes tab stops of its own.
      if (wide === place.classList.contains("scrolls") && (wide ? place.tabIndex === 0 : !place.hasAttribute("tabindex"))) continue;
      place.classList.toggle("scrolls", wide);
      if (wide) {
        place.tabIndex = 0;
        place.setAttribute("role", "group");
        place.setAttribute("aria-label", "wider than the page: scrolls sideways");
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) place.removeAttribute(name);
      }
    }
  }

  // Long tables are stops of the tabulator of their own.
  function markTables() {
    for (const table of document.querySelectorAll(".book-scrolls")) {
      table.classList.toggle("scrolls", table.scrollWidth > table.clientWidth + 2);
    }
  }

  // Formulas in the text scroll where they are wider than the line, and only there.
  function fit() {
    for (const formula of document.querySelectorAll("article span.math")) {
      const set = formula.querySelector("mjx-container");
      formula.classList.toggle("wide-formula", !!set && set.getBoundingClientRect().width > formula.parentElement.clientWidth);
    }
    mark();
    markTables();
  }

  let waiting;
  function soon() {
    clearTimeout(waiting);
    waiting = setTimeout(fit, 60);
  }
  window.addEventListener("resize", soon);
  document.addEventListener("toggle", soon, true);
  window.addEventListener("load", () => {
    fit();
    if (window.MathJax && MathJax.startup && MathJax.startup.promise) MathJax.startup.promise.then(fit);
    arrive();
  });

  function arrive() {
    const to = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = to && to.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    if (to) to.scrollIntoView();
  }
  window.addEventListener("hashchange", arrive);

  // On paper.
  let before = null;
  matchMedia("print").addEventListener("change", (paper) => {
    const root = document.documentElement;
    if (paper.matches && !before) {
      before = { theme: root.dataset.theme, closed: [...document.querySelectorAll("article details:not([open])")] };
      for (const part of before.closed) part.open = true;
      root.dataset.theme = "light";
    } else if (!paper.matches && before) {
      for (const part of before.closed) part.open = false;
      root.dataset.theme = before.theme;
      before = null;
    }
  });
});
