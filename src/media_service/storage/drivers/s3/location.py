"""The URL of an S3 store, with the properties of its objects.

s3://bucket/prefix?endpoint=https://s3.example&region=eu-central-1&path_style=true
                  &encryption=aws:kms&kms_key=…&storage_class=STANDARD_IA
"""

from dataclasses import dataclass, fields
from typing import Any

from media_service.storage.bucket_url import parse_bucket_url, prefixes_overlap

ENCRYPTIONS = ("AES256", "aws:kms")
BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class S3Location:
    """The location of a store, and the properties of its objects. `prefix` is empty or ends with a
    slash. An empty `endpoint` selects AWS."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    encryption: str = ""
    kms_key: str = ""
    storage_class: str = ""

    @property
    def site(self) -> tuple[str, str]:
        """Stores at the same site can copy from each other."""
        return self.endpoint, self.region

    def overlaps(self, other: "S3Location") -> bool:
        """Whether some object can belong to both stores."""
        same_bucket = (self.bucket, self.endpoint) == (other.bucket, other.endpoint)
        return same_bucket and prefixes_overlap(self.prefix, other.prefix)


OPTIONS = tuple(spec.name for spec in fields(S3Location))[2:]


def parse_location(url: str) -> S3Location:
    """Parses the URL of a store. Raises ValueError; its message completes the sentence "the setting
    must be ..."."""
    bucket, prefix, given = parse_bucket_url(url, OPTIONS)
    options: dict[str, Any] = dict(given)
    if "path_style" in options:
        if options["path_style"] not in BOOLEANS:
            raise ValueError("an s3:// URL whose path_style is true or false")
        options["path_style"] = BOOLEANS[options["path_style"]]
    if options.get("encryption", "AES256") not in ENCRYPTIONS:
        raise ValueError(f"an s3:// URL whose encryption is {' or '.join(ENCRYPTIONS)}")
    if "kms_key" in options and options.get("encryption") != "aws:kms":
        raise ValueError("an s3:// URL that has a kms_key only with encryption=aws:kms")
    return S3Location(bucket, prefix, **options)
