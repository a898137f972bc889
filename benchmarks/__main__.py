"""Measure a step of learning as a ratio to one of backprop by PyTorch's autograd and torch.optim.SGD of one network.

Only the step is timed: the minibatch lies ready for everyone. The engine's steps are taken in this process, those of
autograd, of `fa_core.nn` and of others each in one of their own (`benchmarks.apart`), all in float32, in many rounds of one
step each in which the contenders take turns, so that whatever else the machine does falls on all of them; a ratio is taken
within each round. Shown are its median and, in brackets, its quartiles over the rounds.
"""

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.picture import draw
from benchmarks.steps import AUTOGRAD, BACKPROP, BIOTORCH, CASES, FA, LAYERS, NOTES, PRODUCTS, Case
from fa_core import products, provenance

ROUNDS = 100  # about four minutes on one core


def seconds(case: Case, rounds: int, peers: bool = False) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Seconds for a step, per network trained, of each contender in each round, `(rounds,)`; and the bytes that it holds
    from one step to the next, where that is known.

    Steps are timed singly. Of several in a row, a slow contender's would be interrupted by other processes more often
    than a quick one's, and the median would take the interruption for slowness.
    """
    contenders = case.contenders(peers)
    taken = {name: np.empty(rounds) for name in contenders}
    held = {name: step.nbytes for name, step in contenders.items() if step.nbytes}
    try:
        for i in range(rounds):
            # Every other round in the opposite order: what drifts within a round then cancels.
            for name in list(contenders)[:: -1 if i % 2 else 1]:
                taken[name][i] = contenders[name].timed()
        for name, step in contenders.items():
            if not all(np.isfinite(a).all() for a in step.learned().values()):
                raise RuntimeError(f"{name}, {case.network}: it diverged, so its times mean nothing")
    finally:
        for step in contenders.values():
            step.close()
    return taken, held


def spread(values: np.ndarray) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return {"median": float(median), "low": float(low), "high": float(high)}


def rows(case: Case, rounds: int, peers: bool = False) -> list[dict]:
    """A row for each contender but autograd.

    ratio: time of a step, per network trained, to that of autograd; autograd_ms: the latter's median, milliseconds;
    rounds: how many; products: for our steps of one network, time of the bare matrix products to the step's, else None.
    target, met: the largest median ratio wanted and whether it was kept to, or None. megabytes: what is held from one step
    to the next, 10^6 bytes, or None. biotorch: of our layers, their time to BioTorch's, else None. peer: whether it is not
    ours.
    """
    rounds *= case.repeat
    taken, held = seconds(case, rounds, peers)
    found = []
    for name in taken:
        if name == AUTOGRAD:
            continue
        ratio, target = spread(taken[name] / taken[AUTOGRAD]), case.targets.get(name)
        found.append(
            {
                "network": case.network,
                "batch": case.experiment.batch,
                "contender": name,
                "ratio": ratio,
                "products": spread(taken[PRODUCTS] / taken[name]) if name in (FA, BACKPROP) else None,
                "autograd_ms": float(np.median(taken[AUTOGRAD])) * 1000,
                "rounds": rounds,
                "peer": name in case.peers,
                "target": target,
                "met": None if target is None else ratio["median"] <= target,
                "megabytes": held[name] / 1e6 if name in held else None,
                "biotorch": spread(taken[name] / taken[BIOTORCH]) if name in LAYERS and BIOTORCH in taken else None,
            }
        )
    return found


def machine() -> dict:
    """Processor, cores, architecture, and the wide instructions that it has as torch names them."""
    has = sorted(
        name
        for name, there in torch.cpu.get_capabilities().items()
        if there is True and name.startswith(("amx", "avx", "fma", "neon", "sve", "bf16"))
    )
    return {
        "processor": provenance.machine()["device"].rsplit(",", 1)[0],
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "instructions": has,
    }


def write(path: Path, results: dict) -> None:
    """Write them as JSON, so that there is the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def line(row: dict) -> str:
    """A row, for people."""

    def show(ratio):
        return "{median:.3g} ({low:.3g} to {high:.3g})".format(**ratio)

    target = "" if row["target"] is None else f"at most {row['target']:g}: {'met' if row['met'] else 'NOT MET'}"
    products = show(row["products"]) if row["products"] else ""
    products += f"  {row['megabytes']:.3g} MB" if row["megabytes"] else ""
    products += f"  {show(row['biotorch'])} of BioTorch's" if row["biotorch"] else ""
    return (
        f"{row['network']:22} {row['batch']:5}  {row['contender']:44} {show(row['ratio']):27} {target:22} {products}"
    ).rstrip()


def main(argv: list[str] | None = None, cases: tuple[Case, ...] = CASES + NOTES) -> int:
    """Measure, print, write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}: about four minutes")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).with_name("results.json"),
        help="where the results go, as JSON, and beside them a picture; default benchmarks/results.json",
    )
    parser.add_argument("--peers", action="store_true", help="time what one would take instead as well; see the Makefile")
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1:
        parser.error(f"--rounds is 1 or more, not {arguments.rounds}")
    results = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": provenance.commit(),
        "runtime": products.runtime(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "rounds": arguments.rounds,
        "rows": [],
    }
    print(__doc__)
    print("{processor}, {cores} cores, {architecture}".format(**results["machine"]))
    print(f"  with {' '.join(results['machine']['instructions'])}; commit {results['commit']}")
    print("Python {python}, torch {torch}, NumPy {numpy}; threads: {threads}, rounds: {rounds}\n".format(**results))
    print(
        f"{'network':22} {'batch':>5}  {'one step':44} {'time / that of autograd':27} {'target':22} "
        "time of its matrix products / its own"
    )
    for case in cases:
        for row in rows(case, arguments.rounds, arguments.peers):
            results["rows"].append(row)
            print(line(row), flush=True)
        print(f"{'':30}autograd's: {row['autograd_ms']:.3g} ms\n")
    write(arguments.out, results)
    draw(results, arguments.out.with_suffix(".svg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
