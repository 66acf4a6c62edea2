"""docs/licenses.md lists every dependency of a deployment, with the license that it declares."""

import re
from importlib.metadata import PackageMetadata, metadata
from importlib.util import find_spec

import pytest

from tests.support.recipes import ROOT

ROW = re.compile(r"^\| ([a-z0-9.-]+) \| ([^|]+) \|", re.MULTILINE)
LISTED = dict(ROW.findall((ROOT / "docs" / "licenses.md").read_text()))
LOCKED = set(
    re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements-runtime.lock").read_text(), re.MULTILINE)
)
# The package and its module. Other versions of Python and other systems need them.
ELSEWHERE = {"async-timeout": "async_timeout", "tzdata": "tzdata"}
# What packages declare without an SPDX identifier.
DECLARED = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-2-Clause",
    "BSD License / Apache Software License": "BSD-3-Clause AND Apache-2.0",
    "BSD-3-Clause, Apache-2.0, dependency licenses": "BSD-3-Clause AND Apache-2.0",
    "Apache Software License / MIT License": "MIT OR Apache-2.0",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}
ACCEPTED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "LGPL-2.1-or-later",
    "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib",
}  # fmt: skip


def declared(package: PackageMetadata) -> str:
    """The license expression, or the classifiers, or the first line of the license."""
    classifiers = [each.split(" :: ") for each in package.get_all("Classifier") or []]
    names = [each[-1] for each in classifiers if each[0] == "License" and len(each) > 2]
    expression, text = (
        str(next(iter(package.get_all(key) or []), "")) for key in ("License-Expression", "License")
    )
    found = expression or " / ".join(names) or text.partition("\n")[0]
    return DECLARED.get(found, found)


def test_every_package_of_a_deployment_is_listed() -> None:
    assert set(LISTED) == LOCKED


@pytest.mark.parametrize("name", sorted(LOCKED))
def test_a_package_has_the_listed_license_which_is_accepted(name: str) -> None:
    assert set(re.split(" (?:AND|OR) ", LISTED[name])) <= ACCEPTED
    if name not in ELSEWHERE or find_spec(ELSEWHERE[name]):
        assert declared(metadata(name)) == LISTED[name]
