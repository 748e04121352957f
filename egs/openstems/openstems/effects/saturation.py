"""Distortion: saturation as of tape and tubes, amplifier and cabinet."""

import numpy as np

from .dynamics import amplitude
from .filters import equalize, high_pass, high_shelf, low_pass, peak


def saturate(
    sound: np.ndarray, drive: float, asymmetry: float = 0.0, emphasis: float = 0.0, mix: float = 1.0
) -> np.ndarray:
    """Clip a sound softly, with a gain of about one for loud sounds.

    Args:
        sound: shape (C, L), peaks near 1 for the full effect.
        drive: gain into the clipper in dB.
        asymmetry: offset of the clipper, 0 to 0.5; adds even harmonics.
        emphasis: dB by which treble is raised before the clipper and lowered after it; treble then
            distorts first, as on tape.
        mix: share of the saturated sound.

    Returns:
        Shape (C, L), float32.
    """
    factor = np.float32(amplitude(drive))
    driven = sound * factor
    if emphasis:
        driven = equalize(driven, high_shelf(1500, emphasis))
    bias = np.float32(asymmetry)
    wet = np.tanh(driven + bias) - np.tanh(bias)
    # The level of a full-scale input is kept, so that the drive adds no gain.
    wet /= np.tanh(factor)
    if emphasis:
        wet = equalize(wet, high_shelf(1500, -emphasis))
    if asymmetry:
        wet = equalize(wet, high_pass(20, 1))
    return (np.float32(1 - mix) * sound + np.float32(mix) * wet).astype(np.float32, copy=False)


def amplify(
    sound: np.ndarray, drive: float, tone: float = 0.0, cabinet: float = 4500.0, mix: float = 1.0
) -> np.ndarray:
    """Imitate a guitar or bass amplifier with its loudspeaker.

    Args:
        sound: shape (C, L), peaks near 1.
        drive: gain into the first stage in dB.
        tone: gain at 700 Hz before the clipping in dB.
        cabinet: upper edge of the loudspeaker in Hz.
        mix: share of the amplified sound.

    Returns:
        Shape (C, L), float32.
    """
    pushed = equalize(sound, high_pass(70, 1), peak(700, tone, 0.6))
    pushed = saturate(pushed, drive, asymmetry=0.15)
    box = (peak(110, 2.5, 1.0), peak(400, -3.0, 0.8), peak(0.55 * cabinet, 4.0, 1.1))
    wet = equalize(pushed, *box, low_pass(cabinet, 4))
    return (np.float32(1 - mix) * sound + np.float32(mix) * wet).astype(np.float32, copy=False)
