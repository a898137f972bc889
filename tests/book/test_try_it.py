"""The network that learns in the page: its mathematics against `fa_core.linear`, and the page as a reader uses it."""

import re

import numpy as np
import pytest

from fa_core import linear, notebooks

SCRIPT = notebooks.ROOT / "book" / "_static" / "try_it.js"
LEARN = """([T, W0, W, B, examples, probes, rule, rate, at]) => {
  const network = new TryIt.Network(T, W0, W, B), nse = [network.nse()], measured = [network.alignment(probes)];
  examples.forEach((x, t) => {
    network.learn(x, rule, rate);
    nse.push(network.nse());
    if (at.includes(t + 1)) measured.push(network.alignment(probes));
  });
  return [nse, measured.map((m) => m.angle), measured.map((m) => m.positive)];
}"""


@pytest.fixture
def script(browser):
    """An empty page that has the script."""
    page = browser.new_page()
    page.add_script_tag(path=str(SCRIPT))
    yield page
    page.close()


@pytest.mark.parametrize("rule", ["feedback alignment", "backprop", "shallow"])
def test_a_thousand_steps_in_the_page_are_those_of_the_reference(rule, script):
    steps, every, rate = 1000, 250, 0.008
    start, x = linear.initialise((3,), init=0.2), linear.draw((3,), "examples", (steps, 30))[0]
    probes = linear.draw((3,), "probes", (linear.PROBED, 30))[0]
    nse, angle, positive = script.evaluate(
        LEARN,
        [
            *(M[0].tolist() for M in (start.T, start.W0, start.W, start.B)),
            x.tolist(),
            probes.tolist(),
            rule,
            rate,
            list(range(every, steps + 1, every)),
        ],
    )
    reference = linear.learn(rule, rate, (3,), steps, init=0.2, probe_every=every)
    np.testing.assert_allclose(nse, reference.nse[0], rtol=1e-9)
    np.testing.assert_allclose(angle, reference.angle[0], rtol=1e-9)
    np.testing.assert_allclose(positive, reference.positive[0], atol=1e-12)
    if rule != "shallow":
        assert nse[-1] < 1e-2


def shown(page, name):
    return page.locator(f".try-it [data-{name}]").inner_text()


def error(page):
    if shown(page, "nse") in ("∞", "not defined"):
        return float("inf" if shown(page, "nse") == "∞" else "nan")
    digits, power = re.fullmatch(r"(?:([\d.]+)(?: × |$))?(?:10([⁻⁰-⁹¹²³]+))?", shown(page, "nse")).groups()
    return float(digits or 1) * 10.0 ** int((power or "0").translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")))


def test_numbers_are_written_as_one_writes_them(script):
    numbers = [0, 1, 0.9966, 0.53, 12.34, 0.00104, 0.001, 3.24e-5, 1e-5, 9.99e-4, 98765.4]
    said = script.evaluate("(numbers) => numbers.map(TryIt.written)", numbers)
    assert said == ["0", "1", "1", "0.53", "12", "0.001", "0.001", "3.2 × 10⁻⁵", "10⁻⁵", "0.001", "9.9 × 10⁴"]
    assert script.evaluate("[TryIt.written(Infinity), TryIt.written(NaN)]") == ["∞", "not defined"]


def test_it_starts_pauses_and_begins_again_by_keyboard_on_a_phone(page_of):
    page = page_of("book/try_it", width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    before = error(page)
    page.locator("[name=play]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("Number(document.querySelector('[data-seen]').textContent) >= 300")
    page.keyboard.press("Enter")
    assert page.locator("[name=play]").inner_text() == "Start"
    seen = shown(page, "seen")
    page.wait_for_timeout(200)
    assert shown(page, "seen") == seen, "it goes on when paused"
    assert error(page) < before
    page.locator("[name=another]").focus()
    page.keyboard.press("Space")
    assert shown(page, "seen") == "0"
    assert shown(page, "said") == "Seed 2, before learning."
    assert page.complaints == []


def run(page, hundreds, **choices):
    for name, value in choices.items():
        page.locator(f".try-it [name={name}]").select_option(value)
    for _ in range(hundreds):
        page.locator("[name=step]").click()
    return error(page)


def test_the_same_seed_gives_the_same_run_and_another_another(page_of):
    page = page_of("book/try_it")
    first = run(page, 3)
    page.locator("[name=restart]").click()
    assert run(page, 3) == first
    page.locator("[name=another]").click()
    assert run(page, 3) != first


def test_what_the_page_says_to_look_for_is_there(page_of):
    page = page_of("book/try_it")
    assert 80 < float(shown(page, "angle").rstrip("°")) < 100
    learned = run(page, 15)
    assert learned < 0.01
    assert float(shown(page, "angle").rstrip("°")) < 45
    assert run(page, 15, rule="shallow") > 10 * learned
    assert run(page, 15, rule="feedback alignment", broken="zero") > 10 * learned
    assert "not defined" in shown(page, "said")
    page.locator("[name=restart]").click()
    assert not run(page, 15, broken="redrawn") < 10 * learned  # it may run off, to infinity or NaN
    page.locator("[name=restart]").click()
    assert run(page, 15, broken="turned") < 0.05, "-B from the start is as good as B"
    page.locator("[name=broken]").select_option("")
    page.locator("[name=restart]").click()
    page.locator("[name=rate]").fill("0.004")
    before = run(page, 10)
    assert run(page, 2, broken="turned") > before
    assert float(shown(page, "angle").rstrip("°")) > 90
    assert max(run(page, 1) for _ in range(20)) > 0.5, "most of what was learned is lost"
    assert run(page, 38) < 1e-3, "W turns round"
    assert float(shown(page, "angle").rstrip("°")) < 45
    page.locator("[name=broken]").select_option("")
    page.locator("[name=restart]").click()
    page.locator("[name=rate]").fill("0.008")
    run(page, 5)
    assert not run(page, 10, broken="turned") < 1
    assert "diverged" in shown(page, "said")


def test_who_asks_for_less_motion_sees_a_new_state_once_a_second(browser, html):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto((html / "book" / "try_it.html").as_uri())
    page.locator("[name=play]").click()
    page.wait_for_timeout(500)
    assert shown(page, "seen") == "500"
    context.close()


def test_a_network_that_diverges_says_so_and_stops(page_of):
    page = page_of("book/try_it")
    page.evaluate("document.querySelector('[name=rate]').max = 1; document.querySelector('[name=rate]').value = 1")
    run(page, 1)
    assert "diverged at example" in shown(page, "said")
    assert page.complaints == []
