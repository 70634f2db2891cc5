import os
import sys

# `python -m` imports from the working directory first: what lies there has no part in this, whatever its name.
if not sys.flags.safe_path and sys.path[0] == os.getcwd():
    del sys.path[0]

from sb_api.cli import main

if __name__ == "__main__":
    main()
