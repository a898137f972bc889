"""Experiments are data: named by a digest, refused when they cannot be run, shown as a table, found by name."""

import dataclasses
import json
import math
import re
import reprlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fa_core import CONVENTIONS, experiments
from fa_core.experiments import Elastic, Experiment, Fields, Plateau, Stages

ROOT = Path(__file__).parents[1]
PLAIN = Experiment(
    name="plain",
    task="linear",
    sizes=(12, 9, 7, 4),
    rule="feedback alignment",
    rate=0.002,
    examples=3000,
    seeds=(3, 4, 5),
    weights=0.3,
    feedback=0.5,
    batch=10,
    schedule=((0, 0.5), (500, 1.0)),
)


# ---- the digest


def test_the_digest_of_an_experiment_is_the_same_on_every_machine_and_in_every_version():
    assert PLAIN.digest == "1e2b1789755a"


def test_the_records_of_the_paper_stay_found():
    # Changing one of these throws hours of computation away.
    assert experiments.find("mnist-backprop").digest == "cbb65cdc5299"
    assert experiments.find("mnist-feedback-alignment").digest == "14872da3d059"


def test_every_record_there_is_is_of_an_experiment_of_that_name_and_digest():
    known = {f"{e.name}-{e.digest}" for e in experiments.registry().values()}
    there = {file.stem for file in (ROOT / "records").glob("*.npz")}
    assert len(there) > 400
    assert there <= known


def test_the_digest_does_not_depend_on_the_name():
    assert PLAIN.but(name="other").digest == PLAIN.digest


CHANGES = {
    "task": "quadratic",
    "sizes": (12, 9, 8, 4),
    "rule": "backprop",
    "rate": 0.0020001,
    "examples": 3010,
    "seeds": (3, 4, 6),
    "weights": 0.31,
    "feedback": 0.51,
    "biases": 0.0,
    "distribution": "normal",
    "hidden": "tanh",
    "output": "linear",
    "batch": 20,
    "schedule": ((0, 0.5), (501, 1.0)),
    "momentum": 0.9,
    "weight_decay": 1e-6,
    "density": (1.0, 0.5, 1.0),
    "feedback_density": (1.0, 0.5),
    "redraw_feedback": True,
    "target": 0.5,
    "centred": True,
    "switch": ((100, "backprop"),),
    "given": (("B1", (0.0,) * 63),),
    "probes": (0, 3000),
    "snapshots": ("W0",),
    "snapshot_runs": 1,
    "snapshot_units": 5,
    "features": 3,
    "traced": ("W1",),
    "dtype": "float64",
    "targets": (-0.9, 0.9),
    "dropout": (0.2, 0.5, 0.0),
    "products": "bfloat16",
}
# These come with a task of images alone.
DIGITS = PLAIN.but(task="mnist", sizes=(784, 9, 10), weights=0.1)
DIGITS_CHANGES = {"plateau": (0.05, 2), "distort": (6.0, 36.0), "held_out": 100}


def test_the_digest_changes_with_every_other_field():
    # A teacher comes with its task alone, and has a test of its own.
    assert CHANGES.keys() == (
        {f.name for f in dataclasses.fields(Experiment)} - {"name", "teacher", "fields", "stages"} - DIGITS_CHANGES.keys()
    )
    assert len({DIGITS.digest, *(DIGITS.but(**{k: v}).digest for k, v in DIGITS_CHANGES.items())}) == 4
    staged = [DIGITS.but(held_out=100, stages=Stages(*stages)) for stages in ((2, 5), (1, 5), (2, 4), (2, 5, 0.1))]
    assert len({DIGITS.but(held_out=100).digest, *(e.digest for e in staged)}) == 5
    fields = DIGITS.but(sizes=(784, 4 * 23**2, 10), fields=(4, 6, 28))
    assert fields.digest != DIGITS.but(sizes=fields.sizes).digest
    taught = PLAIN.but(task="teacher", teacher=(12, 5, 4))
    assert taught.digest != taught.but(teacher=(12, 6, 4)).digest
    digests = {field: PLAIN.but(**{field: value}).digest for field, value in CHANGES.items()}
    assert len({PLAIN.digest, *digests.values()}) == 1 + len(CHANGES), digests


