"""Stop consonants of TIMIT, frame by frame, as mel-frequency cepstral coefficients (Supplementary Note 7).

Garofolo et al. (1993), 'TIMIT acoustic-phonetic continuous speech corpus', is licensed by the Linguistic Data Consortium
and never shipped here. The reader's copy is read from the folder that `FA_CORE_TIMIT` names, or else
`$XDG_CACHE_HOME/fa_core/timit` (`~/.cache/...`)::

    the corpus          TRAIN/DR1/FCJF0/SA1.WAV and SA1.PHN, ..., TEST/..., in either case of letters;
    NLTK's sample of it dr1-fvmh0/sa1.wav and sa1.phn, ...: 16 speakers. It has no test set: of each four speakers, in the
                        order of their names, the last one's sentences are for testing here, which are all men's.

`source()` says which of the two it is. Either may lie in folders below, or be linked there. What is found, and what is left
out and why, is said on standard error when it is loaded.

The note gives the six classes, frames of 10 ms, 39 numbers to a frame and the number of frames. What it leaves out: windows
of 25 ms are taken every 10 ms, a frame belongs to the phone at its centre, and is kept where that is the burst of a stop as
the transcription labels it (b, d, g, p, t, k; not the closure before it). Thirteen coefficients, the 0th included, and their
first and second derivatives by regression over two frames to either side.
"""

import codecs
import io
import os
import re
import sys
import warnings
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dct

from fa_core import files
from fa_core.data.mnist import DataError

ENVIRONMENT = "FA_CORE_TIMIT"
STOPS = ("b", "d", "g", "p", "t", "k")  # a label is a place in this list
# The labels of the transcriptions, of which the stops are six.
PHONES = frozenset(
    re.findall(
        r"\S+",
        """
    b d g p t k dx q bcl dcl gcl pcl tcl kcl jh ch s sh z zh f th v dh m n ng em en eng nx l r w y hh hv el
    iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h pau epi h#""",
    )
)
RATE = 16_000  # samples a second
SENTENCES = {"train": 4620, "test": 1680}  # of the corpus
STEP, WINDOW = 160, 400  # samples: 10 and 25 ms
BANDS, COEFFICIENTS = 40, 13
FLOOR = 1e-10  # of a band's energy, below which the logarithm is cut off


class Frames(NamedTuple):
    """Features `(n, 39)` float32, labels `(n,)` uint8, 0 to 5 as in `STOPS`."""

    features: np.ndarray
    labels: np.ndarray


# ---- the front end


