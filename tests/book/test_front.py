"""The scorecard, the run status and the introduction, as they are rendered, against what they are made from."""

import re

import pytest

from fa_core import claims, experiments, notebooks, records, verification

EVERY = {v["id"]: v for n in notebooks.names() for v in notebooks.verdicts(notebooks.read(notebooks.path(n)))}
REPORTED = {id: v for id, v in EVERY.items() if "source" not in v}  # of the paper, and not of a later one


def in_words(low: float, high: float) -> str:
    """A bound as the scorecard is to say it."""
    if high == float("inf"):
        return f"at least {low:g}"
    if low == -float("inf"):
        return f"at most {high:g}"
    return f"exactly {low:g}" if low == high else f"{low:g} to {high:g}"


def test_every_column_of_the_scorecard_says_what_its_source_says(page_of):
    page = page_of("book/scorecard")
    rows = page.locator("table.scorecard >> nth=0 >> tr[id]").all()
    assert sorted(row.get_attribute("id") for row in rows) == sorted(claims.ledger())
    for row in rows:
        claim = claims.ledger()[row.get_attribute("id")]
        said = REPORTED[claim.id]
        what, _, paper, ours, bound, verdict = (" ".join(cell.inner_text().split()) for cell in row.locator("td").all())
        assert what == f"{claim.states} more"
        assert paper == (claim.paper or "–")
        assert bound == in_words(*claim.accept)
        judged = f"{claims.MARKS[said['verdict']]} {said['verdict']}"
        assert verdict.startswith(judged)
        why = verdict.removeprefix(judged).strip()
        assert said["why"].startswith(why)
        assert bool(why) == bool(said["why"])
        assert len(why.split()) < 20
        if said["verdict"] == claims.UNTESTED:
            assert ours == "–"
        elif said["kind"] == claims.ESTIMATE:
            value, low, high = (claims.digits(float(v)) for v in (said["value"], *said["interval"]))
            assert re.fullmatch(rf"{re.escape(value)}( %| points|°)? {re.escape(low)} to {re.escape(high)}", ours)
        elif said["kind"] == claims.END:
            low, high = map(float, said["interval"])
            which = "upper" if float(said["value"]) == high else "lower"
            ends = f"{claims.digits(low)} to {claims.digits(high)}"
            assert re.fullmatch(rf"{re.escape(ends)}( %| points|°)? its {which} end is judged", ours)
        else:
            assert re.fullmatch(rf"{re.escape(claims.digits(float(said['value'])))}( %|°)? [a-zP ]+", ours)
        folded = (
            {
                term.inner_text(): entry.inner_text()
                for term, entry in zip(row.locator("dt").all(), row.locator("dd").all(), strict=True)
            }
            if open_details(row)
            else {}
        )
        assert folded["name"] == claim.id
        assert " ".join(folded["measure"].split()) == " ".join(claim.measure.split())
        assert folded.get("depends on", "") == claim.depends
        assert folded.get("added to the ledger", "") == claim.added
        assert folded.get("runs", "0") == str(said["n"])
        assert folded["repeat it"] == f"make refresh NOTEBOOK={claim.notebook}"
        address = row.locator("a.cell").get_attribute("href")
        assert address == f"../notebooks/{claim.notebook}.html#judged-{claim.id}"
        for c in said["also"]:
            assert folded[c["what"]].startswith(claims.digits(float(c["value"])))
            assert folded[c["what"]].endswith(f"bound {in_words(float(c['low']), float(c['high']))}")


def open_details(row) -> bool:
    """Unfold what a row of the scorecard has folded."""
    row.locator("summary").click()
    return row.locator("details").get_attribute("open") is not None


@pytest.mark.parametrize("name", notebooks.names())
def test_the_cell_that_judges_a_claim_can_be_linked_to(name, page_of):
    page = page_of(f"notebooks/{name}")
    for claim in (c for c in claims.ledger().values() if c.notebook == name):
        judged = page.locator(f"[id='judged-{claim.id}']")
        assert judged.count() == 1
        assert f"({claim.id})" in judged.inner_text()