def test_a_field_added_later_leaves_every_digest_as_it_is():
    @dataclass(frozen=True, kw_only=True)
    class Later(Experiment):
        invented: float = 0.0

    same = {f.name: getattr(PLAIN, f.name) for f in dataclasses.fields(PLAIN)}
    assert Later(**same).digest == PLAIN.digest
    assert Later(**same, invented=1.0).digest != PLAIN.digest


@pytest.mark.parametrize(
    "experiment",
    [PLAIN, *(PLAIN.but(**{k: v}) for k, v in CHANGES.items()), *experiments.registry().values()],
    ids=lambda e: e.digest,
)
def test_the_essence_is_what_json_gives_back_and_makes_the_same_experiment_again(experiment):
    essence = experiment.essence()
    assert json.loads(json.dumps(essence)) == essence
    assert "name" not in essence

    def tuples(value):
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    assert type(experiment)(name=experiment.name, **{k: tuples(v) for k, v in essence.items()}) == experiment


# ---- what cannot be run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "magic"}, "unknown rule 'magic'; there are: backprop, feedback alignment"),
        ({"task": "cifar"}, "unknown task 'cifar'; there are: mnist, mnist validation, backgrounds, .*, xor, linear"),
        ({"hidden": "step"}, "unknown hidden 'step'; there are: logistic, tanh"),
        ({"output": "step"}, "unknown output 'step'; there are: logistic, tanh"),
        ({"distribution": "cauchy"}, "unknown distribution 'cauchy'; there are: uniform, normal"),
        ({"dtype": "float16"}, "unknown dtype 'float16'; there are: float32, float64"),
        ({"sizes": (12,)}, r"sizes \(12,\): a network has at least two layers"),
        ({"weights": (0.1, 0.2)}, r"weights has 2 values, the network \(12, 9, 7, 4\) wants 3"),
        ({"density": (0.5,)}, "density has 1 values, the network .* wants 3"),
        ({"feedback": (0.1, 0.2, 0.3)}, "feedback has 3 values, the network .* wants 2"),
        ({"feedback_density": (0.5,)}, "feedback_density has 1 values, the network .* wants 2"),
        ({"seeds": ()}, r"seeds must be one or more different numbers, got \(\)"),
        ({"seeds": (1, 2, 1)}, r"seeds must be one or more different numbers, got \(1, 2, 1\)"),
        ({"batch": 0}, "batch wants a whole number of 1 or more; got 0"),
        ({"batch": 7}, r"examples \(3000\) must be a multiple of batch \(7\)"),
        ({"probes": (0, 15)}, r"probes must be multiples of batch \(10\) between 0 and 3000"),
        ({"probes": (-10, 0)}, r"probes wants a tuple of each a whole number of 0 or more; got \(-10, 0\)"),
        ({"probes": (0, 3010)}, "probes must be multiples"),
        ({"probes": (100, 0)}, "probes must be in increasing order, each once"),
        ({"probes": (0, 100, 100)}, "probes must be in increasing order, each once"),
        ({"features": 13}, "features wants a number of singular vectors of W0, 0 to 9, got 13"),
        ({"snapshots": ("W3",)}, "has no array 'W3'; there are: W0, W1, W2, b0, b1, b2, B1, B2"),
        ({"traced": ("B0",)}, "has no array 'B0'; there are: W0, W1, W2"),
        ({"given": (("w1", (0.0,)),)}, r"given w1 with 1 values: there are W0 \(108\)"),
        ({"schedule": ((10, 1.0),)}, "schedule must begin at example 0 and increase"),
        ({"schedule": ((0, 1.0), (500, 0.5), (100, 0.1))}, "schedule must begin at example 0 and increase"),
        ({"schedule": ((0, (1.0, 0.0)),)}, r"schedule has 2 factors, the network \(12, 9, 7, 4\) wants 1 or 3"),
        ({"switch": ((100, "magic"),)}, "unknown rule 'magic'; there are: backprop"),
        ({"switch": ((105, "backprop"),)}, "must name multiples of batch"),
        ({"redraw_feedback": (5,)}, "must name multiples of batch"),
        ({"task": "teacher"}, r"task 'teacher' with teacher \(\): the task 'teacher', and no other, wants one"),
        ({"teacher": (12, 5, 4)}, "task 'linear' with teacher .*: the task 'teacher', and no other, wants one"),
        ({"task": "teacher", "teacher": (12, 5, 3)}, "must agree in inputs and outputs"),
        ({"dropout": (0.5,)}, r"dropout wants a share .* for each layer of W, 3, got \(0.5,\)"),
        ({"dropout": (0.5, 0.5, 1.0)}, "dropout wants a tuple of each a finite number, 0 or more and below 1; got"),
        ({"fields": (6, 6, 28)}, "fields .* want 784 inputs and 3174 units in the first hidden layer"),
        ({"sizes": (4, 1, 8, 4), "fields": (1, 2, 2), "density": (0.5, 1.0, 1.0)}, "give density or fields"),
        ({"plateau": (0.05, 2)}, "plateau and stages go by epochs, which task 'linear' has not"),
        ({"plateau": (0.05,)}, r"plateau wants Plateau\(share, times\); got \(0.05,\)"),
        ({"stages": Stages(2, 5)}, "plateau and stages go by epochs, which task 'linear' has not"),
        (
            {"task": "mnist", "sizes": (784, 9, 7, 10), "stages": Stages(2, 5)},
            "give held_out, how many training examples of 'mnist' are not learned from",
        ),
        (
            {"task": "xor", "sizes": (2, 9, 7, 1), "held_out": 9},
            "held_out wants a number of training examples of a data set, got 9 for task 'xor'",
        ),
        (
            {"task": "timit", "sizes": (39, 9, 7, 6), "held_out": 9, "stages": Stages(2, 5), "plateau": (0.1, 2)},
            "give plateau or stages",
        ),
        ({"held_out": 100}, "held_out wants a number of training examples of a data set, got 100 for task 'linear'"),
        ({"task": "mnist", "held_out": -1}, "held_out wants a whole number of 0 or more; got -1"),
        ({"switch": ((100, "backprop"), (50, "shallow"))}, "switch must name multiples .* in increasing order, each once"),
        ({"switch": ((0, "backprop"),)}, "switch wants .* a whole number of 1 or more"),
        ({"switch": ((3000, "backprop"),)}, "switch at example 3,000 would never come: there are 3,000"),
        ({"redraw_feedback": (100, 3000)}, "redraw_feedback at example 3,000 would never come: there are 3,000"),
        ({"schedule": ((0, 1.0), (3000, 0.5))}, "schedule at example 3,000 would never come: there are 3,000"),
        ({"examples": 500, "schedule": PLAIN.schedule}, "schedule at example 500 would never come: there are 500"),
        ({"task": "xor"}, r"task 'xor' wants 2 inputs and 1 output, the network \(12, 9, 7, 4\) has others"),
        ({"redraw_feedback": (20, 10)}, "redraw_feedback must name multiples of batch .* in increasing order"),
        ({"schedule": ((0, 1.0), (500, 0.5), (500, 0.1))}, "schedule must begin at example 0 and increase"),
        ({"weight_decay": 60.0}, "weight_decay 60 takes more than all of W away at a step: .* is 1.2, wanted 1 or less"),
        ({"distort": (6.0, 36.0)}, "distort is for MNIST's images, not for task 'linear'"),
        ({"products": "float16"}, "unknown products 'float16'; there are: oneDNN, bfloat16"),
        ({"products": "bfloat16", "momentum": 0.9}, "products 'bfloat16' are not there with momentum"),
        ({"schedule": ()}, r"schedule must begin at example 0 and increase, got \(\)"),
    ],
    ids=lambda part: " ".join(f"{k}={v}" for k, v in part.items()) if isinstance(part, dict) else "",
)
def test_an_experiment_that_cannot_be_run_is_refused_and_told_why(change, message):
    with pytest.raises(ValueError, match=message):
        PLAIN.but(**change)


