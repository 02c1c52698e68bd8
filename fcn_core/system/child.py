"""The command that runs a module of this package in a new Python process.

``python -m`` finds a package on the new process's own search path. Where this package is not installed, as on a
platform that runs a checkout, it finds none, and in another folder it may find another version. The command made here
names the folder of this very package: parent and child run the same code, wherever they are started. The other packages
come from the interpreter's environment, as in the parent.
"""

from __future__ import annotations

import sys

from fcn_core.system.assets import package_folder

# "Importing a source file directly", as the documentation of importlib shows it, and then what `python -m` does.
_RUN = """
import importlib.util, runpy, sys
_, package, module, *arguments = sys.argv
spec = importlib.util.spec_from_file_location("fcn_core", package)
sys.modules["fcn_core"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["fcn_core"])
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ``fcn_core`` as ``__main__`` in a new process.

    Parameters
    ----------
    module : str
        Its full name, or ``fcn_core`` for the command line.
    *arguments : str
        What it finds in ``sys.argv[1:]``.

    Returns
    -------
    list of str
        For :func:`subprocess.run`; it depends neither on the working directory nor on ``PYTHONPATH``.
    """
    return [sys.executable, "-P", "-c", _RUN, str(package_folder() / "__init__.py"), module, *arguments]
