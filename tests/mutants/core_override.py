"""A pytest plugin: the tests run on the native core that RNNKIT_TEST_CORE names instead of the installed one."""

import importlib.util
import os
import sys

name = "rnnkit.kernels._core"
spec = importlib.util.spec_from_file_location(name, os.environ["RNNKIT_TEST_CORE"])
assert spec is not None
assert spec.loader is not None
module = importlib.util.module_from_spec(spec)
sys.modules[name] = module
spec.loader.exec_module(module)
