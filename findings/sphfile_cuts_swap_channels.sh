#!/usr/bin/env bash
# sphfile 1.0.3 (with NumPy 2.4.6), which reads NIST SPHERE, the format of TIMIT and of recorded telephone calls: a piece of a
# recording with two channels may begin in the middle of a sample. Then each speaker's voice is in the other's channel.
#
# Wanted: what `time_range(start, stop)` returns begins with the first channel. Seen: seconds are made a place in the interleaved
# numbers by one product, cut off to a whole number, and where that is odd the second channel comes first. That is so for half of
# all starts at 11025 and 44100 numbers a second, and through rounding for some at 8000 and 16000, too, where a millisecond is a
# whole number of samples: from 1.001 s on it is swapped, from 1.002 s not. Nothing warns.
#
# What this does: recordings of a second and a half, all 1 in one channel and all 2 in the other, at four rates, are cut at every
# millisecond. It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 sphfile==1.0.3
cat > "$folder/seen.py" <<'PYTHON'
import sys

import numpy as np
from sphfile import SPHFile

MILLISECONDS = range(1400)


def recording(rate):
    """The path of a recording with two channels."""
    samples = np.tile(np.array([1, 2], dtype="<i2"), rate * 3 // 2)
    header = (
        f"NIST_1A\n   1024\nchannel_count -i 2\nsample_count -i {len(samples) // 2}\nsample_rate -i {rate}\n"
        "sample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_sig_bits -i 16\nsample_coding -s3 pcm\nend_head\n"
    )
    path = f"{sys.argv[1]}/{rate}.sph"
    with open(path, "wb") as file:
        file.write(header.encode().ljust(1024) + samples.tobytes())
    return path


swapped = {}
for rate in (8000, 16000, 11025, 44100):
    speech = SPHFile(recording(rate))
    swapped[rate] = [n for n in MILLISECONDS if speech.time_range(n / 1000)[0] == 2]
    print(f"{rate} a second: {len(swapped[rate])} of {len(MILLISECONDS)} pieces begin with the second channel, "
          f"those at {', '.join(map(str, swapped[rate][:5]))} ms first")
few = all(0 < len(swapped[rate]) < 100 and 1001 in swapped[rate] and 1002 not in swapped[rate] for rate in (8000, 16000))
half = all(600 < len(swapped[rate]) < 800 for rate in (11025, 44100))
sys.exit(not (few and half))
PYTHON
"$folder/env/bin/python" "$folder/seen.py" "$folder"