def test_in_the_picture_a_mark_is_on_the_band_exactly_where_its_number_is_in_the_bound(page_of):
    page = page_of("book/scorecard")
    drawn = page.locator("table.scorecard >> nth=0 >> tr[id]").all()

    def span(line, part):
        """From where to where a part of a line goes, in pixels; None where the line has no such part."""
        box = line.locator(f"i.{part}").first.bounding_box() if line.locator(f"i.{part}").count() else None
        return box and (box["x"], box["x"] + box["width"])

    for line in drawn:
        said = REPORTED[line.get_attribute("id")]
        low, high = map(float, said["accept"])
        left, right = span(line, "bound")
        mark = span(line, "ours")
        assert (mark is None) == (said["verdict"] == claims.UNTESTED)
        if mark:
            value, middle = float(said["value"]), sum(mark) / 2
            assert (middle > left - 1) if value >= low else (middle < left + 1), said["id"]
            assert (middle < right + 1) if value <= high else (middle > right - 1), said["id"]
        if mark and said["interval"]:
            begin, end = span(line, "interval")
            ends = [float(v) for v in said["interval"]]
            assert (begin > left - 1.5) if ends[0] >= low else (begin < left + 1.5), said["id"]
            assert (end < right + 1.5) if ends[1] <= high else (end > right - 1.5), said["id"]
            assert begin - 5 <= middle <= end + 5


def test_the_scorecard_is_filtered_by_words_and_by_verdict_and_a_link_to_a_claim_shows_it(page_of):
    page = page_of("book/scorecard")
    table = page.locator("table.scorecard").first
    visible, search = table.locator("tr[id]:visible"), page.locator(".claims-filter input[type=search]").first
    count = page.locator(".claims-filter output").first
    assert visible.count() == len(REPORTED)
    search.fill("Spiking  MNIST")
    assert count.inner_text() == f"{visible.count()} of {len(REPORTED)} claims"
    assert 0 < visible.count() < 6
    assert all({"spiking", "mnist"} <= set(re.findall("[a-z]+", text.lower())) for text in visible.all_text_contents())
    assert table.locator("tbody:visible").count() == 1  # of the other notebooks no heading is left
    search.fill("")
    for verdict in {v["verdict"] for v in REPORTED.values()}:
        box = page.locator(f".claims-filter input[value='{verdict}']").first
        box.uncheck()
        assert visible.count() == sum(v["verdict"] != verdict for v in REPORTED.values())
        box.check()
    search.fill("no claim says this")
    assert visible.count() == 0
    assert page.locator(".claims-none").first.is_visible()
    page.evaluate("location.hash = '#fig2b.angle-shrinks'")
    page.wait_for_function("document.querySelector('.claims-filter input[type=search]').value === ''")
    shown = page.locator("tr[id='fig2b.angle-shrinks']")
    assert shown.is_visible()
    assert shown.locator("details").get_attribute("open") is not None
    box = shown.bounding_box()
    assert 0 < box["y"] < 900


def test_the_introduction_has_a_square_for_every_claim_and_numbers_from_the_notebooks(page_of):
    page = page_of("book/introduction")
    squares = {a.get_attribute("href").split("#")[1]: a.inner_text() for a in page.locator(".evidence a").all()}
    assert squares == {id: claims.MARKS[v["verdict"]] for id, v in REPORTED.items()}
    for link in page.locator("a.judged").all():
        address, id = link.get_attribute("href").split("#")
        assert address == "scorecard.html"
        assert link.inner_text() == f"{claims.MARKS[REPORTED[id]['verdict']]} {REPORTED[id]['verdict']}"
    points = page.locator("section[id='what-was-found'] li")
    assert 5 <= points.count() <= 8
    assert f"{REPORTED['fig3a.feedback-alignment']['value']:.2f}\u00a0% of errors" in points.nth(1).inner_text()


