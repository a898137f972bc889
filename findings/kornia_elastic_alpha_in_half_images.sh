#!/usr/bin/env bash
# kornia 0.9.0 (with torch 2.13.0): the strength `alpha` of its elastic distortion, documented to be that of Simard et al. 2003, is
# not in pixels as theirs is, but in halves of the image: the same `alpha` moves pixels twice as far in an image twice as wide.
#
# Wanted: alpha = 34 at sigma = 4, the published values for handwritten digits, moves a pixel by one or two, whatever the size of
# the picture. Seen: every displacement is alpha times the smoothed noise times half the width of the picture. With the published
# values most pixels of a digit of 28 by 28 come from outside the picture; what was published is alpha = 34 / 14 there.
#
# What this does: pictures whose grey is their column are distorted a little, at three widths, and the grey in the middle is read
# as where it came from; a white picture is distorted with the published values, so that black is what came from outside. It
# exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 kornia==0.9.0 numpy==2.4.6 scipy==1.17.1
cat > "$folder/seen.py" <<'PYTHON'
import sys

import numpy as np
import torch
from kornia.geometry.transform import elastic_transform2d
from scipy.ndimage import gaussian_filter

SIGMA, KERNEL, HEIGHT, N = 4.0, 33, 28, 50  # the kernel reaches over four times sigma, as SciPy's does


def distorted(picture, noise, alpha):
    """What kornia makes of pictures `(N, height, width)`."""
    options = {"kernel_size": (KERNEL, KERNEL), "sigma": (SIGMA, SIGMA), "alpha": (alpha, alpha)}
    return elastic_transform2d(picture[:, None], noise, **options)[:, 0].numpy()


as_said = True
torch.manual_seed(0)
for width in (28, 56, 112):
    noise = torch.rand(N, 2, HEIGHT, width) * 2 - 1
    smooth = gaussian_filter(noise[:, 0].numpy(), (0, SIGMA, SIGMA), mode="constant")
    column = torch.arange(float(width)).expand(N, HEIGHT, width)
    middle = np.s_[:, 8:-8, width // 2 - 4 : width // 2 + 4]
    moved = (distorted(column, noise, 0.1) - column.numpy())[middle]
    pixels = float((moved * smooth[middle]).sum() / (smooth[middle] ** 2).sum()) / 0.1
    outside = float((distorted(torch.ones(N, HEIGHT, width), noise, 34.0) < 0.5).mean())
    wanted = float(np.abs(34 * smooth).mean())
    print(f"{width} pixels wide: alpha times the smoothed noise, times {pixels:.2f}, in pixels; with the published values "
          f"{100 * outside:.0f} % of the pixels come from outside, where they were to be moved by {wanted:.1f} pixels in the mean")
    as_said &= abs(pixels / (width / 2) - 1) < 0.05 and outside > 0.5 and wanted < 2
sys.exit(not as_said)
PYTHON
"$folder/env/bin/python" -W ignore "$folder/seen.py"