NOT_NUMBERS = (math.nan, math.inf, -math.inf, "0.1", None, True, 1j, [0.1], np.float32(0.1))
BAD = {
    **dict.fromkeys(("rate", "weight_decay", "target", "weights", "feedback"), (-0.1, *NOT_NUMBERS)),
    "biases": (-0.1, *(v for v in NOT_NUMBERS if v is not None)),
    "momentum": (-0.1, 1.0, 1.5, *NOT_NUMBERS),
    **dict.fromkeys(("examples", "batch"), (0, -10, 10.0, 10**13, *NOT_NUMBERS)),
    "seeds": (3, [0, 1], range(3), (0.0,), (-1,), (2**63,), (True,), ("0",), (np.int64(1),)),
    "sizes": ((12, 0, 4), (12, -9, 4), (12, 9.0, 4), [12, 9, 4], "12", 12),
    **dict.fromkeys(("density",), ((1.0, 1.5, 1.0), (1.0, -0.5, 1.0), (1.0, math.nan, 1.0), 0.5, [1.0, 1.0, 1.0])),
    "feedback_density": ((1.0, 1.5), (-0.5, 1.0), (math.inf, 1.0), 0.5),
    "schedule": (((0, -1.0),), ((0, math.nan),), ((0, "1"),), ((0, 1.0, 2.0),), ((0.0, 1.0),), [(0, 1.0)], 1.0),
    "switch": (((-10, "backprop"),), ((10,),), (("backprop", 10),), "backprop"),
    "redraw_feedback": ((-10,), (10.0,), 1, "yes"),
    "targets": ((0.0,), (0.0, math.nan), (0.0, 1.0, 2.0)),
    "given": ((("W0", (math.nan,) * 108),), (("W0", 0.1),), {"W0": (0.1,)}),
    "dropout": ((-0.1, 0.0, 0.0), (math.nan, 0.0, 0.0), 0.5),
    "snapshots": ("W0", ("W0", 1), ["W0"]),
    "traced": ("W0",),
    "probes": (0, [0, 10], (0.0,)),
    "snapshot_runs": (-1, 1.5),
    "snapshot_units": (-1, "all"),
    "centred": (1, None),
    "name": ("", "../evil", "a/b", "a b", ".hidden", "-x", 7, None, "a\n"),
    **dict.fromkeys(("task", "rule", "hidden", "output", "distribution", "dtype", "products"), (None, 1, ["linear"])),
}


