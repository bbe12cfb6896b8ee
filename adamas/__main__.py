"""``python -m adamas`` is the command ``adamas``.

Python would also look for modules in the working folder, which may be a stranger's: the command does not.
"""

import os
import sys

if not getattr(sys.flags, "safe_path", False) and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]

from adamas.cli import main

main()
