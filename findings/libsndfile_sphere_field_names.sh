#!/usr/bin/env bash
# libsndfile 1.2.2 (as in the Python package soundfile 0.14.0): in a NIST SPHERE header, the format of TIMIT and of most older
# speech corpora, a field is found by the first place where its name occurs, also within another field's name or text. A field
# "original_sample_rate" that stands before "sample_rate" gives the file the wrong rate, one "recording_channel_count" before
# "channel_count" makes two channels of one, and neither says a word. `sample_count` is not looked at: what follows the samples
# comes as more samples.
#
# Wanted: 16,000 per second, one channel and 400 samples, as the fields of these very names say.
# Seen: 8,000 per second; two channels; 800 samples. With the same fields in the other order all is as wanted but the count.
#
# What this does: writes files of 16-bit samples under headers that differ in one field, and reads them. It exits with 0 where
# what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check soundfile==0.14.0 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import soundfile

FIELDS = [
    "channel_count -i 1",
    "sample_rate -i 16000",
    "sample_n_bytes -i 2",
    "sample_byte_format -s2 01",
    "sample_sig_bits -i 16",
    "sample_coding -s3 pcm",
]
samples = np.arange(800, dtype="<i2")


def read(*fields):
    header = "\n".join(["NIST_1A", "   1024", *fields, "end_head", ""])
    file = Path(sys.argv[1]) / "sentence.wav"
    file.write_bytes(header.encode().ljust(1024) + samples.tobytes())
    heard, rate = soundfile.read(file, dtype="int16", always_2d=True)
    return rate, *heard.shape[::-1]


count, rate, channels = "sample_count -i 800", "original_sample_rate -i 8000", "recording_channel_count -i 2"
seen = {
    "plain": read(*FIELDS, count),
    "another rate first": read(rate, *FIELDS, count),
    "another rate last": read(*FIELDS, count, rate),
    "other channels first": read(channels, *FIELDS, count),
    "other channels last": read(*FIELDS, count, channels),
    "half the samples": read(*FIELDS, "sample_count -i 400"),
}
print(f"libsndfile {soundfile.__libsndfile_version__}: rate, channels, samples to a channel: {seen}")
wanted = (16000, 1, 800)
as_said = seen["another rate first"] == (8000, 1, 800) and seen["other channels first"] == (16000, 2, 400)
rest = {name for name in seen if not name.endswith("first")}
sys.exit(not (as_said and all(seen[name] == wanted for name in rest)))
PYTHON
"$folder/env/bin/python" "$folder/seen.py" "$folder"
