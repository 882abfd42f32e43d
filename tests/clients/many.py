"""Runs commands of the published client, one after the other, in one process: a JSON list of words a line comes in, and
`{"out": …, "failed": …}` goes out. The client reads USER, BASE_URL and TOKEN once, as it does when it is run by itself.
"""

import contextlib
import io
import json
import sys
import traceback

from tao_cli.tao import cli

for line in sys.stdin:
    out, failed = io.StringIO(), None
    with contextlib.redirect_stdout(out):
        try:
            cli.main(args=json.loads(line), prog_name="tao-client", standalone_mode=False)
        except Exception:
            failed = traceback.format_exc()
    print(json.dumps({"out": out.getvalue(), "failed": failed}), flush=True)
