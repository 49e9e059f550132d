"""A trained model as a folder that any machine can check and load: `write_bundle`, `read_bundle`."""

from rnnkit.bundle.folder import Bundle, bundle_digest, read_bundle, write_bundle

__all__ = ["Bundle", "bundle_digest", "read_bundle", "write_bundle"]
