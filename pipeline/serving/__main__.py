"""The serving process: `python -m pipeline.serving <folder>`, made by `medsecure serve`."""

import sys
from pathlib import Path

from pipeline.kernels import fix_kernels

fix_kernels()  # before torch and NumPy, which look at the processor once

from pipeline.files import BadInput
from pipeline.serving.server import run_server

if __name__ == "__main__":
    try:
        if len(sys.argv) != 2:
            raise BadInput("command line: expected the folder that `medsecure serve` made")
        run_server(Path(sys.argv[1]))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
