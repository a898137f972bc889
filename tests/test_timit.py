"""TIMIT: the front end against librosa's numbers, small files in the true formats, and what is damaged or missing."""

import struct
import wave

import numpy as np
import pytest

from fa_core import notebooks
from fa_core.data import tasks, timit
from fa_core.data.mnist import DataError

T = np.arange(4000) / timit.RATE
SWEEP = 0.3 * np.sin(2 * np.pi * (300 * T + 6000 * T * T)) + 0.05 * np.sin(2 * np.pi * 2500 * T) * (T > 0.1)
# Of librosa 0.11.0 (melspectrogram with htk, norm=None, center=False, n_fft=400, hop_length=160, n_mels=40; power_to_db
# without top_db; mfcc; delta with width 5 and mode nearest, twice): frames 0, 7 and 15, columns 0, 1, 5, 12, 13, 14 and 26.
LIBROSA = [
    [-342.29, 239.80, -54.890, 0.98271, -0.26350, -8.2853, -0.15354],
    [-361.68, 105.45, 62.807, -13.203, 71.792, -44.648, -3.8148],
    [-383.87, -13.346, -63.132, -19.524, -10.532, -11.477, -0.73036],
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder that is looked in for TIMIT."""
    monkeypatch.setenv(timit.ENVIRONMENT, str(tmp_path))
    timit._load.cache_clear()
    yield tmp_path
    timit._load.cache_clear()


def sphere(samples, order="01", coding="pcm", count=None):
    """A NIST SPHERE file of 16-bit samples; `order` "01" has the low byte first."""
    header = (
        f"NIST_1A\n   1024\nsample_count -i {len(samples) if count is None else count}\nchannel_count -i 1\n"
        f"sample_n_bytes -i 2\nsample_rate -i 16000\nsample_byte_format -s2 {order}\n"
        f"sample_coding -s3 {coding}\nend_head\n"
    )
    kind = "<i2" if order == "01" else ">i2"
    return header.encode().ljust(1024, b" ") + np.asarray(samples).astype(kind).tobytes()


def sentence(folder, name, phones, audio, upper=True):
    """A .WAV and a .PHN file."""
    folder.mkdir(parents=True, exist_ok=True)
    wav, phn = (folder / f"{name}.{ext.upper() if upper else ext}" for ext in ("wav", "phn"))
    wav.write_bytes(audio)
    phn.write_text("".join(f"{a} {b} {p}\n" for a, b, p in phones))
    return phn


NOISE = (np.random.default_rng(0).uniform(-1, 1, 8000) * 10_000).astype(int)
PHONES = [(0, 1000, "h#"), (1000, 1600, "bcl"), (1600, 2400, "b"), (2400, 5000, "iy"), (5000, 5800, "t"), (5800, 8000, "h#")]


def test_the_front_end_gives_librosas_numbers():
    track = timit.features(SWEEP)
    assert track.shape == (23, 39)
    np.testing.assert_allclose(track[[0, 7, 15]][:, [0, 1, 5, 12, 13, 14, 26]], LIBROSA, rtol=2e-4)


def test_the_front_end_agrees_with_librosa_where_it_is_installed():
    librosa = pytest.importorskip("librosa")
    bands = librosa.feature.melspectrogram(
        y=SWEEP, sr=16000, n_fft=400, hop_length=160, n_mels=40, htk=True, norm=None, center=False
    )
    c = librosa.feature.mfcc(S=librosa.power_to_db(bands, amin=1e-10, top_db=None), n_mfcc=13)
    np.testing.assert_allclose(timit.mfcc(SWEEP), c.T, atol=1e-5)


def test_the_derivative_is_the_slope_of_a_line_and_the_ends_are_repeated():
    assert timit.derivative(np.arange(7.0)[:, None] * 3)[2:-2, 0].tolist() == pytest.approx([3, 3, 3])
    # At the first frame: (1 (3 - 0) + 2 (6 - 0)) / 10.
    assert timit.derivative(np.arange(7.0)[:, None] * 3)[0, 0] == pytest.approx(1.5)


def test_a_signal_shorter_than_a_window_has_no_frame():
    assert timit.features(np.zeros(399)).shape == (0, 39)
    assert timit.features(np.zeros(400)).shape == (1, 39)


def test_frames_are_those_whose_centre_is_in_the_burst_of_a_stop():
    got = timit.frames(NOISE / 32768, PHONES)
    centres = np.arange(48) * 160 + 200
    wanted = [0] * ((centres >= 1600) & (centres < 2400)).sum() + [4] * ((centres >= 5000) & (centres < 5800)).sum()
    assert got.labels.tolist() == wanted  # not one of the closure, bcl
    assert got.features.dtype == np.float32
    np.testing.assert_allclose(got.features[0], timit.features(NOISE / 32768)[centres >= 1600][0], rtol=1e-5)


@pytest.mark.parametrize("order", ["01", "10"])
def test_a_sphere_file_is_read_in_either_byte_order(tmp_path, order):
    (tmp_path / "a.wav").write_bytes(sphere([1, -2, 300], order))
    assert (timit.read_audio(tmp_path / "a.wav") * 32768).tolist() == [1, -2, 300]


def test_a_riff_file_is_read(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(struct.pack("<3h", 1, -2, 300))
    assert (timit.read_audio(tmp_path / "a.wav") * 32768).tolist() == [1, -2, 300]
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-2])
    with pytest.raises(DataError, match=r"a\.wav is damaged"):
        timit.read_audio(tmp_path / "a.wav")


def test_the_corpus_is_found_in_either_case_with_its_own_test_set(home):
    sentence(home / "TRAIN/DR1/FCJF0", "SA1", PHONES, sphere(NOISE))
    sentence(home / "TEST/DR1/FAKS0", "SA1", PHONES[:3], sphere(NOISE))
    assert timit.source() == "corpus"
    assert set(timit.load("train").labels) == {0, 4}
    assert set(timit.load("test").labels) == {0}
    lower = home / "other"
    sentence(lower / "train/dr1/fcjf0", "sa1", PHONES, sphere(NOISE), upper=False)
    assert timit.sentences(lower)[0] == "corpus"


def test_of_each_four_speakers_of_the_sample_the_last_is_for_testing(home):
    for speaker in ("dr1-a", "dr1-b", "dr1-c", "dr1-d", "dr2-e"):
        sentence(home / speaker, "sa1", PHONES, sphere(NOISE), upper=False)
    kind, parts, _ = timit.sentences(home)
    assert kind == "sample"
    assert [p.parent.name for p in parts["test"]] == ["dr1-d"]
    assert len(parts["train"]) == 4
    assert len(timit.load("train").labels) == 4 * len(timit.load("test").labels) > 0


def test_no_copy_is_said_with_what_to_do(home):
    assert timit.source() is None
    with pytest.raises(DataError, match=r"no TIMIT in .*: set FA_CORE_TIMIT to the folder that holds TRAIN and TEST"):
        timit.load("train")
    with pytest.raises(ValueError, match="unknown split 'valid'"):
        timit.load("valid")


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (sphere(NOISE)[:-2], "its header wants 16000.: restore it"),
        (sphere(NOISE, coding="pcm,embedded-shorten-v2.00"), "unpack the corpus first"),
        (b"NIST_1A\n   ten\n" + sphere(NOISE)[16:], "SA1.WAV is damaged"),
        (b"RIFF" + b"\0" * 20, "is damaged"),
        (sphere(NOISE).replace(b"channel_count -i 1", b"channel_count -i x", 1), "SA1.WAV is damaged"),
        (b"ID3 nothing of the kind", "neither a NIST SPHERE nor a RIFF file"),
        (sphere(NOISE).replace(b"16000\n", b"08000\n", 1), "at 8000 Hz, wanted 1 of 16 bits at 16000 Hz"),
    ],
    ids=["truncated", "shorten", "header", "riff", "number", "neither", "rate"],
)
def test_damaged_audio_is_refused_and_named(home, audio, message):
    sentence(home / "TRAIN/DR1/FCJF0", "SA1", PHONES, audio)
    with pytest.raises(DataError, match=message) as error:
        timit.load("train")
    assert "SA1.WAV" in str(error.value)


def test_a_sentence_without_audio_or_with_a_damaged_transcription_is_refused(home):
    phn = sentence(home / "TRAIN/DR1/FCJF0", "SA1", PHONES, sphere(NOISE))
    phn.with_suffix(".WAV").unlink()
    with pytest.raises(DataError, match=r"SA1.PHN has no .WAV beside it"):
        timit.load("train")
    phn.with_suffix(".WAV").write_bytes(sphere(NOISE))
    phn.write_text("0 1000 h#\n1000 900 b\n")
    with pytest.raises(DataError, match=r"SA1.PHN, line 2: '1000 900 b', wanted 'first last phone'"):
        timit.load("train")


SHORT = struct.pack("<3h", 1, -2, 300)


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def riff(*chunks):
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WAVE" + b"".join(chunks)


PLAIN = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
EXTENSIBLE = (
    struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16000, 32000, 2, 16, 22, 16, 4)
    + b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
)


@pytest.mark.parametrize(
    "audio",
    [
        riff(chunk(b"fmt ", EXTENSIBLE), chunk(b"data", SHORT)),
        riff(chunk(b"LIST", b"INFOx"), chunk(b"fmt ", PLAIN), chunk(b"fact", b"\3\0\0\0"), chunk(b"data", SHORT)),
        riff(chunk(b"fmt ", PLAIN + b"\0\0"), chunk(b"data", SHORT), chunk(b"id3 ", b"odd")),
        sphere([1, -2, 300]).replace(b"end_head\n ", b"end_head\n\xff"),
        sphere([1, -2, 300]).replace(b"end_head\n" + b" " * 15, b"speaker_id -s0 \nend_head"),
        sphere([1, -2, 300]).replace(b"\n   1024\n", b"\n   1024\nnote -s16 see its end_head\n").replace(b" " * 27, b"", 1),
    ],
    ids=["extensible", "chunks before", "chunks after", "a byte above 127", "an empty value", "the end's mark in a text"],
)
def test_any_legal_form_of_a_file_is_read(tmp_path, audio):
    (tmp_path / "a.wav").write_bytes(audio)
    assert (timit.read_audio(tmp_path / "a.wav") * 32768).tolist() == [1, -2, 300]


@pytest.mark.parametrize("size", [0, 2**32 - 1], ids=["0", "the largest"])
@pytest.mark.parametrize("order", "<>")
def test_a_file_that_was_written_to_a_stream_is_read_to_its_end(tmp_path, size, order):
    form = struct.pack(f"{order}4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    extra = struct.pack(f"{order}4sI", b"LIST", 5) + b"INFOx\0"
    start = (b"RIFF" if order == "<" else b"RIFX") + struct.pack(f"{order}I", size) + b"WAVE" + extra + form + b"data"
    samples = struct.pack(f"{order}3h", 1, -2, 300)
    (tmp_path / "a.wav").write_bytes(start + struct.pack(f"{order}I", size) + samples)
    assert (timit.read_audio(tmp_path / "a.wav") * 32768).tolist() == [1, -2, 300]
    for cut in (samples[:-1], b""):  # half a sample, none
        (tmp_path / "a.wav").write_bytes(start + struct.pack(f"{order}I", size) + cut)
        with pytest.raises(DataError, match=r"a\.wav is damaged"):
            timit.read_audio(tmp_path / "a.wav")
    # One of a size that is said is read to that, and no further.
    (tmp_path / "a.wav").write_bytes(start + struct.pack(f"{order}I", 8) + samples)
    with pytest.raises(DataError, match=r"a\.wav is damaged"):
        timit.read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "text",
    ["\ufeff0 1000 h#\n1000 1600 b\n", "0 1000 h#\r\n\r\n1000 1600 b\r\n", "\n0 1000 h#\n \n1000 1600 b\n\n\n"],
    ids=["byte order mark", "lines of Windows", "blank lines"],
)
def test_a_transcription_that_went_through_an_editor_is_read(tmp_path, text):
    (tmp_path / "SA1.PHN").write_bytes(text.encode())
    assert timit.read_phones(tmp_path / "SA1.PHN") == [(0, 1000, "h#"), (1000, 1600, "b")]
    (tmp_path / "SA1.PHN").write_bytes(f"{text}x\n".encode())
    with pytest.raises(DataError, match=rf"SA1.PHN, line {text.count(chr(10)) + 1}: 'x', wanted 'first last phone'"):
        timit.read_phones(tmp_path / "SA1.PHN")
    (tmp_path / "SA1.PHN").write_bytes(b"\xef\xbb\xbf\r\n")
    with pytest.raises(DataError, match=r"SA1\.PHN is empty"):
        timit.read_phones(tmp_path / "SA1.PHN")


def corpus(home, where="TIMIT"):
    sentence(home / where / "TRAIN/DR1/FCJF0", "SA1", PHONES, sphere(NOISE))
    sentence(home / where / "TEST/DR1/FAKS0", "SA1", PHONES, sphere(NOISE))


def test_what_is_found_and_what_is_left_out_is_said(home, capsys):
    corpus(home, "a")
    corpus(home, "b")
    train = home / "a/TRAIN/DR1/FCJF0"
    (train / "._SA1.PHN").write_bytes(b"\0\5\x16\7")
    (train / "SA2.WAV").write_bytes(sphere(NOISE))
    labels = timit.load("train").labels
    assert capsys.readouterr().err == (
        f"TIMIT (corpus) in {home}, train set: 1 speakers, 1 sentences, {len(labels)} frames of stops; left out: 1 files "
        "that a Mac or an archive put there (a/TRAIN/DR1/FCJF0/._SA1.PHN); left out: 2 second copies (b/TEST/DR1/FAKS0/"
        "SA1.PHN, ...); left out: 1 audio without a transcription (a/TRAIN/DR1/FCJF0/SA2.WAV)\n"
    )


def test_two_copies_that_differ_are_refused(home):
    corpus(home, "a")
    corpus(home, "b")
    (home / "b/TRAIN/DR1/FCJF0/SA1.PHN").write_text("0 1000 h#\n")
    with pytest.raises(DataError, match=r"a/.*SA1\.PHN and .*b/.*SA1\.PHN are of one sentence and differ"):
        timit.load("train")


def test_a_folder_above_that_is_called_train_does_not_make_training_data_of_the_test_set(home):
    corpus(home, "train")
    kind, parts, _ = timit.sentences(home)
    assert (kind, {part: [p.parent.name for p in found] for part, found in parts.items()}) == (
        "corpus",
        {"train": ["FCJF0"], "test": ["FAKS0"]},
    )


def test_linked_folders_are_followed_and_a_circle_ends(home, tmp_path_factory):
    real = tmp_path_factory.mktemp("real")
    corpus(real)
    for part in ("TRAIN", "TEST"):
        (home / part).symlink_to(real / "TIMIT" / part)
    (real / "TIMIT/TRAIN/again").symlink_to(home)
    kind, parts, left_out = timit.sentences(home)
    assert (kind, [len(p) for p in parts.values()], left_out) == ("corpus", [1, 1], [])


@pytest.mark.parametrize("part", ["TRAIN", "TRAIN/DR1", "TRAIN/DR1/FCJF0"])
def test_a_part_of_the_corpus_is_not_taken_for_the_sample(home, monkeypatch, part):
    corpus(home)
    monkeypatch.setenv(timit.ENVIRONMENT, str(home / "TIMIT" / part))
    with pytest.raises(DataError, match=r"but no TRAIN and TEST, and no folders dr1-.*: set FA_CORE_TIMIT to the folder"):
        timit.source()


@pytest.mark.parametrize(
    ("phones", "message"),
    [
        ([(0, 1000, "h#"), (900, 1600, "b")], "line 2: '900 1600 b', begins before the end of the phone before, 1000"),
        ([(1000, 1600, "b"), (0, 1000, "h#")], "line 2: '0 1000 h#', begins before the end"),
        ([(0, 1000, "h#"), (1000, 1600, "bb")], "line 2: '1000 1600 bb', is none of TIMIT's 61 phones"),
        ([(0, 7900, "h#"), (7900, 8100, "b")], "'b' from sample 7900 to 8100, and SA1.WAV has 8000: one of the two is"),
        ([(0, 8000, "b"), (8000, 9000, "h#")], "'h#' from sample 8000 to 9000, and SA1.WAV has 8000"),
    ],
    ids=["overlap", "backwards", "label", "a stop beyond", "all beyond"],
)
def test_a_transcription_that_cannot_be_this_audios_is_refused(home, phones, message):
    sentence(home / "TRAIN/DR1/FCJF0", "SA1", phones, sphere(NOISE))
    with pytest.raises(DataError, match=message):
        timit.load("train")


def test_the_last_silence_may_end_a_little_after_the_audio(home):
    sentence(home / "TRAIN/DR1/FCJF0", "SA1", [*PHONES[:-1], (5800, 8100, "h#")], sphere(NOISE))
    assert len(timit.load("train").labels)


def test_a_record_is_made_of_the_whole_corpus_alone(home, monkeypatch):
    sentence(home / "TRAIN/DR1/FCJF0", "SA1", PHONES, sphere(NOISE))
    sentence(home / "TEST/DR1/FAKS0", "SA1", PHONES, sphere(NOISE))
    with pytest.raises(DataError, match="holds 1 sentences for the train set, the corpus has 4,620"):
        tasks.load("timit")
    at_hand, _, _ = tasks.load("timit at hand")
    assert len(at_hand.labels) > 0
    monkeypatch.setattr(timit, "SENTENCES", {"train": 1, "test": 1})
    train, test, _ = tasks.load("timit")
    assert len(train.labels) == len(test.labels) > 0
    assert not train.features.flags.writeable
    (home / "TEST").rename(home / "dr1-x")  # no test set
    with pytest.raises(DataError, match="holds 0 sentences for the test set"):
        timit.whole()


def test_features_are_scaled_by_the_training_set_and_constant_ones_are_refused():
    reference = np.array([[0, 10], [2, 30]], np.float32)
    assert timit.standardise(np.array([[1, 40]]), reference).tolist() == [[0, 2]]
    with pytest.raises(DataError, match=r"features \[1\] are constant"):
        timit.standardise(reference, np.array([[0, 1], [2, 1]]))


def test_the_notebook_learns_from_the_sample_where_it_is_found(home, tmp_path_factory):
    for speaker in ("dr1-a", "dr1-b", "dr1-c", "dr1-d"):
        sentence(home / speaker, "sa1", PHONES, sphere(NOISE), upper=False)
    assert len(timit.load("train").labels) >= 20  # a minibatch
    out = tmp_path_factory.mktemp("executed")
    assert notebooks.run(["10_timit"], out=str(out), profile="smoke") == 0
    cells = notebooks.read(out / "10_timit.ipynb").cells
    printed = "".join(o.get("text", "") for c in cells if c.cell_type == "code" for o in c.outputs)
    assert "TIMIT: sample" in printed
    assert printed.count("of the test frames wrong before learning") == 2  # by either algorithm
