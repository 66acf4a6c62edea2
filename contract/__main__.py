"""Generates files from the descriptors in `generated/`. Runs after `protos/gen.py`.

`python -m contract` writes the files. With `--check`, it fails if a file is outdated or if the REST
surface breaks callers of the released one. With `--release`, it also accepts the current contract
as released.
"""

import argparse
import shutil
import sys
from importlib.resources import as_file, files

from contract import errors_page, events_page, reasons, reference_page, surface
from contract.descriptors import ROOT, Contract

RELEASED = ROOT / "protos/released.binpb"
RELEASED_REST = ROOT / "protos/released_rest.txt"


def outputs(contract: Contract) -> dict[str, str]:
    """The text of each generated file, by path."""
    return {
        "src/media_service/reasons.py": reasons.module(),
        "docs/errors.md": errors_page.page(contract),
        "docs/events.md": events_page.page(),
        "docs/reference.md": reference_page.page(contract),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if stale")
    parser.add_argument("--release", action="store_true", help="also release the contract")
    arguments = parser.parse_args()
    contract = Contract.current()
    stale = {path: text for path, text in outputs(contract).items() if not is_same(path, text)}
    if arguments.check:
        if stale:
            sys.exit(f"stale, run `make gen`: {', '.join(stale)}")
        check_surface(contract)
        return
    for path, text in stale.items():
        (ROOT / path).write_text(text)
    if arguments.release:
        with as_file(files("mediaservice") / "mediaservice.binpb") as descriptors:
            shutil.copyfile(descriptors, RELEASED)
        RELEASED_REST.write_text(surface.text(surface.facts(contract)))


def check_surface(contract: Contract) -> None:
    """Exits with a list of breaks unless the REST surface is compatible with the released one."""
    released = surface.parse(RELEASED_REST.read_text())
    if broken := surface.breaks(released, surface.facts(contract)):
        lines = "".join(f"\n  {line}" for line in broken)
        sys.exit(f"The contract breaks callers of the released one:{lines}")


def is_same(path: str, text: str) -> bool:
    return (ROOT / path).exists() and (ROOT / path).read_text() == text


if __name__ == "__main__":
    main()
