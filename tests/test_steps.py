"""The step that trains and the probe that measures, as `Run` takes them, by hand and example by example."""

import numpy as np
import pytest

from fa_core.draws import generator
from fa_core.rules import RULES
from fa_core.training import PROBED, Run
from tests.helpers import tanh_experiment

SMALL = tanh_experiment(
    sizes=(6, 5, 4, 3),
    batch=2,
    examples=6,
    seeds=(3, 8),
    probes=(0, 6),
    schedule=((0, 1.0),),
    rate=0.05,
    density=None,
    feedback_density=None,
    momentum=0.0,
    weight_decay=0.1,
    biases=0.2,
    output="tanh",
    snapshots=(),
    traced=(),
)


def signals(rule, e, slopes, W, B):
    """What arrives at each layer from one example's error, outputs last; W and B of the layers above the first."""
    if rule == "direct feedback alignment":
        return [*(e @ b for b in B), e]
    if rule == "direct random target projection":
        return [*(sum(b[k] for k in range(len(e)) if e[k] > 0) + 0 * b[0] for b in B), e]
    deltas = [e]
    for layer in range(len(W) - 1, -1, -1):
        gated = rule in ("backprop", "pseudobackprop", "feedback alignment, gated", "sign symmetry", "Kolen-Pollack") or (
            rule == "feedback alignment, outputs gated" and layer == len(W) - 1
        )
        sent = deltas[0] * slopes[layer + 1] if gated else deltas[0]
        down = {"backprop": W[layer].T, "pseudobackprop": np.linalg.pinv(W[layer])}.get(rule, B[layer])
        deltas.insert(0, sent @ down)
    return deltas


def numpy(arrays, run):
    return [a[run].numpy().copy() for a in arrays]


@pytest.mark.parametrize("dropout", [(), (0.2, 0.5, 0.4)], ids=["all units", "dropout"])
@pytest.mark.parametrize("rule", RULES)
def test_a_run_takes_the_steps_that_the_equations_say(rule, dropout):
    experiment = SMALL.but(rule=rule, dropout=dropout)
    run, source = Run(experiment, experiment.seeds), Run(experiment, experiment.seeds)
    source.task.next_chunk()
    draws = [generator(s, "dropout") for s in experiment.seeds]
    kept = [source.network.draw_kept(draws, 2) if dropout else [None] * 4 for _ in range(3)]
    share = [1 - p for p in dropout or (0,) * 3] + [1]
    run.advance()
    for r in range(2):
        W, b, B = numpy(source.network.W, r), numpy(source.network.b, r), numpy(source.network.B, r)
        for step, keep in enumerate(kept):
            dW, db = [-2 * 0.1 * w for w in W], [-2 * 0.1 * v[0] for v in b]  # decay, of either example
            dB = [-2 * 0.1 * v for v in B]
            x, target = (a[r].numpy() for a in source.task.batch(2 * step, 2))
            for n in range(2):
                there = [1.0 if k is None else k[r, n].numpy() / s for k, s in zip(keep, share, strict=True)]
                h, slopes = [x[n] * there[0]], []
                for layer in range(3):
                    y = np.tanh(h[-1] @ W[layer] + b[layer][0])
                    h.append(y * there[layer + 1])
                    slopes.append((1 - y * y) * there[layer + 1])
                for layer, delta in enumerate(signals(rule, target[n] - h[-1], slopes, W[1:], B)):
                    if rule == "shallow" and layer < 2:
                        dW[layer], db[layer] = 0, 0  # neither learns nor decays
                        continue
                    dW[layer] = dW[layer] + np.outer(h[layer], delta * slopes[layer])
                    if layer and rule == "Kolen-Pollack":
                        dB[layer - 1] = dB[layer - 1] + np.outer(delta * slopes[layer], h[layer])
                    db[layer] = db[layer] + delta * slopes[layer]
            W = [w + 0.05 * d for w, d in zip(W, dW, strict=True)]
            b = [v + 0.05 * d for v, d in zip(b, db, strict=True)]
            if rule == "Kolen-Pollack":
                B = [v + 0.05 * d for v, d in zip(B, dB, strict=True)]
            elif rule == "sign symmetry":
                B = [np.abs(v) * np.sign(w.T) for v, w in zip(B, W[1:], strict=True)]
        for ours, wanted in zip(
            numpy(run.network.W, r) + numpy(run.network.b, r) + numpy(run.network.B, r), W + b + B, strict=True
        ):
            np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_probe_measures_the_signals_of_its_rule_on_the_test_examples(rule):
    run = Run(SMALL.but(rule=rule), SMALL.seeds)
    run.advance()
    probed = run.probed[-1]
    for r in range(2):
        W, b, B = (numpy(part, r) for part in (run.network.W, run.network.b, run.network.B))
        sums, counts, positive, loss = np.zeros(2), np.zeros(2), np.zeros(2), 0.0
        for x, target in zip(run.task.test_x[r].numpy(), run.task.test_y[r].numpy(), strict=True):
            h = [x]
            for layer in range(3):
                h.append(np.tanh(h[-1] @ W[layer] + b[layer][0]))
            e, slopes = target - h[-1], [1 - a * a for a in h[1:]]
            loss += e @ e / 2
            # A rule without B is measured by what B would send.
            sent = "feedback alignment" if rule in ("backprop", "pseudobackprop", "shallow") else rule
            ours = signals(sent, e, slopes, W[1:], B)
            for layer, other in enumerate(signals("backprop", e, slopes, W[1:], B)[:2]):
                if not ours[layer].any():  # a target without a positive error has no projection
                    continue
                product = ours[layer] @ other
                counts[layer] += 1
                cosine = product / np.linalg.norm(ours[layer]) / np.linalg.norm(other)
                sums[layer] += np.degrees(np.arccos(cosine))
                positive[layer] += product > 0
        count = len(run.task.test_x[r])
        assert count == PROBED
        assert probed["loss"][r] == pytest.approx(loss / count)
        assert probed["angle"][r] == pytest.approx(sums / counts, abs=1e-5)
        assert probed["positive"][r] == pytest.approx(positive / count)
        for layer in range(2):
            opposite = W[1] @ W[2] if layer == 0 and rule.startswith("direct") else W[layer + 1]
            w, v = opposite.ravel(), B[layer].T.ravel()
            angle = np.degrees(np.arccos(w @ v / np.linalg.norm(w) / np.linalg.norm(v)))
            assert probed["weight angle"][r, layer] == pytest.approx(angle, abs=1e-5)