@pytest.mark.parametrize("field", BAD)
def test_a_field_that_makes_no_sense_by_itself_is_refused_with_what_was_given_and_what_is_wanted(field):
    for value in BAD[field]:
        with pytest.raises(ValueError, match=rf"(?s)^{field} wants .*; got {re.escape(reprlib.repr(value))}$"):
            PLAIN.but(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("distort", (6.0, math.nan), "alpha wants a finite number, 0 or more; got nan"),
        ("distort", (-1.0, 36.0), "sigma wants a finite number, 0 or more; got -1.0"),
        ("distort", (6.0,), r"distort wants Elastic\(sigma, alpha\); got \(6.0,\)"),
        ("distort", "strong", "distort wants Elastic or None; got 'strong'"),
        ("plateau", (0.05, math.inf), "times wants a whole number of 1 or more; got inf"),
        ("plateau", (1.0, 2), "share wants a finite number, 0 or more and below 1; got 1.0"),
        ("plateau", (0.05, 0), "times wants a whole number of 1 or more; got 0"),
        ("held_out", 1.5, "held_out wants a whole number"),
        ("fields", (4, 6), r"fields wants Fields\(maps, size, side\); got \(4, 6\)"),
        ("fields", (0, 6, 28), "maps wants a whole number of 1 or more; got 0"),
        ("fields", (4.0, 6, 28), "maps wants a whole number of 1 or more; got 4.0"),
        ("stages", (2, 0), "patience wants a whole number of 1 or more; got 0"),
        ("stages", (2, 5, 1.0), "least wants a finite number, 0 or more and below 1; got 1.0"),
    ],
)
def test_the_same_of_what_comes_with_images(field, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        DIGITS.but(**{field: value})


WANTED = {
    **dict.fromkeys(("mnist", "mnist validation", "backgrounds"), (784, 10, True)),
    "svhn": (1024, 10, True),
    **dict.fromkeys(("timit", "timit at hand validation"), (39, 6, True)),
    "autoencoder": (784, 784, False),
}


@pytest.mark.parametrize("task", WANTED)
def test_a_network_that_does_not_fit_the_data_is_refused_before_they_are_read(task):
    n_in, n_out, more = WANTED[task]
    for sizes in ((n_in, 9, n_out), *[(n_in, 9, n_out + 1)] * more):
        assert DIGITS.but(task=task, sizes=sizes).sizes == sizes
    for sizes in ((n_in + 1, 9, n_out), (n_in, 9, n_out - 1), *[(n_in, 9, n_out + 1)] * (not more)):
        wanted = (
            rf"wants {n_in} inputs and {n_out} outputs{' or more' * more}, the network {re.escape(str(sizes))} has others"
        )
        with pytest.raises(ValueError, match=rf"^data set '{task.removesuffix(' validation')}' {wanted}$"):
            DIGITS.but(task=task, sizes=sizes)


@pytest.mark.parametrize(("task", "examples"), [("mnist", 60_000), ("mnist validation", 50_000), ("backgrounds", 50_000)])
def test_more_cannot_be_held_out_nor_be_in_a_minibatch_than_there_is(task, examples):
    assert DIGITS.but(task=task, held_out=examples - 10).held_out == examples - 10
    for held_out in (examples, examples + 10_000):
        with pytest.raises(
            ValueError, match=r"examples are to be held out of the [56]0,000 that .* has for training: hold out f"
        ):
            DIGITS.but(task=task, held_out=held_out)
    with pytest.raises(
        ValueError, match=rf"a minibatch of 10 is larger than the 9 examples of data set '{task.split()[0]}' "
    ):
        DIGITS.but(task=task, held_out=examples - 9)
    # Of what only the reader's copy tells, it is said when that is read.
    assert DIGITS.but(task="timit", sizes=(39, 9, 6), held_out=10**6).held_out == 10**6


def test_the_same_of_data_of_ones_own():
    x, labels = np.zeros((20, 3)), np.arange(20) % 4
    own = DIGITS.but(task=experiments.DataSet("mine", train=(x, labels), test=(x, labels)), sizes=(3, 9, 4), held_out=10)
    assert "mine" in own.task
    with pytest.raises(ValueError, match="20 examples are to be held out of the 20 that data set 'mine"):
        own.but(held_out=20)
    with pytest.raises(ValueError, match="a minibatch of 20 is larger than the 10 examples"):
        own.but(batch=20)
    with pytest.raises(ValueError, match="data set 'mine' is to be tested on 20 of its 20 training examples: give held_out"):
        experiments.DataSet("mine", train=(x, labels), test=(x, labels), held_out=20)


def test_a_tuple_says_what_the_small_objects_say_and_none_is_what_an_empty_one_was():
    images = DIGITS.but(sizes=(784, 4 * 23**2, 10), fields=(4, 6, 28), distort=(6.0, 36.0), plateau=(0.05, 2))
    assert images == images.but(fields=Fields(4, 6, 28), distort=Elastic(6.0, 36.0), plateau=Plateau(0.05, 2))
    assert images.essence()["plateau"] == [0.05, 2]
    assert images.but(fields=(), distort=(), plateau=()) == DIGITS.but(sizes=images.sizes)
    assert (images.plateau.share, images.distort.alpha, images.fields.side) == (0.05, 36.0, 28)
    assert DIGITS.but(held_out=100, stages=(2, 5)).stages == Stages(cuts=2, patience=5, least=0.0)


SPIKES = experiments.spiking.REDUCED
BAD_SPIKES = {
    **dict.fromkeys(("rate", "weights"), (-0.1, *NOT_NUMBERS)),
    "feedback": (-0.1, (0.1, math.nan, 0.1), *NOT_NUMBERS),
    "weight_decay": (-1e-8, 1.5, *NOT_NUMBERS),
    "tau": (-0.1, 1.1, *NOT_NUMBERS),
    **dict.fromkeys(("streams", "steps", "examples"), (0, -1, 1.0, "1", None)),
    "tested": (0, 20_000),
    "seeds": ((-1,), (0.5,), 1),
    "sizes": ((784, 0, 10), [784, 30, 10]),
    "schedule": (((0, -1.0),), ((0, math.inf),), ((0, (1.0, 1.0)),)),
    "probes": ((-100,), [0]),
    "snapshots": ("W0",),
    "name": ("../evil",),
}


@pytest.mark.parametrize("field", BAD_SPIKES)
def test_the_same_of_an_experiment_with_spikes(field):
    for value in BAD_SPIKES[field]:
        with pytest.raises(ValueError, match=rf"(?s)^{field} wants .*; got {re.escape(reprlib.repr(value))}$"):
            SPIKES.but(**{field: value})
    with pytest.raises(ValueError, match="wanted 0 < tau <= 1, got 0"):
        SPIKES.but(tau=0)
    with pytest.raises(ValueError, match=f"schedule at example {SPIKES.examples:,} would never come"):
        SPIKES.but(schedule=((0, 1.0), (SPIKES.examples, 0.1)))


def test_every_field_says_what_it_may_be():
    # A new field of a dense network's experiment says it where it is declared; objects of several values check themselves.
    assert experiments.FIELDS.keys() | experiments.TOGETHER.keys() == {f.name for f in dataclasses.fields(Experiment)}
    assert experiments.spiking.FIELDS.keys() == {f.name for f in dataclasses.fields(SPIKES)}


def test_whole_numbers_are_numbers_and_the_ends_of_what_is_wanted_are_in_it():
    for change in (
        {"rate": 0},
        {"rate": 1},
        {"momentum": 0},
        {"weights": 0, "feedback": (0, 1)},
        {"density": (0, 1, 1.0)},
        {"batch": 3000},
        {"examples": 10},
        {"seeds": (0, 2**63 - 1)},
        {"switch": ((2990, "shallow"),)},
        {"rate": np.float64(0.1)},
    ):
        assert {k: getattr(PLAIN.but(**change), k) for k in change} == change


def test_a_shorter_run_keeps_no_change_after_its_end():
    changed = PLAIN.but(redraw_feedback=(0, 100, 500))
    assert changed.but(examples=500).redraw_feedback == (0, 100)
    assert changed.but(examples=500).schedule == PLAIN.schedule[:1]
    assert changed.but(examples=510).schedule == PLAIN.schedule
    assert PLAIN.but(redraw_feedback=True, examples=500).redraw_feedback is True
    spikes = SPIKES.but(schedule=((0, 1.0), (60_000, 0.1)), examples=120_000, probes=(), snapshots=())
    assert spikes.but(examples=60_000).schedule == ((0, 1.0),)
    switched = PLAIN.but(switch=((100, "backprop"), (200, "shallow")))
    assert switched.but(examples=200).switch == ((100, "backprop"),)
    assert switched.at("smoke", 100).switch == ()
    with pytest.raises(ValueError, match="switch at example 200 would never come: there are 200"):
        switched.but(examples=200, switch=switched.switch)


def test_an_unknown_profile_is_refused_with_those_there_are():
    for experiment in (PLAIN, SPIKES):
        with pytest.raises(ValueError, match="unknown profile 'smok'; there are: paper, smoke"):
            experiment.at("smok", 200)


def test_an_experiment_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAIN.rate = 1.0


# ---- what it says of its run


def test_the_rate_changes_at_the_example_that_the_schedule_says():
    assert [PLAIN.rates_at(n) for n in (0, 499, 500, 10**9)] == [(r,) * 3 for r in (0.001, 0.001, 0.002, 0.002)]
    assert PLAIN.but(schedule=((0, 1.0),)).rates_at(0) == (0.002,) * 3


def test_a_schedule_may_have_a_factor_for_each_layer():
    phases = PLAIN.but(schedule=((0, (1.0, 0.0, 0.5)), (100, 2.0)))
    assert phases.rates_at(90) == (0.002, 0.0, 0.001)
    assert phases.rates_at(100) == (0.004,) * 3
    assert experiments.table(phases).columns[0]["schedule"] == "x 1 / 0 / 0.5 from example 0, x 2 from example 100"


def test_the_rule_changes_at_the_example_that_the_switch_says():
    switched = PLAIN.but(rule="backprop", switch=((100, "feedback alignment"),))
    assert [switched.rule_at(n) for n in (0, 99, 100, 10**9)] == ["backprop"] * 2 + ["feedback alignment"] * 2
    assert PLAIN.rule_at(10**9) == "feedback alignment"


@given(st.dictionaries(st.integers(1, 50), st.floats(0.1, 10), max_size=5), st.integers(0, 60))
def test_the_rate_is_that_of_the_last_change_so_far(later, example):
    changes = {0: 1.0} | later
    wanted = changes[max(start for start in changes if start <= example)]
    assert PLAIN.but(schedule=tuple(sorted(changes.items()))).rates_at(example) == (0.002 * wanted,) * 3


def test_a_scale_is_for_all_layers_or_one_for_each():
    assert PLAIN.per_layer("weights") == (0.3, 0.3, 0.3)
    assert PLAIN.per_layer("feedback") == (0.5, 0.5)
    both = PLAIN.but(weights=(0.1, 0.2, 0.3), feedback=(0.4, 0.5))
    assert both.per_layer("weights") == (0.1, 0.2, 0.3)
    assert both.per_layer("feedback") == (0.4, 0.5)


def test_the_smoke_profile_is_a_short_run_of_two_seeds_and_another_digest():
    smoke = PLAIN.at("smoke", 200)
    assert (smoke.seeds, smoke.examples, smoke.probes) == ((3, 4), 200, (0, 100, 200))
    assert smoke.digest != PLAIN.digest
    assert PLAIN.at("paper", 200) is PLAIN


def test_a_table_lists_the_conventions_and_what_was_chosen():
    rows = experiments.table(PLAIN.but(momentum=0.9)).columns[0]
    assert {f"convention: {k}": v for k, v in CONVENTIONS.items()}.items() <= rows.items()
    assert rows["experiment"] == f"plain ({PLAIN.but(momentum=0.9).digest})"
    assert rows["network"] == "12-9-7-4"
    assert rows["learning rate"] == "0.002 per example, 0.02 of the minibatch mean"
    assert rows["schedule"] == "x 0.5 from example 0, x 1 from example 500"
    assert rows["momentum"] == "0.9"
    assert (rows["initial W"], rows["initial biases"], rows["B"]) == ("U[-0.3, 0.3]", "as W", "U[-0.5, 0.5]")
    assert "redraw feedback" not in rows


def test_a_table_of_two_shows_in_bold_what_differs_and_once_what_does_not():
    shown = experiments.table(PLAIN, PLAIN.but(name="other", rule="backprop", momentum=0.9))
    html, lines = shown._repr_html_(), repr(shown).splitlines()
    assert html.count("<b>") == 2 * 3, "name, rule and momentum"
    for rule in ("feedback alignment", "backprop"):
        assert f"<td style='text-align:left'><b>{rule}</b></td>" in html
    assert "<td colspan='2' style='text-align:left'>12-9-7-4</td>" in html
    assert "rule: feedback alignment | backprop" in lines
    assert "network: 12-9-7-4" in lines
    assert "momentum: - | 0.9" in lines, "what one of them has not"
    assert "<b>" not in experiments.table(PLAIN)._repr_html_()


# ---- the registry


def test_every_registered_experiment_is_under_its_own_name_and_the_recorded_ones_are_among_them():
    known, recorded = experiments.registry(), experiments.registry(recorded=True)
    assert all(e.name == name for name, e in known.items())
    assert recorded.items() < known.items()
    assert not set(recorded.values()) & set(experiments.xor.LIVE)


def test_two_experiments_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(experiments.xor, "LIVE", (*experiments.xor.LIVE, PLAIN.but(name="mnist-backprop")))
    with pytest.raises(ValueError, match="two experiments are named 'mnist-backprop'"):
        experiments.registry()


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(
        ValueError,
        match=r"no experiment is named 'mnist-bakprop'; did you mean mnist-backprop.*\? "
        rf"`fa_core list` shows all {len(experiments.registry())}",
    ):
        experiments.find("mnist-bakprop")
    with pytest.raises(ValueError, match=r"no experiment is named '\?'; `fa_core list` shows all"):
        experiments.find("?")
    with pytest.raises(ValueError, match="no experiment is named None; `fa_core list` shows all"):
        experiments.find(None)


def test_importing_what_needs_no_torch_takes_none_with_it():
    program = (
        "import sys, fa_core, fa_core.rules, fa_core.measures, fa_core.linear, fa_core.flow, fa_core.claims\n"
        "from fa_core import experiments\n"
        "from fa_core.proofs import alignment, conservative, convergence, gauss_newton, pseudoinverse\n"
        "experiments.registry()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
