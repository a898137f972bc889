"""Supplementary Fig. 14: backprop to near a minimum, then feedback alignment; beside it backprop that goes on.

A quadratic task, y_k = x' Q_k x, x ~ U[-2, 2], Q_k ~ U[-0.5, 0.5], in a 20-1000-20 network of tanh units with linear
outputs, online. The paper gives neither the initial weights, nor B, nor the rates, nor how long each phase lasts.
"""

from fa_core.experiments import Experiment

SWITCH = 50_000  # backprop until then: 30,000 examples at the full rate, 20,000 at a fifth of it
AFTER = 100_000
PROBES = tuple(
    sorted({*range(0, SWITCH + 1, 5000), *range(SWITCH, SWITCH + 10_001, 1000), *range(SWITCH, SWITCH + AFTER + 1, 5000)})
)

FEEDBACK_ALIGNMENT = Experiment(
    name="switch-feedback-alignment",
    task="quadratic",
    sizes=(20, 1000, 20),
    rule="backprop",
    rate=1e-3,
    examples=SWITCH + AFTER,
    seeds=tuple(range(10)),
    weights=(0.3, 0.01),
    biases=1.0,
    feedback=0.5,
    target=0.5,
    hidden="tanh",
    output="linear",
    schedule=((0, 1.0), (30_000, 0.2), (SWITCH, 1.0)),
    switch=((SWITCH, "feedback alignment"),),
    probes=PROBES,
)
BACKPROP = FEEDBACK_ALIGNMENT.but(name="switch-backprop", switch=())
SCALES = (0.05, 0.1, 0.2, 1.0)
BY_SCALE = tuple(FEEDBACK_ALIGNMENT.but(name=f"switch-b-{b:g}", feedback=b, seeds=tuple(range(5))) for b in SCALES)

RECORDED = (FEEDBACK_ALIGNMENT, BACKPROP, *BY_SCALE)
LIVE = ()
