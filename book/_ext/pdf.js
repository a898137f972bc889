// The book on one page is made ready for paper: mathematics set, a table of contents in front, and all that is folded
// opened but for code: what a notebook folds of that draws its figures, and is a third of the pages.
"use strict";
async function forPaper() {
  if (window.MathJax?.startup) {
    await MathJax.startup.promise;
    await MathJax.typesetPromise(); // what was left until it would be seen
  }
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  document.querySelectorAll("details.hide.above-input").forEach((drawing) => drawing.remove());
  for (const details of document.querySelectorAll("details")) details.open = true;
  const article = document.querySelector("article");
  document.body.replaceChildren(article);
  article.querySelectorAll("script, .headerlink, button, form, .try-it").forEach((unused) => unused.remove());
  const titles = chapters(article);
  const contents = document.createElement("nav");
  contents.className = "contents-on-paper";
  contents.innerHTML = "<h2>Contents</h2><ol></ol>";
  titles.forEach((title, k) => {
    title.id ||= `chapter-${k}`;
    const line = document.createElement("li");
    line.innerHTML = `<a href="#${title.id}"></a><span></span>`;
    line.firstChild.textContent = title.textContent;
    contents.querySelector("ol").append(line);
  });
  titles[0].after(contents);
  const style = document.createElement("style");
  style.textContent = `
    html, body { background: white; font-size: 10pt; }
    article { max-width: none; padding: 0; }
    h1 { break-before: page; }
    .contents-on-paper { break-after: page; }
    .contents-on-paper h2 { font-size: 1.3rem; }
    .contents-on-paper ol { list-style: none; padding: 0; }
    .contents-on-paper li { display: flex; justify-content: space-between; border-bottom: 1px dotted #999; }
    pre, code { white-space: pre-wrap !important; overflow-wrap: anywhere; }
    figure, tr, .math, .admonition-title { break-inside: avoid; }
    h2, h3, h4 { break-after: avoid; }
    h1, h2, h3, h4 { white-space: pre-wrap; } /* else the outline has no space where the heading has a new line */
    mjx-container svg { max-width: 100%; }
    img, svg { max-width: 100%; height: auto; }
    mjx-container svg { height: revert-layer; }
    * { overflow: visible !important; max-height: none !important; }`;
  document.head.append(style);
  // A link to a page of the book is one to its beginning here.
  for (const link of article.querySelectorAll("a[href]")) {
    const address = link.getAttribute("href");
    if (/^[a-z]+:/.test(address)) continue;
    const page = `document-${address.split("#")[0].replace(/^(\.\.\/)+/, "").replace(/\.html$/, "")}`;
    const places = [decodeURIComponent(address.slice(address.lastIndexOf("#") + 1)), page];
    const there = places.find((place) => document.getElementById(place));
    if (there) link.setAttribute("href", `#${there}`);
    else link.replaceWith(...link.childNodes);
  }
}
// Sphinx puts all pages under the first, so that their titles are headings of its parts: each is a chapter again.
function chapters(article) {
  const level = (heading) => Number(heading.tagName[1]);
  const sections = [...article.querySelectorAll('[id^="document-"] + section')];
  const first = article.querySelector("h1");
  const depth = new Map(sections.map((section) => [section, level(section.querySelector("h1, h2, h3, h4, h5, h6"))]));
  for (const heading of [...article.querySelectorAll("h1, h2, h3, h4, h5, h6")]) {
    let section = heading.parentElement;
    while (section && !depth.has(section)) section = section.parentElement;
    if (!section || depth.get(section) === 1) continue;
    const as = document.createElement(`h${level(heading) - depth.get(section) + 1}`);
    as.append(...heading.childNodes);
    heading.replaceWith(as);
  }
  return [...new Set([first, ...article.querySelectorAll("h1")])];
}
function withNumbers(numbers) {
  document.querySelectorAll(".contents-on-paper li span").forEach((span, k) => { span.textContent = numbers[k] ?? ""; });
}
