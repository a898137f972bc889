"""Elastic distortions of images, made on the fly on the device that the images are on.

Simard, Steinkraus & Platt (2003): each pixel is displaced by a random field, uniform on [-1, 1], smoothed by a Gaussian
of `sigma` pixels and multiplied by `alpha`. Cireşan, Meier, Gambardella & Schmidhuber (2010) add a small rotation and a
scaling of either axis; their ranges for MNIST are the defaults here.

Displacements `(n, 2, side, side)` are in pixels, [:, 0] downwards and [:, 1] to the right, and say where a pixel's value
is taken *from*: the new image at (row, column) is the old one at (row + d_0, column + d_1).

All is drawn in float32 from a generator on the CPU, so that a seed means the same distortions on every device and in
every precision.
"""

import math

import torch
from torch import Tensor

SIGMA, ALPHA = 6.0, 36.0  # pixels
ROTATION, SCALING, SHIFT = 7.5, 0.15, 1.0  # degrees, fraction, pixels


def distort(
    images: Tensor,
    generator: torch.Generator,
    sigma: float = SIGMA,
    alpha: float = ALPHA,
    rotation: float = ROTATION,
    scaling: float = SCALING,
    shift: float = SHIFT,
    fill: float = 0.0,
) -> Tensor:
    """Each of the images `(n, side * side)`, or `(..., side * side)`, under a distortion of its own.

    sigma, alpha: the elastic field in pixels, see `elastic`; rotation in degrees, scaling as a fraction of 1 and shift in
    pixels: the largest, see `affine`. fill: the background, which comes in from outside (black, as it is after
    standardisation). Returns new images of the same shape, dtype and device. Raises ValueError where they are not square.
    """
    side = math.isqrt(images.shape[-1])
    if side * side != images.shape[-1]:
        raise ValueError(f"images of {images.shape[-1]} pixels are not square")
    flat = images.reshape(-1, side, side)
    displacement = affine(len(flat), side, generator, rotation, scaling, shift)
    if alpha:
        displacement += elastic(len(flat), side, generator, sigma, alpha)
    return warp(flat, displacement.to(images.device), fill).reshape(images.shape)


def elastic(n: int, side: int, generator: torch.Generator, sigma: float = SIGMA, alpha: float = ALPHA) -> Tensor:
    """n elastic fields `(n, 2, side, side)`, float32 on the CPU.

    The Gaussian sums to 1, so alpha is in pixels: no pixel is displaced by more than alpha along an axis, and typically
    by far less, since the noise averages out; its root mean square is `strength(sigma, alpha)`, near enough
    alpha / (sqrt(12 pi) sigma), everywhere in the image.
    """
    noise = torch.empty(n, 2, side, side).uniform_(-1, 1, generator=generator)
    smooth = alpha**0.5 * smoother(side, sigma).mT
    # One matrix product over all rows, one over all columns. The axes come out exchanged, which white noise is not
    # changed by.
    return (noise @ smooth).mT.contiguous() @ smooth


def strength(sigma: float, alpha: float) -> float:
    """The root-mean-square displacement along either axis in pixels: alpha / sqrt(3) times the norm of the Gaussian in
    two dimensions (1/3 is the variance of the noise)."""
    return alpha / math.sqrt(3) * float(gaussian(sigma).square().sum())


def gaussian(sigma: float) -> Tensor:
    """The Gaussian at whole pixels, cut off at five sigma, with sum 1; float64. Raises ValueError unless sigma > 0."""
    if not sigma > 0:
        raise ValueError(f"sigma {sigma}: wanted a number of pixels above 0")
    reach = math.ceil(5 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2)
    return kernel / kernel.sum()


def smoother(side: int, sigma: float) -> Tensor:
    """The banded matrix G `(side, side)`, float32, for which G v is v smoothed by the Gaussian.

    There is no noise outside the image. Near a border, where part of the Gaussian is lost, the rest is scaled up to the
    norm of the whole, so that the field is as strong there as in the middle.
    """
    kernel = gaussian(sigma)
    at = torch.arange(side)
    index = at[:, None] - at + len(kernel) // 2
    inside = (index >= 0) & (index < len(kernel))
    G = kernel[index.clamp(0, len(kernel) - 1)] * inside
    return (G * (kernel.norm() / G.norm(dim=1, keepdim=True))).float()


def affine(
    n: int, side: int, generator: torch.Generator, rotation: float = ROTATION, scaling: float = SCALING, shift: float = SHIFT
) -> Tensor:
    """Displacements `(n, 2, side, side)` of n random linear maps about the image's centre, float32 on the CPU.

    Uniformly distributed: the angle on +-rotation degrees, the factor by which either axis is stretched on 1 +- scaling,
    the shift along either axis on +-shift pixels. Raises ValueError unless 0 <= scaling < 1.
    """
    if not 0 <= scaling < 1:
        raise ValueError(f"scaling {scaling}: wanted a fraction from 0 to below 1")
    u = torch.empty(n, 5).uniform_(-1, 1, generator=generator)
    angle = math.radians(rotation) * u[:, 0]
    stretch = 1 + scaling * u[:, 1:3, None]
    cos, sin = torch.cos(angle), torch.sin(angle)
    # Rotated, then stretched; what is wanted is the way back, less the identity.
    back = torch.stack([cos, sin, -sin, cos], 1).reshape(n, 2, 2) / stretch.mT - torch.eye(2)
    centred = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    position = torch.stack(torch.meshgrid(centred, centred, indexing="ij")).reshape(2, -1)
    return torch.baddbmm(shift * u[:, 3:, None], back, position.expand(n, 2, -1)).reshape(n, 2, side, side)


def warp(images: Tensor, displacement: Tensor, fill: float = 0.0) -> Tensor:
    """Images `(n, side, side)`, each pixel taken from where `displacement` `(n, 2, side, side)` says, interpolated
    bilinearly; outside the image all is `fill`. Same dtype (computed in float32 at least) and device."""
    dtype = torch.promote_types(images.dtype, torch.float32)
    side = images.shape[-1]
    at = torch.arange(side, dtype=dtype, device=images.device)
    row, column = (d.to(dtype) for d in displacement.unbind(1))
    # grid_sample counts from -1 at the left edge of the first pixel to 1 at the right edge of the last: (column, row).
    grid = torch.stack([column + at, row + at[:, None]], 3).mul_(2 / side).add_(1 / side - 1)
    out = torch.nn.functional.grid_sample(
        (images.to(dtype) - fill)[:, None], grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return out.squeeze(1).add_(fill).to(images.dtype)
