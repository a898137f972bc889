"""The experiments on what came after 2016, and what their text says of them."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from fa_core import rules
from fa_core.experiments import after, mnist
from fa_core.network import initialise
from fa_core.training import Run


def differing(a, b) -> set[str]:
    """The fields in which two experiments differ."""
    return {f.name for f in dataclasses.fields(a) if getattr(a, f.name) != getattr(b, f.name)}


def test_the_rules_of_a_comparison_differ_in_rule_and_rate_alone_and_share_start_task_and_seeds():
    for runs in (after.SMALL, {rule: e for (start, rule), e in after.DEEP.items() if start == "small"}):
        first, *others = runs.values()
        for other in others:
            assert differing(first, other) <= {"name", "rule", "rate"}
        networks = [initialise(e, (0,)) for e in (first, *others)]
        assert all(np.array_equal(networks[0].W[0], n.W[0]) for n in networks)


def test_the_projection_is_compared_with_the_runs_of_figure_3_at_the_same_settings():
    at_its_end = after.FIG3.examples
    for reference in (mnist.BACKPROP, mnist.FEEDBACK_ALIGNMENT, mnist.SHALLOW):
        assert at_its_end in reference.probes
        assert set(after.FIG3.seeds) <= set(reference.seeds)
        assert differing(after.FIG3, reference) <= {
            "name",
            "rule",
            "feedback",
            "seeds",
            "examples",
            "probes",
            "snapshots",
            "snapshot_runs",
            "snapshot_units",
        }


@pytest.mark.parametrize(
    ("experiment", "left"), [(after.SMALL["Kolen-Pollack"], None), (after.NO_DECAY, 1.0)], ids=["with decay", "without"]
)
def test_by_kolen_and_pollack_decay_and_nothing_else_takes_the_difference_between_b_and_w_away(experiment, left):
    short = experiment.but(examples=1000, probes=(), seeds=(0, 1), dtype="float64")
    run = Run(short, short.seeds)

    def difference():
        return [(b - w.mT).clone() for b, w in zip(run.network.B, run.network.W[1:], strict=True)]

    before, W = difference(), run.network.W[1].clone()
    run.advance()
    share = left or (1 - short.rate * short.weight_decay * short.batch) ** (short.examples / short.batch)
    assert (left is None) == (share < 1)
    for then, now in zip(before, difference(), strict=True):
        np.testing.assert_allclose(now, share * then, rtol=1e-9, atol=1e-12)
    assert not np.allclose(W, run.network.W[1])


def test_a_signal_from_the_small_start_shrinks_about_fourfold_with_each_layer_and_keeps_its_size_from_the_large_one():
    gain = {start: scale * math.sqrt(after.WIDTH / 3) for start, scale in after.STARTS.items()}
    assert 1 / gain["small"] == pytest.approx(4, abs=0.2)
    assert gain["large"] == pytest.approx(1, abs=0.05)
    W = initialise(after.DEEP["small", "backprop"], (0, 1, 2)).W[1:-1]
    assert np.mean([float(w.square().sum(1).mean()) for w in W]) ** 0.5 == pytest.approx(gain["small"], rel=0.05)


def test_the_other_sign_symmetries_have_the_signs_of_W_and_one_size_or_sizes_that_are_drawn_anew():
    short = {"examples": 2000, "probes": (), "seeds": (0, 1)}
    anew = []
    for trials in after.SIGNS_TRIALS.values():
        run = Run(trials[0].but(**short), short["seeds"])
        for _ in range(2):
            run.advance()
            for b, w in zip(run.network.B, run.network.W[1:], strict=True):
                assert torch.equal(b.sign(), w.mT.sign())
            anew.append([b.abs().clone() for b in run.network.B])
    (alike, then), (drawn, redrawn) = anew[:2], anew[2:]
    for sizes in (*alike, *then):
        np.testing.assert_allclose(sizes, sizes[:, :1, :1].expand_as(sizes), rtol=1e-5)
        assert (sizes.mean((-2, -1)) - 0.25).abs().max() < 0.05
    for a, b in zip(drawn, redrawn, strict=True):
        assert (a != b).float().mean() > 0.99


def test_the_rule_that_is_described_without_being_tried_can_be_run_and_is_known_by_the_same_name():
    assert rules.register(after.alike) == after.ALIKE


def test_what_is_changed_to_see_what_of_the_paper_holds_is_one_thing_and_the_same_for_every_rule():
    for (change, rule), e in after.HOLDS.items():
        assert differing(e, after.SMALL[rule]) == {"name", *after.CHANGES[change]}