def mel(hertz: ArrayLike) -> np.ndarray:
    """A frequency in mel: 2595 log10(1 + f / 700)."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


@cache
def filters() -> np.ndarray:
    """Triangular filters `(BANDS, WINDOW // 2 + 1)`, of height 1, evenly spaced in mel from 0 to half the sampling rate."""
    edges = 700 * (10 ** (np.linspace(0, mel(RATE / 2), BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    return np.maximum(0, np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)))


def mfcc(signal: np.ndarray) -> np.ndarray:
    """Mel-frequency cepstral coefficients `(frames, 13)` of a signal `(samples,)` at 16 kHz, float64: the orthonormal DCT of
    10 log10 of the energies in `BANDS` bands, of windows (Hann) that begin every `STEP` samples and lie in the signal.
    """
    if len(signal) < WINDOW:
        return np.zeros((0, COEFFICIENTS))
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(signal, dtype=float), WINDOW)[::STEP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    energy = np.abs(np.fft.rfft(windows * hann)) ** 2 @ filters().T
    return dct(10 * np.log10(np.maximum(energy, FLOOR)), axis=1, norm="ortho")[:, :COEFFICIENTS]


def derivative(track: np.ndarray) -> np.ndarray:
    """Slope of each column of `(frames, n)` in a line fitted over two frames to either side, per frame; beyond an end the
    last frame is repeated: d_t = sum_k k (c_{t+k} - c_{t-k}) / (2 sum_k k^2), k = 1, 2."""
    padded = np.pad(track, ((2, 2), (0, 0)), mode="edge") if len(track) else np.zeros((4, track.shape[1]))
    n = len(track)
    first, second = (k * (padded[2 + k : 2 + k + n] - padded[2 - k : 2 - k + n]) for k in (1, 2))
    return (first + second) / 10


def features(signal: np.ndarray) -> np.ndarray:
    """`(frames, 39)`: coefficients, their first derivatives, and the derivatives of these."""
    c = mfcc(signal)
    d = derivative(c)
    return np.hstack([c, d, derivative(d)])


# ---- the files


def read_audio(path: Path) -> np.ndarray:
    """The samples of a NIST SPHERE or RIFF file, scaled to [-1, 1). Raises DataError."""
    content = path.read_bytes()
    try:
        if content[:4] in (b"RIFF", b"RIFX", b"RF64"):
            rate, samples = riff(content)
        elif content[:8] == b"NIST_1A\n":
            rate, samples = sphere(content, path)
        else:
            raise DataError(f"{path} is neither a NIST SPHERE nor a RIFF file: restore it from your copy of TIMIT")
    except (EOFError, ValueError, LookupError, Warning) as error:
        raise DataError(f"{path} is damaged ({error}): restore it from your copy of TIMIT") from error
    if (samples.ndim, samples.dtype.itemsize, rate) != (1, 2, RATE):
        raise DataError(
            f"{path}: {1 if samples.ndim == 1 else samples.shape[1]} channel(s) of {8 * samples.dtype.itemsize} "
            f"bits at {rate} Hz, wanted 1 of 16 bits at {RATE} Hz: it is no file of TIMIT's"
        )
    return samples / 32768


def riff(content: bytes) -> tuple[int, np.ndarray]:
    """Rate and samples of a RIFF file, in any form that SciPy reads; one that was written to a stream, which does not know
    how long it will be, to its end. Raises ValueError, Warning for one that is cut."""
    from scipy.io import wavfile

    content = closed(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error", wavfile.WavFileWarning)
        warnings.filterwarnings("ignore", "Chunk .* not understood", wavfile.WavFileWarning)  # of text, cues, ...
        try:
            return wavfile.read(io.BytesIO(content))
        except UnboundLocalError as error:
            raise ValueError("it ends before its samples") from error


def closed(content: bytes) -> bytes:
    """A RIFF file with the sizes that it has in place of those that say nothing, 0 or the largest: its own, and that of its
    samples, which are then the rest of it. Raises ValueError where there are fewer than it says, or none."""
    order = {b"RIFF": "little", b"RIFX": "big"}.get(content[:4])  # RF64 has them elsewhere
    unsaid, at = (0, 2**32 - 1), 12

    def size(at: int) -> int:
        return int.from_bytes(content[at + 4 : at + 8], order)  # type: ignore[arg-type]

    def sized(at: int) -> bytes:
        return content[: at + 4] + (len(content) - at - 8).to_bytes(4, order) + content[at + 8 :]  # type: ignore[arg-type]

    if order is None:
        return content
    while at + 8 < len(content) and content[at : at + 4] != b"data":
        at += 8 + size(at) + size(at) % 2
    if at + 8 < len(content) and size(at) in unsaid:
        content = sized(at)
    if not 0 < size(at) <= len(content) - at - 8:
        raise ValueError(f"{max(len(content) - at - 8, 0)} bytes of samples, its header wants {size(at)}")
    return sized(0) if size(0) in unsaid else content


def sphere(content: bytes, path: Path) -> tuple[int, np.ndarray]:
    """Rate and samples of a NIST SPHERE file. Raises ValueError for a damaged header or missing samples, DataError for
    samples in another code than the plain one."""
    size = int(content[8:16])
    lines = takewhile(lambda line: line.strip() != "end_head", content[16:size].decode("latin-1").splitlines())
    fields = [line.split(None, 2) for line in lines if line.strip() and not line.startswith(";")]
    header = {field[0]: field[2] if len(field) > 2 else "" for field in fields}
    coding = header.get("sample_coding") or "pcm"
    if coding != "pcm":
        raise DataError(
            f"{path}: samples are coded as {coding!r}: unpack the corpus first (sph2pipe -p, or NIST's w_decode)"
        )
    channels, width, rate, count = (
        int(header.get(key) or default)
        for key, default in (("channel_count", 1), ("sample_n_bytes", 2), ("sample_rate", 0), ("sample_count", -1))
    )
    data = content[size:]
    if len(data) != channels * width * count:
        raise ValueError(f"{len(data)} bytes of samples, its header wants {channels * width * count}")
    order = ">" if header.get("sample_byte_format") == "10" else "<"
    samples = np.frombuffer(data, f"{order}i{width}")
    return rate, samples if channels == 1 else samples.reshape(-1, channels)


def read_phones(path: Path) -> list[tuple[int, int, str]]:
    """(first sample, one past the last, phone) for each line of a .PHN file, one after the other. Raises DataError."""
    phones, end = [], 0
    text = path.read_bytes().removeprefix(codecs.BOM_UTF8).decode("ascii", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        parts, at = line.split(), f"{path}, line {number}: {line!r}"
        if len(parts) != 3 or not (parts[0].isdigit() and parts[1].isdigit() and int(parts[0]) < int(parts[1])):
            raise DataError(f"{at}, wanted 'first last phone'. Restore it from your TIMIT")
        if int(parts[0]) < end:
            raise DataError(f"{at}, begins before the end of the phone before, {end}. Restore it from your TIMIT")
        end = int(parts[1])
        if parts[2].lower() not in PHONES:
            raise DataError(f"{at}, is none of TIMIT's {len(PHONES)} phones. Restore it from your TIMIT")
        phones.append((int(parts[0]), end, parts[2].lower()))
    if not phones:
        raise DataError(f"{path} is empty: restore it from your copy of TIMIT")
    return phones


def frames(signal: np.ndarray, phones: list[tuple[int, int, str]]) -> Frames:
    """The frames of a sentence whose centre lies in a stop."""
    track = features(signal)
    centres = np.arange(len(track)) * STEP + WINDOW // 2
    label = np.full(len(track), -1)
    for first, end, phone in phones:
        if phone in STOPS:
            label[(centres >= first) & (centres < end)] = STOPS.index(phone)
    kept = label >= 0
    return Frames(track[kept].astype(np.float32), label[kept].astype(np.uint8))


def folder() -> Path:
    """Where the reader's copy is looked for."""
    return files.data_folder(ENVIRONMENT, "timit")


