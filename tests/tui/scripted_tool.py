"""A tool that trains nothing: installed as `classification_pyt`, it reads its spec and reports what that is worth."""

from __future__ import annotations

import sys
from pathlib import Path

TOOL = """
import json, math, re, sys, time
from pathlib import Path
text = " ".join(sys.argv)
results = Path(re.search(r"results_dir[= ](\\S+)", text).group(1))
spec = Path(re.search(r"(\\S+\\.yaml)", text).group(1).split("=")[-1]).read_text()
def number(name, otherwise):
    found = re.search(rf"^ *{name}: (\\S+)", spec, re.M)
    return float(found.group(1)) if found else otherwise
lr, decay = number("lr", 1e-3), number("weight_decay", 0.01)
epochs = int(number("max_epochs", 3))
results.mkdir(parents=True, exist_ok=True)
status = results / "status.json"
def say(**fields):
    with status.open("a") as handle:
        handle.write(json.dumps(fields) + "\\n")
say(status="STARTED", message="hello")
worth = 0.2 + (math.log10(max(lr, 1e-9)) + 3) ** 2 / 4 + 0.1 * (math.log10(max(decay, 1e-9)) + 2) ** 2
done = max([int(p.stem.split("_")[1]) for p in results.glob("epoch_*.pth")], default=0)
tickets = Path(__file__).with_name("tickets")
def through():
    # Freely, or with a ticket that no other run has.
    if not tickets.exists():
        return True
    for ticket in tickets.iterdir():
        try:
            ticket.unlink()
            return True
        except FileNotFoundError:
            pass
    return False
for epoch in range(done + 1, epochs + 1):
    if epoch == epochs:
        while not through():
            time.sleep(0.01)
    print(f"epoch {epoch}: lr {lr:g}, weight decay {decay:g}", flush=True)
    say(status="RUNNING", epoch=epoch, max_epoch=epochs, kpi={"loss": worth + 1 / epoch})
    (results / f"epoch_{epoch}.pth").write_text(str(epoch))
say(status="SUCCESS", message="All went well")
"""


def install(folder: Path) -> Path:
    """Puts the tool into a folder for `runner.native.path`. Where a folder `tickets` is beside it, a run
    needs one of the files in there for its last epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    tool = folder / "classification_pyt"
    tool.write_text(f"#!{sys.executable} -IS\n{TOOL}")
    tool.chmod(0o755)
    return folder
