"""Another account of this machine, as which root can run a command."""

import os
import shutil

import pytest

UID = 65534
AS_ANOTHER = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
"""What comes before a command that runs as the other account."""
POSSIBLE = os.getuid() == 0 and shutil.which("setpriv") is not None
needs_another = pytest.mark.skipif(not POSSIBLE, reason="needs root and setpriv")