class Found(NamedTuple):
    """What is in a folder: "corpus", "sample" or None; the .PHN files of the training and of the test set, in order; and
    what was left out, (why, files)."""

    kind: str | None
    parts: dict[str, list[Path]]
    left_out: list[tuple[str, list[Path]]]


def listed(where: Path) -> list[Path]:
    """The files below a folder, through links too, each folder once, in order."""
    found, seen = [], set()
    for folder, below, names in os.walk(where, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        found += [Path(folder, name) for name in names]
    return sorted(found)


def sentences(where: Path) -> Found:
    """What of TIMIT is in a folder. Raises DataError for a part of the corpus, and for two copies that differ."""
    files_there = listed(where)
    hidden = [p for p in files_there if p.name.startswith(".") and p.suffix.lower() in (".phn", ".wav")]
    there = [p for p in files_there if not p.name.startswith(".")]
    copies: list[Path] = []
    first: dict[tuple[str | None, str, str], Path] = {}
    for p in (p for p in there if p.suffix.lower() == ".phn"):
        names = tuple(part.lower() for part in p.relative_to(where).parts)
        split = next((part for part in reversed(names[:-1]) if part in ("train", "test")), None)  # the nearest above
        same = first.setdefault((split, p.parent.name.lower(), names[-1]), p)
        if same is not p:
            if same.read_bytes() != p.read_bytes():
                raise DataError(
                    f"{same} and {p} are of one sentence and differ: set {ENVIRONMENT} to a folder that holds "
                    "one copy of TIMIT"
                )
            copies.append(p)
    parts = {split: [p for key, p in first.items() if key[0] == split] for split in ("train", "test")}
    kind = "corpus" if any(parts.values()) else "sample" if first else None
    if kind == "sample":
        if not all(re.fullmatch(r"dr\d-\w+", speaker) for _, speaker, _ in first):
            raise DataError(
                f"{where} holds transcriptions, but no TRAIN and TEST, and no folders dr1-... as NLTK's sample "
                f"has: set {ENVIRONMENT} to the folder above, that holds TRAIN and TEST"
            )
        held_out = sorted({speaker for _, speaker, _ in first})[3::4]
        parts = {
            "train": [p for key, p in first.items() if key[1] not in held_out],
            "test": [p for key, p in first.items() if key[1] in held_out],
        }
    stems = {(p.parent, p.stem.lower()) for p in there if p.suffix.lower() == ".phn"}
    silent = [p for p in there if p.suffix.lower() == ".wav" and (p.parent, p.stem.lower()) not in stems]
    beside = [p for key, p in first.items() if kind == "corpus" and key[0] is None]
    reasons = (
        ("files that a Mac or an archive put there", hidden),
        ("second copies", copies),
        ("audio without a transcription", silent),
        ("outside TRAIN and TEST", beside),
    )
    return Found(kind, parts, [(why, left) for why, left in reasons if left])


def source() -> str | None:
    """What the reader has: "corpus", "sample", or None."""
    return sentences(folder()).kind


def whole() -> None:
    """Raises DataError unless all sentences of the corpus are there: what a record is made of, and not the sample."""
    kind, parts, _ = sentences(folder())
    for split, wanted in SENTENCES.items():
        if kind != "corpus" or len(parts[split]) != wanted:
            raise DataError(
                f"{folder()} holds {len(parts[split]):,} sentences for the {split} set, the corpus has "
                f"{wanted:,}: set {ENVIRONMENT} to the folder of the whole corpus, with its TRAIN and TEST"
            )


def load(split: str = "train") -> Frames:
    """All frames of stops of the `train` or the `test` set. Raises ValueError, DataError."""
    if split not in ("train", "test"):
        raise ValueError(f"unknown split {split!r}; there are: train, test")
    return _load(folder(), split)


@cache
def _load(where: Path, split: str) -> Frames:
    kind, parts, left_out = sentences(where)
    if not parts[split]:
        what = f"no TIMIT in {where}" if kind is None else f"the TIMIT in {where} has no sentence for the {split} set"
        raise DataError(
            f"{what}: set {ENVIRONMENT} to the folder that holds TRAIN and TEST, or NLTK's sample (nltk.download('timit'))"
        )
    found = []
    for phn in parts[split]:
        audio = next(
            (p for p in sorted(phn.parent.glob("*")) if p.suffix.lower() == ".wav" and p.stem.lower() == phn.stem.lower()),
            None,
        )
        if audio is None:
            raise DataError(f"{phn} has no .WAV beside it: restore it from your copy of TIMIT")
        signal, phones = read_audio(audio), read_phones(phn)
        # The last silence may end a little after the audio; a stop may not, and nothing begins there.
        beyond = next((p for p in phones if p[0] >= len(signal) or (p[2] in STOPS and p[1] > len(signal))), None)
        if beyond:
            raise DataError(
                f"{phn}: {beyond[2]!r} from sample {beyond[0]} to {beyond[1]}, and {audio.name} has "
                f"{len(signal)}: one of the two is of another sentence. Restore them from your copy of TIMIT"
            )
        found.append(frames(signal, phones))
    whole_set = Frames(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))
    for array in whole_set:
        array.flags.writeable = False
    speakers = {phn.parent.name.lower() for phn in parts[split]}
    print(
        f"TIMIT ({kind}) in {where}, {split} set: {len(speakers)} speakers, {len(found):,} sentences, "
        f"{len(whole_set.labels):,} frames of stops"
        + "".join(
            f"; left out: {len(left):,} {why} ({left[0].relative_to(where)}{', ...' if len(left) > 1 else ''})"
            for why, left in left_out
        ),
        file=sys.stderr,
    )
    return whole_set


def standardise(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Features as float32 with mean 0 and standard deviation 1 in each column of `reference`, the training set.
    Raises DataError where a feature of it is constant."""
    deviation = reference.std(0, dtype=float)
    if not (deviation > 0).all():
        raise DataError(f"features {np.flatnonzero(~(deviation > 0)).tolist()} are constant: too few frames to train on")
    return ((values - reference.mean(0, dtype=float)) / deviation).astype(np.float32)
