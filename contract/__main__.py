"""Writes what is generated from the descriptors in `generated/`, after `protos/gen.py`.

`python -m contract` writes; with `--check` it fails if a file is stale.
"""

import argparse
import sys

from contract import errors_page, reasons
from contract.descriptors import ROOT, Contract


def outputs() -> dict[str, str]:
    """The text of each generated file, by its path."""
    contract = Contract.current()
    return {
        "src/media_service/reasons.py": reasons.module(),
        "docs/errors.md": errors_page.page(contract),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if stale")
    check = parser.parse_args().check
    stale = {p: t for p, t in outputs().items() if not is_same(p, t)}
    if check and stale:
        sys.exit(f"stale, run `make gen`: {', '.join(stale)}")
    for path, text in stale.items():
        (ROOT / path).write_text(text)


def is_same(path: str, text: str) -> bool:
    return (ROOT / path).exists() and (ROOT / path).read_text() == text


if __name__ == "__main__":
    main()
