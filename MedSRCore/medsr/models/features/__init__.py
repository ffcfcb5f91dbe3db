"""Networks whose features are compared: for perceptual losses and as the third player of a training.

All take an image ``(B, C, *size)`` with intensities about [0, 1] and give one map of features or a tuple of them. None
is frozen here: a training decides who learns.
"""
