"""A trained run as a file for other runtimes: `to_onnx`; the names of its weights in torch.nn; no torch anywhere."""

from rnnkit.export.bundle_folder import to_bundle
from rnnkit.export.onnx_file import default_path, report_path, to_onnx

__all__ = ["default_path", "report_path", "to_bundle", "to_onnx"]
