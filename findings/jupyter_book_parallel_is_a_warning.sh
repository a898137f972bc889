#!/usr/bin/env bash
# jupyter-book 1.0.4.post1 (Sphinx 7.4.7): a book cannot be built in parallel with warnings as errors. `sphinx-build -j 2 -W` on what
# `jupyter-book config sphinx` wrote fails on a book without a fault, by a warning that no page has caused: an extension that
# every book gets, sphinx_multitoc_numbering 0.1.3, does not say whether pages may be read in parallel.
#
# Wanted: two readers; or one, and no warning that counts.
# Seen: "doing serial read", for the whole book, and exit status 1; with -j 1 the same book passes. `jupyter-book build` itself has
# no option for jobs.
#
# What this does: a book of seven pages of plain text, built with -j 1 and -j 2, with -W. It exits with 0 where what is seen is as
# said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check jupyter-book==1.0.4.post1 sphinx==7.4.7 sphinx-multitoc-numbering==0.1.3
cd "$folder"
mkdir book
{ echo "format: jb-book"; echo "root: page0"; echo "chapters:"; for n in 1 2 3 4 5 6; do echo "- file: page$n"; done; } > book/_toc.yml
printf 'title: Seven pages\nexecute:\n  execute_notebooks: "off"\n' > book/_config.yml
for n in 0 1 2 3 4 5 6; do printf '# Page %s\n\nSome text.\n' "$n" > "book/page$n.md"; done
PATH="$folder/env/bin:$PATH" jupyter-book config sphinx book > config.log 2>&1
status=()
for jobs in 1 2; do
  code=0
  env/bin/sphinx-build -q -W --keep-going -j "$jobs" -b html book "out$jobs" > "log$jobs" 2>&1 || code=$?
  status+=("$code")
done
jobs_option=$(env/bin/jupyter-book build --help | grep -c -- --jobs || true)
echo "exit status with -j 1: ${status[0]}; with -j 2: ${status[1]}; options for jobs of jupyter-book build: $jobs_option"
grep -E "parallel reading|serial read" log2 | sed 's/\x1b\[[0-9;]*m//g' || true
test "${status[*]}" = "0 1" && test "$jobs_option" = 0 && grep -q "sphinx_multitoc_numbering extension does not declare" log2 \
  && grep -q "doing serial read" log2
