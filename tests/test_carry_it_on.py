"""The pages that show how to go on from here: their programs run, one after the other, and print what stands below them."""

import re

import matplotlib
import pytest

from fa_core.notebooks import ROOT

TOLERANCE = {"carry_it_on": 0.0, "layers": 4.0}  # percent and degrees: single precision differs between machines
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")
PROGRAM = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.S)


@pytest.mark.parametrize("page", TOLERANCE)
def test_the_programs_of_a_page_run_and_print_what_stands_below_them(page, tmp_path, capsys):
    matplotlib.use("Agg")
    programs, names = PROGRAM.findall((ROOT / "book" / f"{page}.md").read_text(encoding="utf-8")), {}
    assert len(programs) >= 3
    for number, (program, printed) in enumerate(programs):
        file = tmp_path / f"{number}.py"  # where the text of a rule is read
        file.write_text(program, encoding="utf-8")
        exec(compile(program, file, "exec"), names)
        out = capsys.readouterr().out
        assert NUMBER.sub("#", out) == NUMBER.sub("#", printed), program
        for found, shown in zip(NUMBER.findall(out), NUMBER.findall(printed), strict=True):
            assert abs(float(found) - float(shown)) <= TOLERANCE[page], (out, printed)
