"""The data sets that an experiment's task may name, and your own. Their files are read in `fa_core.data`.

task="mnist"               the training set is learned from, the test set is tested on
task="mnist validation"    the last examples of the training set are tested on, and not learned from
task=DataSet("mine", train=(x, labels), test=(x, labels))
"""

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np

from fa_core.experiments import kinds

SUFFIX = " validation"

Part = tuple[np.ndarray, np.ndarray]  # inputs and answers


@dataclass(frozen=True, eq=False)
class DataSet:
    """A training set and a test set.

    One of your own has its arrays here: `train` and `test` are pairs (inputs, answers), inputs `(n, n_in)` as the network is
    to see them, answers the labels `(n,)`, whole numbers from 0 on, or the wanted outputs `(n, n_out)`. Raises ValueError
    for arrays that do not fit.
    """

    name: str
    classified: bool = True  # whether its answers are labels
    held_out: int = 0  # examples at the end of the training set that "NAME validation" is tested on
    of_mnist: bool = False  # images of 28 x 28 pixels, which may be distorted
    inputs: int | None = None  # these three of a data set of files, as far as they are known before it is read
    outputs: int | None = None
    examples: int | None = None  # of the training set
    train: Part | None = None
    test: Part | None = None

    def __post_init__(self) -> None:
        if self.train is None and self.test is None:
            return
        self.arrays()  # both
        if not kinds.whole().holds(self.held_out):
            raise ValueError(f"data set {self.name!r}: held_out is how many examples, got {self.held_out!r}")
        for part in ("train", "test"):
            pair = getattr(self, part)
            if len(pair) != 2 or any(np.ma.isMaskedArray(a) or np.asarray(a).dtype.kind not in "biuf" for a in pair):
                raise ValueError(
                    f"data set {self.name!r}, {part}: wanted two arrays of real numbers, without a mask: (inputs, answers)"
                )
            inputs, answers = (np.asarray(a) for a in pair)
            whole = np.issubdtype(answers.dtype, np.integer)
            if inputs.ndim != 2 or answers.ndim != (1 if whole else 2) or len(inputs) != len(answers) or not len(inputs):
                raise ValueError(
                    f"data set {self.name!r}, {part}: wanted inputs (n, n_in), and labels (n,), whole "
                    f"numbers, or outputs (n, n_out); got {inputs.dtype} {inputs.shape} and {answers.dtype} "
                    f"{answers.shape}"
                )
            if not np.isfinite(inputs).all() or not np.isfinite(answers).all() or (whole and answers.min() < 0):
                raise ValueError(f"data set {self.name!r}, {part}: inputs and outputs must be finite, and labels 0 or more")
            object.__setattr__(self, part, (inputs, answers))
        shapes = {(x.shape[1], y.shape[1:]) for x, y in self.arrays()}
        if len(shapes) > 1:
            raise ValueError(f"data set {self.name!r}: training and test set differ in inputs or outputs: {shapes}")
        (_, answers), (_, tested) = self.arrays()
        if self.held_out >= len(answers):
            raise ValueError(
                f"data set {self.name!r} is to be tested on {self.held_out:,} of its {len(answers):,} training examples: "
                "give held_out, of which '... validation' is made, as less"
            )
        object.__setattr__(self, "classified", answers.ndim == 1)
        outputs = 1 + max(int(answers.max()), int(tested.max())) if self.classified else answers.shape[1]
        for field, value in (
            ("inputs", self.train[0].shape[1]),  # type: ignore[index]
            ("outputs", outputs),
            ("examples", len(answers)),
        ):
            object.__setattr__(self, field, value)

    def arrays(self) -> tuple[Part, Part]:
        """Its own training set and test set. Raises ValueError where it has not both."""
        if self.train is None or self.test is None:
            raise ValueError(
                f"data set {self.name!r} has no arrays: give train=(inputs, answers) and test=(inputs, answers)"
            )
        return self.train, self.test

    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any of its own arrays."""
        found = hashlib.sha256()
        train, test = self.arrays()
        for a in (*train, *test):
            found.update(f"{a.dtype} {a.shape}".encode())
            found.update(np.ascontiguousarray(a).data)
        return found.hexdigest()[:12]

    def refuse_sizes(self, sizes: tuple[int, ...]) -> None:
        """Raises ValueError where a network of these sizes cannot learn it."""
        more = self.classified  # there may be outputs for classes of which no example is
        n_in, n_out = self.inputs or sizes[0], self.outputs or sizes[-1]
        if sizes[0] != n_in or sizes[-1] < n_out or (sizes[-1] > n_out and not more):
            raise ValueError(
                f"data set {self.name!r} wants {n_in} inputs and {n_out} outputs{' or more' * more}, the network {sizes} "
                "has others"
            )

    def refuse_split(self, held_out: int, batch: int) -> None:
        """Raises ValueError where so many examples cannot be held out of its training set, or where what is left of it is
        less than a minibatch; where their number is not known before it is read, that is said then."""
        if self.examples is None:
            return
        left = self.examples - held_out
        if left < 1:
            raise ValueError(
                f"{held_out:,} examples are to be held out of the {self.examples:,} that data set {self.name!r} has for "
                "training: hold out fewer"
            )
        if batch > left:
            raise ValueError(
                f"a minibatch of {batch:,} is larger than the {left:,} examples of data set {self.name!r} that are learned "
                "from: give a smaller batch"
            )


DATASETS = {
    data.name: data
    for data in (
        DataSet("mnist", held_out=10_000, of_mnist=True, inputs=784, outputs=10, examples=60_000),
        DataSet("backgrounds", held_out=10_000, of_mnist=True, inputs=784, outputs=10, examples=50_000),
        DataSet("svhn", held_out=26_032, inputs=1024, outputs=10, examples=604_388),
        DataSet("timit", held_out=10_000, inputs=39, outputs=6),  # the whole corpus
        DataSet("timit at hand", held_out=10_000, inputs=39, outputs=6),  # what there is of it
        # MNIST's images, which are the wanted outputs too.
        DataSet("autoencoder", classified=False, held_out=10_000, inputs=784, outputs=784, examples=60_000),
    )
}
OWN: dict[str, DataSet] = {}  # data sets that experiments were given as objects; see `register`


def names() -> list[str]:
    """Every task that goes through a data set."""
    return [name + part for name, data in (DATASETS | OWN).items() for part in ("", SUFFIX)[: 1 + bool(data.held_out)]]


def find(task: str | DataSet) -> tuple[DataSet | None, bool]:
    """The data set of a task, None for one that has none, and whether the end of its training set is tested on."""
    if isinstance(task, DataSet):
        return task, False
    name = task.removesuffix(SUFFIX)
    return (DATASETS | OWN).get(name), task != name


def register(own: DataSet) -> str:
    """The name by which experiments know a data set: of one that is not of this module, with a digest of its arrays."""
    if DATASETS.get(own.name) is own:
        return own.name
    name = f"{own.name} ({own.digest()})"
    OWN[name] = dataclasses.replace(own, name=name)
    return name
