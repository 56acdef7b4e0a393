"""Whether a model runs to be exported as a graph."""

import torch


def exporting() -> bool:
    """Returns whether operations are recorded for a graph now, by either exporter of torch.

    What is then decided by a number, such as that of valid frames, would be as it is for the
    example at every length.
    """
    return bool(torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting())
