#!/usr/bin/env bash
# Chromium 153 (package @sparticuz/chromium 153.0.0; the same in Debian's 156), print to PDF with an outline: where a heading
# takes more than one line on paper, its entry in the outline has no space where the line ends, so that two words become one.
#
# Wanted: the heading's text, as `textContent` gives it. Seen, of a heading in four lines: "one heading of quite afew words that
# is toolong to stand in a singleline of a page". With `white-space: pre-wrap` on the heading, under which the space at the end
# of a line is kept, the entry is whole.
#
# What this does: a page with one long heading, in large letters, is printed twice, the second time with pre-wrap; the titles in
# the two outlines are compared with the heading. It exits with 0 where what is seen is as said above, and with 1 where it has
# changed. Wants node, npm, Python and, on Linux, the libraries that Chromium itself wants.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-fund --no-audit @sparticuz/chromium@153.0.0 puppeteer-core@25.16.0
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check pypdf==7.1.1
cat > print.mjs <<'JS'
import chromium from "@sparticuz/chromium";
import puppeteer from "puppeteer-core";
import { writeFileSync } from "node:fs";
const browser = await puppeteer.launch({ args: chromium.args, executablePath: await chromium.executablePath(), headless: "shell" });
for (const space of ["normal", "pre-wrap"]) {
  const page = await browser.newPage();
  const words = "one heading of quite a few words that is too long to stand in a single line of a page";
  await page.setContent(`<h1 style="font-size: 40pt; white-space: ${space}">${words}</h1><p>Text.</p>`);
  writeFileSync(`${space}.pdf`, await page.pdf({ format: "A4", outline: true, tagged: true }));
  writeFileSync("heading.txt", await page.evaluate(() => document.querySelector("h1").textContent));
}
console.log(await browser.version());
await browser.close();
JS
node print.mjs
cat > seen.py <<'PYTHON'
import sys

from pypdf import PdfReader

heading = open("heading.txt").read()
titles = {space: PdfReader(f"{space}.pdf").outline[0].title for space in ("normal", "pre-wrap")}
for space, title in titles.items():
    print(f"white-space: {space}: {title!r}")
glued = titles["normal"] != heading and titles["normal"].replace(" ", "") == heading.replace(" ", "")
sys.exit(not (glued and titles["pre-wrap"] == heading))
PYTHON
env/bin/python seen.py
