#!/usr/bin/env bash
# librosa 0.11.0: the cepstral coefficients of a frame depend on the loudest frame anywhere in the signal. What is more than 80 dB
# below it is raised to that floor before the cosine transform: a pause before a loud word has all its coefficients but the first
# at 0, and they are others once the signal goes on. So features of a sentence are not those of its parts, and those that are made
# as sound comes in are not those of the whole recording.
#
# Wanted: coefficients of a frame of the samples in its window alone, as python_speech_features has them.
# Seen: of 20 coefficients of quiet noise, before noise 86 dB louder, 19 are 0 (they are up to 9.5 without it), though the
# windows have no sample of the loud part. With python_speech_features 0.6 the same frames are the same to the bit.
#
# What this does: coefficients of a second of quiet noise, alone and with a loud second after it; the frames well before that are
# compared. It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check librosa==0.11.0 python_speech_features==0.6 numpy==2.4.6 scipy==1.17.1
cat > "$folder/seen.py" <<'PYTHON'
import sys

import librosa
import numpy as np
import python_speech_features

rng = np.random.default_rng(0)
quiet = rng.standard_normal(16000).astype(np.float32)
longer = np.concatenate([quiet, 2e4 * rng.standard_normal(16000).astype(np.float32)])
early = {}
for name, coefficients in {
    "librosa": lambda signal: librosa.feature.mfcc(y=signal, sr=16000).T,
    "python_speech_features": lambda signal: python_speech_features.mfcc(signal, 16000),
}.items():
    early[name] = [coefficients(signal)[2:20, 1:] for signal in (quiet, longer)]
largest = {name: [float(np.abs(values).max()) for values in both] for name, both in early.items()}
print(f"librosa {librosa.__version__}: largest coefficient but the first, before the loud part: alone and with it {largest}")
alone, together = largest["librosa"]
sys.exit(not (alone > 5 and together == 0 and np.array_equal(*early["python_speech_features"])))
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