def test_the_status_page_has_every_record_once_and_a_machine_by_its_letter(page_of):
    page = page_of("book/status")
    table = page.locator("table.sortable")
    rows = {cells[0]: cells for cells in (r.split("\t") for r in table.locator("tbody tr").all_inner_texts())}
    stored = {e.name: records.load(e) for e in experiments.registry().values() if records.path(e).exists()}
    assert set(rows) == set(stored)
    machines = [r.split("\t") for r in page.locator("section[id='the-machines'] tbody tr").all_inner_texts()]
    by_letter = {letter: device for letter, device, *_ in machines}
    assert len(set(by_letter.values())) == len(machines)
    assert sum(int(m[2]) for m in machines) == len(stored)
    for name, (_, seeds, machine, minutes, made, commit, _, verified) in rows.items():
        about = stored[name].about
        assert int(seeds) == len(stored[name].experiment.seeds)
        assert by_letter[machine] == about["device"]
        assert float(minutes) == pytest.approx(about["wall_seconds"] / 60, abs=0.051)
        assert about["made"].startswith(made)
        assert about["commit"].startswith(commit)
        assert (verified[0] == "✓") == verification.standing(stored[name]).current
    article = page.locator("article").inner_text()
    assert all(article.count(device) == 1 for device in by_letter.values())
    shown = {
        (r["experiment"], n)
        for n in notebooks.names()
        for r in notebooks.results(notebooks.read(notebooks.path(n)))
        if r["source"] == "record"
    }
    for name, notebook in shown:
        assert table.locator(f"tr:has([id='record-{name}']) a[href='../notebooks/{notebook}.html']").count() == 1


def test_the_records_are_sorted_by_their_heading_and_searched(page_of):
    page = page_of("book/status")
    table, rows = page.locator("table.sortable"), page.locator("table.sortable tbody tr")

    def column(number):
        return [row.split("\t")[number] for row in rows.all_inner_texts()]

    seeds = table.locator("th button", has_text="seeds")
    seeds.click()
    assert [int(s) for s in column(1)] == sorted(map(int, column(1)), reverse=True)
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    seeds.press("Enter")
    assert [int(s) for s in column(1)] == sorted(map(int, column(1)))
    table.locator("th button", has_text="made").click()
    assert column(4) == sorted(column(4))
    page.locator(".book-search input").fill("mnist sparse")
    visible = page.locator("table.sortable tbody tr:visible")
    assert 0 < visible.count() < 10
    assert page.locator(".book-search output").inner_text() == f"{visible.count()} of {rows.count()} records"
    page.locator("a[href='#record-fig4-network']").first.click()
    page.wait_for_function("document.querySelector('.book-search input').value === ''")
    assert page.locator("#record-fig4-network").is_visible()


def test_which_claims_rest_on_which_records_is_on_the_status_page(page_of):
    page = page_of("book/status")
    judged = {id for id, v in EVERY.items() if v["verdict"] != claims.UNTESTED}
    rows = page.locator("table.rests tbody tr")
    named = [a.get_attribute("href").split("#")[1] for a in rows.locator("td:nth-child(1) a").all()]
    assert set(named) <= judged
    assert len(named) == len(set(named)) > 30
    assert f"{len(judged)} claims are judged. {len(judged) - len(named)} of them" in page.locator("article").inner_text()
    for link in rows.locator("td:nth-child(2) a").all():
        assert page.locator(f"[id='{link.get_attribute('href')[1:]}']").count() == 1
    without = re.findall(r"([\w.-]+) \((not run yet|run in the notebook)\)", page.locator("table.rests").inner_text())
    described, recorded = experiments.registry(), experiments.registry(recorded=True)
    assert without
    for name, how in without:
        assert not records.path(described[name]).exists()
        assert (how == "not run yet") == (name in recorded), name
    its = page.locator("table.rests tr", has=page.locator("a[href$='#fig3a.sparse']"))
    assert its.locator("td:nth-child(2)").inner_text() == "mnist-sparse"


def test_the_introduction_counts_the_verdicts(page_of):
    text = page_of("book/introduction").locator("article").inner_text()
    verdicts = [v["verdict"] for v in REPORTED.values()]
    assert f"Of the {len(verdicts)} claims in the ledger: " in text
    for verdict in claims.VERDICTS:
        counted = re.search(rf"(\d+) (?:a )?{verdict}\b(?! on a)", text)
        assert int(counted[1] if counted else 0) == verdicts.count(verdict), verdict


def test_a_link_to_a_function_unfolds_its_module(page_of):
    page = page_of("book/api/networks")
    place = page.locator("[id='fa_core.nn.convert']")
    assert not place.is_visible()
    page.locator("a[href='#fa_core.nn.convert']").first.click()
    assert place.is_visible()
